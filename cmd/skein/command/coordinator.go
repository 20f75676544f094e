package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

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
	f.StringVar(&c.http, "http", "127.0.0.1:7480", "address of /healthz, /readyz, /metrics, /state and /events; empty for none")
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

// runCoordinator runs until ctx ends, then drains.
func (a *app) runCoordinator(ctx context.Context, cfg coordinator.Config, http string) error {
	s, err := coordinator.Start(ctx, cfg)
	if err != nil {
		return err
	}
	if http != "" {
		page, err := web.Serve(ctx, http, s.Handler(), a.log)
		if err != nil {
			return errors.Join(fmt.Errorf("--http: %w", err), s.Close())
		}
		defer page.Close()
	}
	a.log.Info("coordinator is up", "id", s.ID(), "grpc", s.GRPCAddr().String(), "http", http)
	<-ctx.Done()
	a.log.Info("draining; a second signal stops at once")
	return s.Shutdown(a.patience)
}
