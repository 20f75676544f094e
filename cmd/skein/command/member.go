package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/pion/rtp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/skein-mesh/skein/cmd/skein/web"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/member/door"
	"github.com/skein-mesh/skein/member/mix"
	"github.com/skein-mesh/skein/region"
)

// memberFlags are the settings of a member, shared by the commands that join.
type memberFlags struct {
	cfg       member.Config
	tokenFile string
	access    string
	region    string
	uplink    uint32
	http      string
	door      doorFlags
}

// The ports of a member that stays, so that a firewall can know them. Commands
// that come and go take any.
const (
	mediaAddress  = ":7500"
	gossipAddress = "0.0.0.0:7402"
)

// add defines the flags. cfg holds the defaults, as far as they are not alike.
func (m *memberFlags) add(f *pflag.FlagSet, cfg member.Config, http string) {
	m.cfg = cfg
	f.StringSliceVar(&m.cfg.Coordinators, "coordinators", []string{defaultCoordinator}, "gRPC addresses of coordinators, host:port; the others are learnt")
	f.StringVar(&m.cfg.Token, "token", "", "join token, needed the first time; see 'skein token create'")
	f.StringVar(&m.tokenFile, "token-file", "", "file with the join token, instead of --token")
	f.StringVar(&m.access, "access-file", "", "file with the access token of the application, where the coordinators ask for one (skein access create); it is read again for every call")
	f.StringVar(&m.cfg.DataDir, "data", "", "folder that keeps key and certificate; without it the member is another one each time")
	f.StringVar(&m.region, "region", defaultRegion, "region to live in, or nearest")
	f.StringVar(&m.cfg.Name, "name", "", "name for people")
	f.Uint32Var(&m.uplink, "uplink", uint32(m.cfg.Uplink), "what the member is willing to send, kbit/s; 0 only receives")
	f.StringVar(&m.cfg.Media, "media", m.cfg.Media, "UDP address for media; port 0 for any")
	f.StringVar(&m.cfg.Gossip, "gossip", m.cfg.Gossip, "UDP and TCP address for gossip, port 0 for any; or none")
	f.StringSliceVar(&m.cfg.Advertise, "advertise", nil, "IP addresses under which others reach this member, best first")
	f.StringVar(&m.http, "http", http, "address of /healthz, /readyz, /metrics, /state and /events; empty for none")
	markPath(f, "data", "token-file", "access-file")
}

// readToken takes the token from its file, if one is named. A member that has
// its certificate already needs none, so the file may be gone by then.
func (m *memberFlags) readToken() error {
	if m.tokenFile == "" || m.cfg.Token != "" {
		return nil
	}
	data, err := os.ReadFile(m.tokenFile)
	if errors.Is(err, fs.ErrNotExist) && m.cfg.DataDir != "" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	m.cfg.Token = strings.TrimSpace(string(data))
	return nil
}

