package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/pion/rtp"
	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/cmd/skein/media"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// A playResult says how a stream arrived.
type playResult struct {
	Stream string `json:"stream"`
	Codec  string `json:"codec"`
	// Seconds from the first packet to the last.
	Seconds    float64 `json:"seconds"`
	Received   uint64  `json:"packets_received"`
	Bytes      uint64  `json:"bytes"`
	Lost       uint64  `json:"packets_lost"`
	Duplicates uint64  `json:"duplicates_delivered"`
	DelayMsP50 float64 `json:"delay_ms_p50"`
	DelayMsP99 float64 `json:"delay_ms_p99"`
	GapMsMax   float64 `json:"gap_ms_max"`
	// Of a recording.
	File          string `json:"file,omitempty"`
	Frames        uint64 `json:"frames,omitempty"`
	FramesDropped uint64 `json:"frames_dropped,omitempty"`
	FramesSkipped uint64 `json:"frames_skipped,omitempty"`
}

func (a *app) play() *cobra.Command {
	var (
		m    memberFlags
		dur  time.Duration
		size float64
	)
	cmd := &cobra.Command{
		Use:   "play STREAM [FILE]",
		Short: "Receive a stream: record it, or print statistics",
		Long: `Receive a stream until it ends, and print how it arrived. With FILE, record it:
IVF for VP8, VP9 and AV1, Ogg for Opus. Without loss the recording has the
published frames, byte for byte; it begins at a keyframe. Of a stream with layers
the smallest is received that is as high as --size says.
A stream that does not exist yet is waited for.`,
		Example: `  skein play camera-1/video --token skein1.... --for 10s -o json
  skein play stage/video recording.ivf`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := region.StreamID(args[0]).Validate(); err != nil {
				return err
			}
			if !(size > 0 && size <= 1) {
				return fmt.Errorf("--size %v: %w: more than 0, and at most 1", size, region.ErrInvalid)
			}
			file := ""
			if len(args) == 2 {
				file = args[1]
			}
			j, err := a.join(cmd.Context(), &m)
			if err != nil {
				return err
			}
			r, err := a.listen(cmd.Context(), j.node, region.StreamID(args[0]), file, dur, size)
			if err := errors.Join(err, a.leave(j)); err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) { r.table(w) })
		},
	}
	m.add(cmd.Flags(), member.DefaultConfig(), "")
	cmd.Flags().Float64Var(&size, "size", 1, "height of the picture as a share of the full one, of streams with layers: each is half as high as the next")
	cmd.Flags().DurationVar(&dur, "for", 0, "end after this time, counted from the first packet")
	return cmd
}

// awaitNotice is how long a player waits for its stream before it says so.
const awaitNotice = 3 * time.Second

// listen receives a stream into a file, if one is named, and into statistics.
func (a *app) listen(ctx context.Context, n *member.Node, name region.StreamID, file string, dur time.Duration, size float64) (playResult, error) {
	waiting := time.AfterFunc(awaitNotice, func() {
		a.log.Warn("nobody publishes this stream yet, waiting for it (skein streams lists those there are)", "stream", name)
	})
	s, err := n.Await(ctx, name)
	waiting.Stop()
	if err != nil {
		return playResult{}, fmt.Errorf("play %.60q: %w", name, err)
	}
	a.log.Info("playing", "stream", name, "codec", s.Stream().Codec)
	rec, err := newRecording(file, s.Stream().Codec)
	if err != nil {
		return playResult{}, errors.Join(err, s.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.Want(member.Wish{Size: size})
	r := playResult{Stream: string(name), Codec: s.Stream().Codec, File: file}
	var first, last time.Time
	err = readAll(ctx, s, func(p *rtp.Packet) error {
		last = time.Now()
		if r.Received == 0 {
			first = last
			if dur > 0 {
				time.AfterFunc(dur, stop)
			}
		}
		r.Received++
		r.Bytes += uint64(len(p.Payload))
		return rec.WriteRTP(p)
	})
	st := s.Stats()
	r.Seconds = last.Sub(first).Seconds()
	r.Lost, r.Duplicates = st.Lost, st.DuplicatesDelivered
	r.DelayMsP50, r.DelayMsP99, r.GapMsMax = durationMs(st.DelayP50), durationMs(st.DelayP99), durationMs(st.GapMax)
	err = errors.Join(err, rec.finish(&r), s.Close())
	return r, err
}

func (r *playResult) table(w io.Writer) {
	row(w, "stream", fmt.Sprintf("%s (%s)", r.Stream, r.Codec))
	row(w, "received", fmt.Sprintf("%d packets, %d bytes in %.1f s", r.Received, r.Bytes, r.Seconds))
	row(w, "lost", r.Lost)
	row(w, "duplicates", r.Duplicates)
	row(w, "delay", fmt.Sprintf("p50 %s, p99 %s", millis(r.DelayMsP50), millis(r.DelayMsP99)))
	row(w, "longest gap", millis(r.GapMsMax))
	if r.File != "" {
		row(w, "recorded", fmt.Sprintf("%d frames in %s (%d incomplete, %d before the first keyframe)", r.Frames, r.File, r.FramesDropped, r.FramesSkipped))
	}
}

// A recording is a file that is being written; the zero value writes none.
type recording struct {
	media.Recorder
	file *os.File
}

func newRecording(path, codec string) (recording, error) {
	if path == "" {
		return recording{}, nil
	}
	// The codec is judged first, so that a stream that cannot be recorded does
	// not cost an existing file.
	if _, err := media.NewRecorder(io.Discard, codec); err != nil {
		return recording{}, err
	}
	f, err := os.Create(path)
	if err != nil {
		return recording{}, err
	}
	r, err := media.NewRecorder(f, codec)
	return recording{r, f}, err
}

func (r recording) WriteRTP(p *rtp.Packet) error {
	if r.file == nil {
		return nil
	}
	return r.Recorder.WriteRTP(p)
}

// finish completes the file and notes what is in it.
func (r recording) finish(result *playResult) error {
	if r.file == nil {
		return nil
	}
	s := r.Stats()
	result.Frames, result.FramesDropped, result.FramesSkipped = s.Frames, s.Dropped, s.Skipped
	return errors.Join(r.Close(), r.file.Close())
}
