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
	peers                                []string
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
	f.StringVar(&cfg.Name, "name", "", "name for people")
	f.StringVar(&c.region, "region", defaultRegion, "region whose group it takes part in")
	f.StringSliceVar(&c.peers, "peers", nil, "all first replicas of the group, this one included: id=grpc host:port/raft host:port")
	f.StringVar(&cfg.GRPC, "grpc", cfg.GRPC, "address to serve members and tools at")
	f.StringVar(&cfg.Raft, "raft", cfg.Raft, "address for the other replicas")
	f.StringVar(&c.http, "http", "127.0.0.1:7480", "address of the page, /healthz, /readyz, /metrics, /state and /events; empty for none")
	f.IntVar(&cfg.RaftMultiplier, "raft-multiplier", cfg.RaftMultiplier, "stretches Raft's timeouts, 1 (LAN) to 10")
	f.IntVar(&cfg.MaxMembers, "max-members", cfg.MaxMembers, "most members of a region")
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
	group := coordinator.Group{Region: region.ID(c.region)}
	for _, p := range c.peers {
		id, addrs, ok := strings.Cut(p, "=")
		grpc, raft, ok2 := strings.Cut(addrs, "/")
		if !ok || !ok2 {
			return fmt.Errorf("--peers %.80q: %w: want id=host:7400/host:7401", p, region.ErrInvalid)
		}
		group.Peers = append(group.Peers, coordinator.Peer{ID: region.MemberID(id), GRPC: grpc, Raft: raft})
	}
	cfg.Groups = []coordinator.Group{group}
	return nil
}

// showPage serves what the coordinator tells of itself and, for everything else,
// the page that shows its region. The page asks all replicas of the region's
// group, as any tool does, so it is the same at each of them.
func (a *app) showPage(ctx context.Context, cfg coordinator.Config, addr string, own http.Handler) (hide func(), err error) {
	group := cfg.Groups[0]
	var replicas []string
	for _, p := range group.Peers {
		replicas = append(replicas, p.GRPC)
	}
	client, err := inspect.Dial(replicas, cfg.Credentials)
	if err != nil {
		return nil, err
	}
	page := web.NewPage(nil)
	mux := http.NewServeMux()
	mux.Handle("/", page.Handler())
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/state", "/events"} {
		mux.Handle(path, own)
	}
	server, err := web.Serve(ctx, addr, mux, a.log)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	var following sync.WaitGroup
	following.Go(func() { page.Follow(ctx, client, group.Region) })
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
