package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

const (
	// startTimeout bounds the start of the coordinators and, per started
	// joinShare members, that of the members.
	startTimeout = 60 * time.Second
	joinShare    = 50
	// stopTimeout bounds an orderly end; what is left then is cut off.
	stopTimeout = 10 * time.Second
	// electionTimeout bounds the wait for a leader that is to be killed.
	electionTimeout = 10 * time.Second
	// progressInterval is how often a slow start says how far it is.
	progressInterval = 3 * time.Second
	// joinsAtOnce bounds the members that join at the same time.
	joinsAtOnce = 16
	// pollInterval is how often everybody is asked, pollTimeout how long an
	// answer may take before the node counts as broken.
	pollInterval = time.Second
	pollTimeout  = 15 * time.Second
)

var errInterrupted = errors.New("interrupted before the testnet stood")

// A testnet is a running cluster. Its fields are owned by the goroutine in Run.
type testnet struct {
	cfg     Config
	log     *slog.Logger
	cluster *cluster
	client  *inspect.Client
	show    *display
	page    *page

	coords  []*peer
	members []*peer
	kills   []*killed
	revive  []revival
	began   time.Time // when it stood

	leading    string // gRPC address of the last known leader
	admissions map[string]tallyAdmissions
	hashes     map[uint64]string // state hashes by revision, of the last polls
	forked     uint64            // replicas that differed at the same revision
	// background counts what clears away killed nodes and brings them back.
	background sync.WaitGroup
	revived    chan revived
}

// A peer is a node together with what the harness knows of it.
type peer struct {
	spec  Spec
	node  node
	alive bool // and node is not nil
	// starting is set while an ended node comes back.
	starting bool
	last     Report
	// cleared is closed when nothing is left of a killed node.
	cleared <-chan struct{}
	// past counts what earlier lives of a coordinator found.
	past Report
}

// Run starts a testnet and keeps it until its time is over or ctx ends, then
// takes it down and returns the summary. An error means that the testnet could
// not be started, or that ctx ended before it stood.
func Run(ctx context.Context, cfg Config) (Summary, error) {
	if err := cfg.validate(); err != nil {
		return Summary{}, err
	}
	dir, keep := cfg.DataDir, cfg.DataDir != "" || cfg.Processes
	if dir == "" {
		tmp, err := os.MkdirTemp("", "skein-dev-")
		if err != nil {
			return Summary{}, err
		}
		defer os.RemoveAll(tmp)
		dir = tmp
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return Summary{}, fmt.Errorf("--data: %w", err)
	}
	c, err := newCluster(ctx, dir, cfg.Coordinators, keep, time.Now())
	if err != nil {
		return Summary{}, err
	}
	defer c.close()
	if cfg.matrix != nil && !c.plan.own {
		return Summary{}, errNoOwnIPs
	}
	client, err := inspect.Dial(c.plan.grpc(), c.operator)
	if err != nil {
		return Summary{}, err
	}
	defer client.Close()
	t := &testnet{
		cfg: cfg, log: cfg.Logger, cluster: c, client: client, show: newDisplay(cfg),
		admissions: make(map[string]tallyAdmissions), hashes: make(map[uint64]string),
		revived: make(chan revived, MaxKills*MaxCoordinators),
	}
	if t.page, err = newPage(ctx, cfg); err != nil {
		return Summary{}, err
	}
	defer t.page.close()
	defer t.stop()
	if err := t.start(ctx); err != nil {
		if ctx.Err() != nil {
			return Summary{}, errInterrupted
		}
		return Summary{}, err
	}
	return t.run(ctx)
}

// start brings up the coordinators, waits for a leader, then the members.
func (t *testnet) start(ctx context.Context) error {
	for _, s := range t.cluster.coords {
		t.coords = append(t.coords, &peer{spec: s, node: t.newNode(s)})
	}
	for _, s := range t.cluster.memberSpecs(t.cfg) {
		t.members = append(t.members, &peer{spec: s, node: t.newNode(s)})
	}
	t.show.line("starting %d coordinators and %d members, page at %s", len(t.coords), len(t.members), t.page.url())
	if t.cfg.DataDir != "" {
		t.show.line("ask it: skein status --credentials %s --coordinators %s",
			filepath.Join(t.cluster.dir, operatorDir), strings.Join(t.cluster.plan.grpc(), ","))
	}
	timeout := startTimeout * time.Duration(1+t.cfg.Members/joinShare)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not up after %v: see --log-level debug", timeout))
	defer cancel()
	if err := t.startAll(ctx, t.coords); err != nil {
		return err
	}
	if _, err := t.awaitLeader(ctx); err != nil {
		return err
	}
	joining := time.Now()
	if err := t.startAll(ctx, t.members); err != nil {
		return err
	}
	t.began = time.Now()
	t.show.line("all %d members receive all streams after %.1f s", len(t.members), t.began.Sub(joining).Seconds())
	return nil
}

func (t *testnet) newNode(s Spec) node {
	if t.cfg.Processes {
		return newProcessNode(s, t.cfg.Executable, t.cfg.ChildArgs)
	}
	return newLocalNode(s, t.cfg.Logger)
}

// startAll starts nodes, joinsAtOnce at a time, shows how far it is, and stops at
// the first failure.
func (t *testnet) startAll(ctx context.Context, peers []*peer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		starting sync.WaitGroup
		waiting  = make(chan *peer, len(peers))
		up       atomic.Int64
	)
	for _, p := range peers {
		waiting <- p
	}
	close(waiting)
	for range min(joinsAtOnce, len(peers)) {
		starting.Go(func() {
			for p := range waiting {
				if ctx.Err() != nil {
					return
				}
				if err := p.node.start(ctx); err != nil {
					cancel(err)
					return
				}
				p.alive = true
				up.Add(1)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		starting.Wait()
	}()
	progress := time.NewTicker(progressInterval)
	defer progress.Stop()
	for {
		select {
		case <-done:
			// The first failure; others are its consequences.
			return context.Cause(ctx)
		case <-progress.C:
			t.show.line("%d of %d nodes are up", up.Load(), len(peers))
		}
	}
}

// awaitLeader waits until a coordinator leads and returns its index.
func (t *testnet) awaitLeader(ctx context.Context) (int, error) {
	for {
		if i, ok := t.leader(ctx); ok {
			return i, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("no coordinator leads: %w", context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// leader is the index of the living coordinator that leads.
func (t *testnet) leader(ctx context.Context) (int, bool) {
	status, err := t.client.Status(ctx)
	if err != nil {
		return 0, false
	}
	for i, s := range status {
		for _, g := range s.Groups {
			if g.Region == string(regionID) && g.State == "leader" && t.coords[i].alive {
				return i, true
			}
		}
	}
	return 0, false
}

// stop ends everything, members first, and waits for it.
func (t *testnet) stop() {
	t.background.Wait()
	for len(t.revived) > 0 {
		r := <-t.revived
		r.peer.node = r.node
	}
	for _, peers := range [][]*peer{t.members, t.coords} {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		if t.cfg.DataDir == "" {
			cancel() // nobody remains to whom a good-bye would matter
		}
		var wait sync.WaitGroup
		for _, p := range peers {
			if p.node != nil {
				wait.Go(func() { p.node.stop(ctx) })
			}
		}
		wait.Wait()
		cancel()
	}
}

// publishes reports whether the member is the origin of a stream.
func (p *peer) publishes() bool { return p.spec.Member != nil && len(p.spec.Member.Publish) > 0 }
