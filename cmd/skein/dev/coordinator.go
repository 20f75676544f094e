package dev

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// checkInterval is how often a replica's structure is checked, if it changed.
const checkInterval = 250 * time.Millisecond

// quiet is how long a boundary stays as it is: an hour would outlast any run.
const quiet = 10 * time.Second

// A coordinatorNode is a coordinator in this process.
type coordinatorNode struct {
	spec    Spec
	log     *slog.Logger
	hush    hush
	cable   *cable
	life    context.Context
	end     context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	server *coordinator.Server
	counts Report
}

func newCoordinatorNode(spec Spec, log *slog.Logger) *coordinatorNode {
	life, end := context.WithCancel(context.Background())
	log, hush := newHush(log.With("node", spec.Name))
	return &coordinatorNode{
		spec: spec, log: log, hush: hush, cable: newCable(spec.IP),
		life: life, end: end,
	}
}

func (c *coordinatorNode) start(ctx context.Context) error {
	cfg, err := c.config()
	if err != nil {
		return fmt.Errorf("%s: %w", c.spec.Name, err)
	}
	s, err := coordinator.Start(ctx, cfg)
	if err != nil {
		return fmt.Errorf("%s: %w", c.spec.Name, err)
	}
	c.mu.Lock()
	c.server = s
	c.counts.ID = s.ID()
	c.mu.Unlock()
	c.running.Go(func() { c.check(s) })
	return nil
}

func (c *coordinatorNode) config() (coordinator.Config, error) {
	s := c.spec.Coordinator
	creds, authority := s.credentials, s.authority
	var err error
	if creds == nil {
		if creds, err = trust.LoadCredentials(s.Dir); err != nil {
			return coordinator.Config{}, err
		}
		if authority, err = trust.LoadAuthority(s.AuthorityDir); err != nil {
			return coordinator.Config{}, err
		}
	}
	cfg := coordinator.DefaultConfig()
	cfg.Name = c.spec.Name
	cfg.DataDir = s.Dir
	cfg.Credentials, cfg.Authority = creds, authority
	cfg.Groups, cfg.Seeds = s.Groups, s.Seeds
	cfg.GRPC, cfg.Raft = s.GRPC, s.Raft
	// It may host nothing at first.
	cfg.Advertise = coordinator.Peer{ID: creds.ID(), GRPC: s.GRPC, Raft: s.Raft}
	cfg.MaxMembers = max(region.DefaultMembers, MaxMembers)
	cfg.Boundary.SplitAt, cfg.Boundary.Quiet, cfg.Boundary.Retry = s.RegionMax, quiet, quiet/2
	cfg.RaftMultiplier = s.Patience
	if s.Hasty {
		hasten(&cfg)
	}
	cfg.Network = c.cable
	cfg.Logger = c.log
	return cfg, nil
}

// check judges every structure it sees the replica at.
func (c *coordinatorNode) check(s *coordinator.Server) {
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
	last := map[region.ID]region.Revision{}
	for {
		select {
		case <-c.life.Done():
			return
		case <-tick.C:
		}
		for _, id := range s.Regions() {
			if r := s.Region(id); r != nil && r.Revision() != last[id] {
				last[id] = r.Revision()
				c.judge(r)
			}
		}
	}
}

func (c *coordinatorNode) judge(r *region.Region) {
	err := r.Check()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Checks++
	if err != nil {
		c.counts.Broken++
		c.counts.Complaint = fmt.Sprintf("%s, region %s at revision %d: %v", c.spec.Name, r.ID(), r.Revision(), err)
	}
}

func (c *coordinatorNode) report(context.Context, Query) (Report, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.counts
	if c.server != nil {
		for _, id := range c.server.Regions() {
			r.Planning += c.server.Planning(id)
		}
		r.Boundary = c.server.BoundaryMoves()
	}
	return r, nil
}

func (c *coordinatorNode) kill() {
	c.hush.silence()
	c.cable.unplug()
	c.end()
}

func (c *coordinatorNode) stop(context.Context) {
	c.end()
	c.mu.Lock()
	s := c.server
	c.mu.Unlock()
	// The whole testnet ends, so there is nobody to hand leadership to.
	if s != nil {
		if err := s.Close(); err != nil {
			c.log.Debug("did not close cleanly", "error", err)
		}
	}
	c.running.Wait()
}
