package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/cmd/skein/web"
	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// coordinatorFlags are the settings of a coordinator that are not yet a
// coordinator.Config.
type coordinatorFlags struct {
	credentials, authority, region, http string
	accessKeys                           string
	advertise                            string
	peers, seeds                         []string
}

func (a *app) coordinator() *cobra.Command {
	cfg := coordinator.DefaultConfig()
	var c coordinatorFlags
	cmd := &cobra.Command{
		Use:   "coordinator",
		Short: "Run a coordinator",
		Long: `Run a coordinator: it holds a replica of a region's group, decides who relays
to whom when it leads, and enrols new nodes if it has the cluster's CA.
'skein init' writes its settings.

With --seeds and --advertise instead of --peers it hosts nothing at first: groups
that lack replicas are given one here, and lost regions are formed anew.

The first SIGTERM or SIGINT hands leadership over and ends in good order, the
second one stops at once. Nothing that was acknowledged is lost either way, nor
by a crash: start it again on the same --data.`,
		Example: `  skein coordinator --config cluster/coordinator-1/skein.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.complete(&cfg); err != nil {
				return err
			}
			cfg.Logger = a.log
			return a.runCoordinator(cmd.Context(), cfg, c.http)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.DataDir, "data", "data", "folder for the Raft logs; it must last")
	f.StringVar(&c.credentials, "credentials", "", "folder with the coordinator's key and certificate")
	f.StringVar(&c.authority, "authority", "", "folder with the cluster's CA; without it nobody enrols here")
	f.StringVar(&c.accessKeys, "access-keys", "", "file with the public keys of the applications that say what members may do (skein access key); the same at all coordinators. Without it all may do everything")
	f.StringVar(&cfg.Name, "name", "", "name for people")
	f.StringVar(&c.region, "region", defaultRegion, "region whose group it takes part in")
	f.StringSliceVar(&c.peers, "peers", nil, "all first replicas of the group, this one included: id=grpc host:port/raft host:port")
	f.StringVar(&cfg.GRPC, "grpc", cfg.GRPC, "address to serve members and tools at")
	f.StringVar(&cfg.Raft, "raft", cfg.Raft, "address for the other replicas")
	f.StringVar(&cfg.TURN, "turn", "", "UDP address for STUN and TURN, e.g. 0.0.0.0:3478, the same port at all coordinators; empty for none")
	f.BoolVar(&cfg.TURNPrivate, "turn-private", false, "let TURN relay to private and loopback addresses as well")
	f.StringVar(&c.http, "http", "127.0.0.1:7480", "address of the page, /healthz, /readyz, /metrics, /state and /events; empty for none")
	f.IntVar(&cfg.RaftMultiplier, "raft-multiplier", cfg.RaftMultiplier, "stretches Raft's timeouts, 1 (LAN) to 10")
	f.IntVar(&cfg.MaxMembers, "max-members", cfg.MaxMembers, "most members of a region")
	f.IntVar(&cfg.Healing.Replicas, "replicas", cfg.Healing.Replicas, "replicas with a vote that each group is to have, odd; 0 leaves groups as they are")
	f.DurationVar(&cfg.Healing.ReplaceAfter, "replace-after", cfg.Healing.ReplaceAfter, "how long a replica must be silent to be replaced")
	f.DurationVar(&cfg.Healing.Volunteers.Uptime, "volunteer-uptime", cfg.Healing.Volunteers.Uptime, "how long a member must have been here for its node to coordinate if it offers that (skein member --coordinator=auto)")
	f.DurationVar(&cfg.Healing.Volunteers.Write, "volunteer-write", cfg.Healing.Volunteers.Write, "how long 99 of 100 writes to the disk of such a node may take")
	f.DurationVar(&cfg.Healing.Volunteers.RTT, "volunteer-rtt", cfg.Healing.Volunteers.RTT, "how far the replicas of the group may be from such a node")
	f.StringVar(&cfg.Site, "site", "", "where this coordinator stands; replicas of a group are spread over sites")
	f.StringVar(&cfg.Operator, "operator", "", "who runs this coordinator; replicas of a group are spread over operators")
	f.StringVar(&c.advertise, "advertise", "", "addresses for others, host:port/host:port for gRPC and Raft; needed without --peers")
	f.StringSliceVar(&c.seeds, "seeds", nil, "coordinators to meet first, as in --peers; without --peers this one waits to be given replicas")
	f.DurationVar(&cfg.ReformAfter, "reform-after", cfg.ReformAfter, "how long a region's coordinators must be gone, by the word of most of its members, before it is formed anew here; 0: only by 'skein region recover'")
	f.IntVar(&cfg.Boundary.SplitAt, "region-max", cfg.Boundary.SplitAt, "members at which a region is split; below a quarter of it it is merged; 0 = never. All coordinators of a region use the same")
	f.DurationVar(&cfg.Boundary.Quiet, "region-quiet", cfg.Boundary.Quiet, "how long a region stays as it is after it was split or merged, unless an operator asks")
	f.DurationVar(&cfg.LeaseTTL, "lease-ttl", cfg.LeaseTTL, "how long a member's lease lasts without a word from it")
	markPath(f, "data", "credentials", "authority")
	return cmd
}

// complete turns flags into settings.
func (c *coordinatorFlags) complete(cfg *coordinator.Config) error {
	var err error
	if c.credentials == "" {
		return fmt.Errorf("--credentials is missing: %w: name the folder with the coordinator's key and certificate, or give --config with the settings that 'skein init' wrote", region.ErrInvalid)
	}
	cfg.Credentials, err = trust.LoadCredentials(c.credentials)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no credentials in %s: %w; 'skein init' makes a folder per coordinator, --credentials names it", c.credentials, fs.ErrNotExist)
	}
	if err != nil {
		return err
	}
	cfg.CredentialsDir = c.credentials
	if c.authority != "" {
		if cfg.Authority, err = loadAuthority(c.authority); err != nil {
			return err
		}
	}
	if c.accessKeys != "" {
		if cfg.Access, err = trust.LoadAccessKeys(c.accessKeys); err != nil {
			return fmt.Errorf("--access-keys: %w", err)
		}
	}
	if c.advertise != "" {
		grpc, raft, ok := strings.Cut(c.advertise, "/")
		if !ok {
			return fmt.Errorf("--advertise %.80q: %w: want host:7400/host:7401", c.advertise, region.ErrInvalid)
		}
		cfg.Advertise = coordinator.Peer{ID: cfg.Credentials.ID(), GRPC: grpc, Raft: raft}
	}
	if cfg.Seeds, err = peers("--seeds", c.seeds); err != nil {
		return err
	}
	group := coordinator.Group{Region: region.ID(c.region)}
	if group.Peers, err = peers("--peers", c.peers); err != nil {
		return err
	}
	if len(group.Peers) > 0 || len(cfg.Seeds) == 0 {
		cfg.Groups = []coordinator.Group{group}
	}
	return nil
}

// peers reads coordinators as a flag names them.
func peers(flag string, list []string) ([]coordinator.Peer, error) {
	var out []coordinator.Peer
	for _, p := range list {
		id, addrs, ok := strings.Cut(p, "=")
		grpc, raft, ok2 := strings.Cut(addrs, "/")
		if !ok || !ok2 {
			return nil, fmt.Errorf("%s %.80q: %w: want id=host:7400/host:7401", flag, p, region.ErrInvalid)
		}
		out = append(out, coordinator.Peer{ID: region.MemberID(id), GRPC: grpc, Raft: raft})
	}
	return out, nil
}

// showPage serves what the coordinator tells of itself and, for everything else,
// the page that shows its region. The page asks all replicas of the region's
// group, as any tool does, so it is the same at each of them.
func (a *app) showPage(ctx context.Context, cfg coordinator.Config, addr string, own http.Handler) (hide func(), err error) {
	id, known := region.ID(defaultRegion), cfg.Seeds
	if len(cfg.Groups) > 0 {
		id, known = cfg.Groups[0].Region, cfg.Groups[0].Peers
	}
	var replicas []string
	for _, p := range known {
		replicas = append(replicas, p.GRPC)
	}
	client, err := inspect.Dial(replicas, cfg.Credentials)
	if err != nil {
		return nil, err
	}
	page := web.NewPage(nil)
	mux := http.NewServeMux()
	mux.Handle("/", page.Handler())
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/state", "/events", "/regions"} {
		mux.Handle(path, own)
	}
	server, err := web.Serve(ctx, addr, mux, a.log)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	var following sync.WaitGroup
	following.Go(func() { page.Follow(ctx, client, id) })
	return func() {
		server.Close()
		stop()
		following.Wait()
		_ = client.Close() // nobody asks any more
	}, nil
}

// runCoordinator runs until ctx ends, then drains.
func (a *app) runCoordinator(ctx context.Context, cfg coordinator.Config, addr string) error {
	s, err := coordinator.Start(ctx, cfg)
	if err != nil {
		return err
	}
	if addr != "" {
		hide, err := a.showPage(ctx, cfg, addr, s.Handler())
		if err != nil {
			return errors.Join(fmt.Errorf("--http: %w", err), s.Close())
		}
		defer hide()
	}
	a.log.Info("coordinator is up", "id", s.ID(), "grpc", s.GRPCAddr().String(), "http", addr)
	<-ctx.Done()
	a.log.Info("draining; a second signal stops at once")
	return s.Shutdown(a.patience)
}
