package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/cmd/skein/media"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// publishRTP publishes what an encoder sends as plain RTP.
func (a *app) publishRTP() *cobra.Command {
	var (
		m          memberFlags
		name       string
		audio      string
		video      []string
		videoRates []uint
		audioRate  uint32
	)
	cmd := &cobra.Command{
		Use:   "rtp",
		Short: "Publish what ffmpeg or GStreamer sends as RTP",
		Long: `Publish NAME/video and NAME/audio from plain RTP over UDP. Packets may have at
most 1200 bytes; nobody can ask the encoder for a keyframe, so let it send one
every second or two. An encoder that is started again goes on in the same stream.
--video may be given several times: each is a layer of the picture, the smallest
first.

ffmpeg, VP8 and Opus:

  ffmpeg -re -i movie.mp4 \
    -map 0:v -c:v libvpx -deadline realtime -b:v 2M -g 60 -f rtp 'rtp://127.0.0.1:5004?pkt_size=1200' \
    -map 0:a -c:a libopus -b:a 64k -f rtp 'rtp://127.0.0.1:5006?pkt_size=1200'

ffmpeg, H.264 (the parameter sets have to come with each keyframe):

  ffmpeg -re -i movie.mp4 -map 0:v -c:v libx264 -tune zerolatency -bf 0 -g 60 -b:v 2M \
    -bsf:v dump_extra=freq=keyframe -f rtp 'rtp://127.0.0.1:5004?pkt_size=1200'

GStreamer:

  gst-launch-1.0 videotestsrc is-live=true ! vp8enc deadline=1 keyframe-max-dist=60 ! \
    rtpvp8pay mtu=1200 picture-id-mode=15-bit ! udpsink host=127.0.0.1 port=5004 \
    audiotestsrc is-live=true ! opusenc ! rtpopuspay mtu=1200 ! udpsink host=127.0.0.1 port=5006`,
		Example: `  skein publish rtp --stream stage --video VP8@127.0.0.1:5004 --audio opus@127.0.0.1:5006`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			live, err := listenLive(video, videoRates, audio, audioRate)
			defer live.close()
			if err != nil {
				return err
			}
			j, err := a.join(cmd.Context(), &m)
			if err != nil {
				return err
			}
			return errors.Join(a.pump(cmd.Context(), j.node, name, live), a.leave(j))
		},
	}
	f := cmd.Flags()
	m.add(f, member.DefaultConfig(), "")
	f.StringVar(&name, "stream", "live", "what comes before /video and /audio in the streams' names")
	f.StringSliceVar(&video, "video", nil, "codec and address of the video, CODEC@HOST:PORT; VP8, VP9, H264 or AV1; once for each layer")
	f.StringVar(&audio, "audio", "", "codec and address of the audio, opus@HOST:PORT")
	f.UintSliceVar(&videoRates, "video-rate", []uint{2500}, "rate of the video at its peaks, kbit/s; of several layers one for each, or that of the largest, of which each has a quarter of the next")
	f.Uint32Var(&audioRate, "audio-rate", 96, "rate of the audio at its peaks, kbit/s")
	return cmd
}

// liveTracks are what encoders send: a picture in layers, sound, or both.
type liveTracks struct{ video, audio []*media.Live }

func (t liveTracks) close() {
	for _, l := range slices.Concat(t.video, t.audio) {
		_ = l.Close() // it was only read
	}
}

// listenLive opens the sockets. What it returns is to be closed even if there is an error.
func listenLive(video []string, videoRates []uint, audio string, audioRate uint32) (t liveTracks, err error) {
	if len(video) == 0 && audio == "" {
		return t, fmt.Errorf("neither --video nor --audio says where media come from: %w", region.ErrInvalid)
	}
	rates, err := layerRates(len(video), videoRates)
	if err != nil {
		return t, err
	}
	for i, spec := range video {
		l, err := listenOne("--video", spec, rates[i], region.Video)
		if err != nil {
			return t, err
		}
		t.video = append(t.video, l)
		if c := l.Track().Codec; c != t.video[0].Track().Codec {
			return t, fmt.Errorf("--video %.60q: %w: layers are all of one codec", spec, region.ErrInvalid)
		}
	}
	if audio != "" {
		l, err := listenOne("--audio", audio, region.Rate(audioRate), region.Audio)
		if err != nil {
			return t, err
		}
		t.audio = append(t.audio, l)
	}
	return t, nil
}

