package command

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/cmd/skein/media"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// A feature is a stream to publish and where its layers come from, the lowest first.
type feature struct {
	name   region.StreamID
	layers []media.Source
}

func (f feature) stream() member.Stream {
	t := f.layers[0].Track()
	s := member.Stream{Name: f.name, Kind: t.Kind, Codec: t.Codec}
	for _, l := range f.layers {
		s.Layers = append(s.Layers, l.Track().Rate)
	}
	return s
}

func (a *app) publish() *cobra.Command {
	var (
		m      memberFlags
		name   string
		layers int
		delay  time.Duration
	)
	cmd := &cobra.Command{
		Use:   "publish FILE...|pattern",
		Short: "Publish a file or a test pattern",
		Long: `Publish a file in real time: IVF (VP8, VP9, AV1) or Ogg (Opus). Several IVF files
of one picture in different sizes are the layers of one stream: who receives it
draws the one that its link carries and its screen needs. Or publish
pattern, a test pattern of two streams, NAME/video and NAME/audio, whose packets
are numbered and stamped; 'skein play' accounts for them. What encoders send
live is published by 'skein publish rtp' and 'skein publish whip'.

It ends with the files, or drains at the first SIGTERM or SIGINT.`,
		Example: `  skein publish movie.ivf --stream stage/video --token skein1....
  skein publish 180p.ivf 360p.ivf 720p.ivf --stream stage/video
  skein publish pattern --stream camera-1 --layers 3`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			features, files, err := openFeatures(args, name, layers)
			defer func() {
				for _, f := range files {
					_ = f.Close() // it was only read
				}
			}()
			if err != nil {
				return err
			}
			j, err := a.join(cmd.Context(), &m)
			if err != nil {
				return err
			}
			return errors.Join(a.perform(cmd.Context(), j.node, features, delay), a.leave(j))
		},
	}
	f := cmd.Flags()
	m.add(f, member.DefaultConfig(), "")
	f.StringVar(&name, "stream", "", "name of the stream (default: the first file's name without its ending, or pattern)")
	f.IntVar(&layers, "layers", 1, "layers of the pattern's video, each of a quarter of the next one's rate")
	cmd.AddCommand(a.publishRTP(), a.publishWHIP())
	f.DurationVar(&delay, "delay", 0, "wait between publishing the stream and its first packet, so that others can find it")
	return cmd
}

// openFeatures opens what is to be published. Names are judged here already,
// before anybody is asked. The files are to be closed, even if there is an error.
func openFeatures(args []string, name string, layers int) (features []feature, files []*media.File, err error) {
	if layers < 1 || layers > region.MaxLayers {
		return nil, nil, fmt.Errorf("--layers %d: %w: 1 to %d", layers, region.ErrInvalid, region.MaxLayers)
	}
	if args[0] == media.PatternCodec && len(args) == 1 {
		features = patternFeatures(name, layers)
	} else {
		if layers > 1 {
			return nil, nil, fmt.Errorf("--layers %d: %w: of files, name one for each layer", layers, region.ErrInvalid)
		}
		if files, err = openFiles(args); err != nil {
			return nil, files, err
		}
		if name == "" {
			base := filepath.Base(args[0])
			name = strings.TrimSuffix(base, filepath.Ext(base))
		}
		f := feature{name: region.StreamID(name)}
		for _, file := range files {
			f.layers = append(f.layers, file)
		}
		features = []feature{f}
	}
	for _, f := range features {
		err = errors.Join(err, f.name.Validate())
	}
	return features, files, err
}

func patternFeatures(name string, layers int) []feature {
	if name == "" {
		name = media.PatternCodec
	}
	video := feature{name: region.StreamID(name + "/video")}
	for _, p := range media.NewPatternLayers(layers, media.Large) {
		video.layers = append(video.layers, p)
	}
	return []feature{video, {region.StreamID(name + "/audio"), []media.Source{media.NewPattern(region.Audio, media.Large)}}}
}

// openFiles opens the layers of one stream and puts the one of the least rate first.
func openFiles(paths []string) (files []*media.File, err error) {
	if len(paths) > region.MaxLayers {
		return nil, fmt.Errorf("%d files: %w: at most %d layers", len(paths), region.ErrInvalid, region.MaxLayers)
	}
	for _, path := range paths {
		f, err := media.Open(path)
		if err != nil {
			return files, err
		}
		files = append(files, f)
		if t, first := f.Track(), files[0].Track(); len(paths) > 1 && (t.Kind != region.Video || t.Codec != first.Codec) {
			return files, fmt.Errorf("%s: %w: it is %s; layers are video, all of one codec", path, region.ErrInvalid, t.Codec)
		}
	}
	slices.SortStableFunc(files, func(a, b *media.File) int { return int(a.Track().Rate) - int(b.Track().Rate) })
	return files, nil
}

// perform publishes all features at once and returns when all have ended. If one
// cannot be published, none is.
func (a *app) perform(ctx context.Context, n *member.Node, features []feature, delay time.Duration) error {
	var outs []*member.Publication
	for _, f := range features {
		s := f.stream()
		out, err := n.Publish(ctx, s)
		if err != nil {
			return fmt.Errorf("publish %.60q: %w", f.name, err)
		}
		outs = append(outs, out)
		a.log.Info("publishing", "stream", f.name, "codec", s.Codec, "kbps", s.Layers)
	}
	select {
	case <-ctx.Done():
	case <-time.After(delay):
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for i, f := range features {
		for layer, source := range f.layers {
			wait.Go(func() {
				err := media.Pace(ctx, source, func(p *rtp.Packet) error {
					if source.Track().Codec == media.PatternCodec {
						media.Stamp(p.Payload, time.Now())
					}
					return outs[i].WriteLayer(layer, p, time.Time{})
				})
				if err != nil && ctx.Err() == nil {
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, err)
				}
			})
		}
	}
	wait.Wait()
	return errors.Join(errs...)
}
