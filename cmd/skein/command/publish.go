package command

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/cmd/skein/media"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// A feature is a stream to publish and where it comes from.
type feature struct {
	name   region.StreamID
	source media.Source
	close  func() error
}

func (a *app) publish() *cobra.Command {
	var (
		m     memberFlags
		name  string
		delay time.Duration
	)
	cmd := &cobra.Command{
		Use:   "publish FILE|pattern",
		Short: "Publish a file or a test pattern",
		Long: `Publish a file in real time: IVF (VP8, VP9, AV1) or Ogg (Opus). Or publish
pattern, a test pattern of two streams, NAME/video and NAME/audio, whose packets
are numbered and stamped; 'skein play' accounts for them.

It ends with the file, or drains at the first SIGTERM or SIGINT.`,
		Example: `  skein publish movie.ivf --stream stage/video --token skein1....
  skein publish pattern --stream camera-1`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			features, err := openFeatures(args[0], name)
			defer func() {
				for _, f := range features {
					_ = f.close() // it was only read
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
	f.StringVar(&name, "stream", "", "name of the stream (default: the file's name without its ending, or pattern)")
	f.DurationVar(&delay, "delay", 0, "wait between publishing the stream and its first packet, so that others can find it")
	return cmd
}

// openFeatures opens what is to be published. Names are judged here already,
// before anybody is asked.
func openFeatures(arg, name string) ([]feature, error) {
	features, err := readFeatures(arg, name)
	for _, f := range features {
		err = errors.Join(err, f.name.Validate())
	}
	return features, err
}

func readFeatures(arg, name string) ([]feature, error) {
	nothing := func() error { return nil }
	if arg == media.PatternCodec {
		if name == "" {
			name = media.PatternCodec
		}
		return []feature{
			{region.StreamID(name + "/video"), media.NewPattern(region.Video), nothing},
			{region.StreamID(name + "/audio"), media.NewPattern(region.Audio), nothing},
		}, nil
	}
	f, err := media.Open(arg)
	if err != nil {
		return nil, err
	}
	if name == "" {
		base := filepath.Base(arg)
		name = strings.TrimSuffix(base, filepath.Ext(base))
	}
	return []feature{{region.StreamID(name), f, f.Close}}, nil
}

// perform publishes all features at once and returns when all have ended. If one
// cannot be published, none is.
func (a *app) perform(ctx context.Context, n *member.Node, features []feature, delay time.Duration) error {
	var outs []*member.Publication
	for _, f := range features {
		t := f.source.Track()
		out, err := n.Publish(ctx, member.Stream{Name: f.name, Kind: t.Kind, Layers: []region.Rate{t.Rate}, Codec: t.Codec})
		if err != nil {
			return fmt.Errorf("publish %.60q: %w", f.name, err)
		}
		outs = append(outs, out)
		a.log.Info("publishing", "stream", f.name, "codec", t.Codec, "kbps", t.Rate)
	}
	select {
	case <-ctx.Done():
	case <-time.After(delay):
	}
	var wait sync.WaitGroup
	errs := make([]error, len(features))
	for i, f := range features {
		wait.Go(func() {
			stamp := f.source.Track().Codec == media.PatternCodec
			err := media.Pace(ctx, f.source, func(p *rtp.Packet) error {
				if stamp {
					media.Stamp(p.Payload, time.Now())
				}
				return outs[i].WriteRTP(p)
			})
			if ctx.Err() == nil {
				errs[i] = err
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}