// readAccess reads the access token, which others renew.
func (m *memberFlags) readAccess(context.Context) (string, error) {
	data, err := os.ReadFile(m.access)
	if err != nil {
		return "", fmt.Errorf("--access-file: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// A joined is a member that runs.
type joined struct {
	node *member.Node
	page *web.Server // nil if none is wanted
	door *door.Door  // likewise
	told sync.WaitGroup
}

// join starts a member with the given flags and passes its events on.
func (a *app) join(ctx context.Context, m *memberFlags) (*joined, error) {
	m.cfg.Region, m.cfg.Uplink, m.cfg.Logger = region.ID(m.region), region.Rate(m.uplink), a.log
	if err := m.readToken(); err != nil {
		return nil, err
	}
	if m.access != "" {
		if _, err := m.readAccess(ctx); err != nil {
			return nil, err
		}
		m.cfg.Access = m.readAccess
	}
	n, err := member.Join(ctx, m.cfg)
	if err != nil {
		return nil, err
	}
	j := &joined{node: n}
	feed := web.NewFeed()
	var entrance http.Handler
	if m.door.open {
		if j.door, err = m.door.serve(n, m.http, a, m.cfg.Advertise); err != nil {
			return nil, errors.Join(err, n.Close())
		}
		entrance = j.door.Handler()
	}
	if m.http != "" {
		registry := prometheus.NewRegistry()
		registry.MustRegister(nodeCollector{n.Stats})
		j.page, err = web.Serve(ctx, m.http, web.Handler(web.Config{
			Ready: func() error {
				if !n.Stats().Connected {
					return errors.New("no coordinator is connected")
				}
				return nil
			},
			State: func() any { return memberStateOf(n.Stats()) }, Feed: feed, Metrics: registry,
			Door: entrance,
		}), a.log)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("--http: %w", err), j.shut(), n.Close())
		}
	}
	j.told.Go(func() {
		for e := range n.Events() {
			feed.Publish("event", memberEvent{e.Time, e.Kind.String(), string(e.Stream), e.Peer, e.Detail})
			a.log.Debug("event", "kind", e.Kind.String(), "stream", e.Stream, "peer", e.Peer, "detail", e.Detail)
		}
	})
	return j, nil
}

// leave ends the stay in good order, as long as the user has patience.
func (a *app) leave(j *joined) error {
	if j.page != nil {
		j.page.Close()
	}
	err := errors.Join(j.shut(), j.node.Leave(a.patience))
	j.told.Wait()
	return err
}

// shut closes the door, if there is one.
func (j *joined) shut() error {
	if j.door == nil {
		return nil
	}
	return j.door.Close()
}

func (a *app) member() *cobra.Command {
	var (
		m         memberFlags
		mixed     mixFlags
		offer     volunteerFlags
		subscribe []string
	)
	cmd := &cobra.Command{
		Use:   "member",
		Short: "Run a member that receives streams and relays them",
		Long: `Run a member that receives the streams it is told to (--subscribe), and relays
them to others as far as its uplink goes. It waits for streams that do not exist
yet, and takes them up again when they come back.

With --mix it listens at a place of a space and publishes the loudest voices there as
one stereo stream, for those who have little downlink.

With --coordinator=auto its node coordinates as well while that is needed: when the
region's group has lost a replica for good, and no coordinator that does nothing else
can take its place. Its leader takes the best of those who offer themselves: reachable
by others, here for long (--volunteer-uptime of the coordinators), with a fast disk,
near the other replicas, at another site and of another operator where there is a
choice. 'skein status -o json' says what it thinks of each. It is let go when somebody
else can do it.

The first SIGTERM or SIGINT moves those it feeds to other parents, hands over what it
coordinates, and leaves; the second one stops at once.`,
		Example: `  skein member --coordinators 10.0.0.1:7400 --token skein1.... --data ./me --uplink 20000 --subscribe stage/video,stage/audio
  skein member --coordinators 10.0.0.1:7400 --token-file member.token --data ./me --coordinator=auto \
    --coordinator-token-file coordinator.token --coordinator-advertise 10.0.0.9:7400/10.0.0.9:7401 --site home`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			desk, err := mixed.config()
			if err != nil {
				return err
			}
			volunteers, err := offer.complete(&m)
			if err != nil {
				return err
			}
			j, err := a.join(cmd.Context(), &m)
			if err != nil {
				return err
			}
			resign := func() error { return nil }
			if volunteers {
				v, err := a.volunteer(cmd.Context(), &offer, j, m.cfg.Name)
				if err != nil {
					return errors.Join(err, a.leave(j))
				}
				resign = func() error {
					ctx, cancel := context.WithTimeout(a.patience, resignTimeout)
					defer cancel()
					return v.Shutdown(ctx)
				}
			}
			a.log.Info("member is up", "id", j.node.ID())
			var readers sync.WaitGroup
			if desk != nil {
				readers.Go(func() {
					if err := mix.Serve(cmd.Context(), j.node, *desk); err != nil {
						a.log.Warn("cannot mix", "stream", desk.Stream, "error", err)
					}
				})
			}
			for _, s := range subscribe {
				readers.Go(func() { a.drink(cmd.Context(), j.node, region.StreamID(s)) })
			}
			<-cmd.Context().Done()
			a.log.Info("leaving; a second signal stops at once")
			readers.Wait()
			return errors.Join(resign(), a.leave(j))
		},
	}
	cfg := member.DefaultConfig()
	cfg.Media, cfg.Gossip = mediaAddress, gossipAddress
	m.add(cmd.Flags(), cfg, "127.0.0.1:7480")
	m.door.add(cmd.Flags(), false, doorMedia)
	mixed.add(cmd.Flags())
	offer.add(cmd.Flags())
	cmd.Flags().StringSliceVar(&subscribe, "subscribe", nil, "streams to receive")
	return cmd
}

// drink receives a stream for as long as ctx lasts, again and again if it ends.
func (a *app) drink(ctx context.Context, n *member.Node, name region.StreamID) {
	for ctx.Err() == nil {
		err := receive(ctx, n, name, func(*rtp.Packet) error { return nil })
		if err != nil && ctx.Err() == nil {
			a.log.Warn("cannot receive a stream", "stream", name, "error", err)
			return
		}
	}
}

// receive waits for a stream and gives its packets to each, until the stream or
// ctx ends or each fails.
func receive(ctx context.Context, n *member.Node, name region.StreamID, each func(*rtp.Packet) error) error {
	s, err := n.Await(ctx, name)
	if err != nil {
		return err
	}
	return errors.Join(readAll(ctx, s, each), s.Close())
}

func readAll(ctx context.Context, s *member.Subscription, each func(*rtp.Packet) error) error {
	for {
		p, err := s.ReadRTP(ctx)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := each(p); err != nil {
			return err
		}
	}
}