func listenOne(flag, spec string, rate region.Rate, kind region.Kind) (*media.Live, error) {
	l, err := media.ListenLive(spec, rate)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	if l.Track().Kind != kind {
		return nil, errors.Join(fmt.Errorf("%s: %s is no %s: %w", flag, l.Track().Codec, kind, region.ErrInvalid), l.Close())
	}
	return l, nil
}

// layerRates are the rates of n layers, the lowest first: those given, or fractions of the
// one given.
func layerRates(n int, given []uint) ([]region.Rate, error) {
	if n > region.MaxLayers {
		return nil, fmt.Errorf("%d times --video: %w: at most %d layers", n, region.ErrInvalid, region.MaxLayers)
	}
	if len(given) != 1 && len(given) != max(n, 1) {
		return nil, fmt.Errorf("--video-rate: %w: %d rates for %d layers", region.ErrInvalid, len(given), n)
	}
	rates := make([]region.Rate, n)
	for i := range rates {
		rate := given[len(given)-1] >> (2 * (n - 1 - i))
		if len(given) == n {
			rate = given[i]
		}
		rates[i] = region.Rate(max(rate, 1))
	}
	return rates, nil
}

// pump publishes what comes until ctx ends.
func (a *app) pump(ctx context.Context, n *member.Node, name string, live liveTracks) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, layers := range [][]*media.Live{live.video, live.audio} {
		if len(layers) == 0 {
			continue
		}
		t := layers[0].Track()
		s := member.Stream{Name: region.StreamID(name + "/" + t.Kind.String()), Kind: t.Kind, Codec: t.Codec}
		for _, l := range layers {
			s.Layers = append(s.Layers, l.Track().Rate)
		}
		out, err := n.Publish(ctx, s)
		if err != nil {
			return fmt.Errorf("publish %.60q: %w", s.Name, err)
		}
		large := sync.OnceFunc(func() {
			a.log.Warn("packets are too large and left out: tell the encoder to make them of 1200 bytes", "stream", s.Name)
		})
		for layer, l := range layers {
			a.log.Info("publishing what comes", "stream", s.Name, "codec", s.Codec, "layer", layer, "at", l.Addr())
			wait.Go(func() {
				cancel(l.Pump(ctx, func(p *rtp.Packet) error {
					err := out.WriteLayer(layer, p, time.Time{})
					if errors.Is(err, region.ErrInvalid) {
						large()
						return nil
					}
					return err
				}))
			})
		}
	}
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// publishWHIP lets others publish through this member.
func (a *app) publishWHIP() *cobra.Command {
	var m memberFlags
	cmd := &cobra.Command{
		Use:   "whip",
		Short: "Publish what OBS, GStreamer, ffmpeg or a browser sends by WHIP",
		Long: `Open a door: whoever POSTs to http://HTTP/whip/NAME publishes NAME/video and
NAME/audio through this member. 'skein member --door' does the same beside
relaying; this command has no more than the door.

OBS 30 and later: Settings, Stream, Service: WHIP, Server:
http://127.0.0.1:7480/whip/stage, Bearer Token: that of --door-publish-token.

GStreamer 1.22 and later, with gst-plugins-rs:

  gst-launch-1.0 videotestsrc is-live=true ! vp8enc deadline=1 ! rtpvp8pay ! \
    application/x-rtp,media=video,encoding-name=VP8,payload=96 ! \
    whipsink whip-endpoint=http://127.0.0.1:7480/whip/stage auth-token=TOKEN

ffmpeg 8 and later:

  ffmpeg -re -i movie.mp4 -c:v libx264 -profile:v baseline -tune zerolatency -bf 0 -g 60 \
    -c:a libopus -ar 48000 -ac 2 -f whip -authorization TOKEN http://127.0.0.1:7480/whip/stage`,
		Example: `  skein publish whip --http 0.0.0.0:7480 --door-publish-token secret`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m.door.open = true
			j, err := a.join(cmd.Context(), &m)
			if err != nil {
				return err
			}
			<-cmd.Context().Done()
			return a.leave(j)
		},
	}
	m.add(cmd.Flags(), member.DefaultConfig(), "127.0.0.1:7480")
	m.door.addRest(cmd.Flags(), doorMedia)
	return cmd
}
