package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
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
	// joinsPerProcessor bounds the members that join at the same time; while this machine
	// does not keep up, nobody else begins to, but for one every busyFor: who joins is work
	// (with eight streams some 0.3 s of a processor), and who has joined must not suffer.
	joinsPerProcessor = 2
	busyFor           = 1500 * time.Millisecond
	// joinsFor is how long one counts that is not done yet: it may wait for room that
	// only those have who come after it.
	joinsFor = 5 * time.Second
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
	// entrance is the member whose door is open; nil without --door.
	entrance *entrance

	coords  []*peer
	members []*peer
	kills   []*killed
	revive  []revival
	began   time.Time             // when it stood
	plaza   *plaza                // nil without a space
	square  atomic.Pointer[plaza] // the same, for the page

	leading    string // gRPC address of the last known leader
	admissions map[office]tallyAdmissions
	hashes     map[moment]string // state hashes of the last polls
	forked     uint64            // replicas that differed at the same revision
	// shiftedAt is when distances change, or zero; shifted what came of it.
	shiftedAt time.Time
	shifted   *ShiftSummary
	moves     MoveSummary
	// lostDeparted is the most that anybody had lost of a stream when it left.
	lostDeparted uint64
	// controlled is what control had cost when the testnet stood.
	controlled map[region.MemberID]member.ControlStats
	// readings tell what it has cost lately, oldest first.
	readings []reading
	// taken is the CPU time that coordinators had taken then, by gRPC address.
	taken map[string]time.Duration
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
	// still is until when it is paused, and cannot answer.
	still time.Time
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
	c, err := newCluster(ctx, dir, cfg, keep, time.Now())
	if err != nil {
		return Summary{}, err
	}
	defer c.close()
	if (cfg.matrix != nil || cfg.Auto > 0) && !c.plan.own {
		return Summary{}, errNoOwnIPs
	}
	client, err := inspect.Dial(c.plan.grpc(), c.operator)
	if err != nil {
		return Summary{}, err
	}
	defer client.Close()
	t := &testnet{
		cfg: cfg, log: cfg.Logger, cluster: c, client: client, show: newDisplay(cfg),
		admissions: make(map[office]tallyAdmissions), hashes: make(map[moment]string),
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
	timeout := t.cfg.Arrive + startTimeout*time.Duration(1+t.cfg.Members/joinShare)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not up after %v: see --log-level debug", timeout))
	defer cancel()
	if err := t.startAll(ctx, t.coords, arrival{}); err != nil {
		return err
	}
	if _, err := t.awaitLeader(ctx); err != nil {
		return err
	}
	joining := time.Now()
	if err := t.startMembers(ctx); err != nil {
		return err
	}
	if t.cfg.Door && t.page.server != nil {
		if err := t.openDoor(ctx); err != nil {
			return err
		}
	}
	t.began = time.Now()
	if t.cfg.walk != nil {
		t.openPlaza()
	}
	t.show.line("all %d members receive all streams after %.1f s", len(t.members), t.began.Sub(joining).Seconds())
	return nil
}

func (t *testnet) newNode(s Spec) node {
	if t.cfg.Processes {
		return newProcessNode(s, t.cfg.Executable, t.cfg.ChildArgs)
	}
	return newLocalNode(s, t.cfg.Logger)
}

// An arrival says when nodes start: so many first, and the others when ready has
// returned, one after the other over a time.
type arrival struct {
	first int
	ready func(context.Context) error // nil: at once
	over  time.Duration
}

// startAll starts nodes, a few at a time, shows how far it is, and stops at the
// first failure.
func (t *testnet) startAll(ctx context.Context, peers []*peer, when arrival) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	begun := time.Now()
	var (
		starting sync.WaitGroup
		waiting  = make(chan *peer)
		up       atomic.Int64
	)
	starting.Go(func() {
		defer close(waiting)
		for i, p := range peers {
			if i == when.first && when.ready != nil {
				if err := when.ready(ctx); err != nil {
					cancel(err)
					return
				}
				begun = time.Now()
			}
			after := when.over * time.Duration(max(0, i-when.first)) / time.Duration(len(peers))
			select {
			case <-time.After(time.Until(begun.Add(after))):
			case <-ctx.Done():
				return
			}
			breathe(ctx)
			select {
			case waiting <- p:
			case <-ctx.Done():
				return
			}
		}
	})
	for range min(joinsPerProcessor*runtime.GOMAXPROCS(0), len(peers)) {
		starting.Go(func() {
			for p := range waiting {
				if ctx.Err() != nil {
					return
				}
				started := make(chan struct{})
				starting.Go(func() {
					defer close(started)
					if err := p.node.start(ctx); err != nil {
						cancel(err)
						return
					}
					p.alive = true
					up.Add(1)
				})
				select {
				case <-started:
				case <-time.After(joinsFor):
				case <-ctx.Done():
				}
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

// startMembers lets those join first who publish or are told where to, then the others,
// once it is known how far the regions are. The first ones may not have the uplink for
// all streams, so nobody waits for them to have everything.
func (t *testnet) startMembers(ctx context.Context) error {
	if t.cfg.Regions == 1 && t.cfg.RegionMax == 0 {
		publishers := slices.IndexFunc(t.members, func(p *peer) bool { return !p.publishes() })
		return t.startAll(ctx, t.members, arrival{first: max(publishers, 0), over: t.cfg.Arrive})
	}
	if err := t.awaitRegions(ctx, func(r inspect.Region) bool { return len(r.Replicas) > 0 }); err != nil {
		return err
	}
	var first, rest []*peer
	for _, p := range t.members {
		if p.spec.Member.Region == member.NearestRegion {
			rest = append(rest, p)
		} else {
			first = append(first, p)
		}
	}
	probed := func(ctx context.Context) error {
		return t.awaitRegions(ctx, func(r inspect.Region) bool { return len(r.Probes) > 0 })
	}
	return t.startAll(ctx, slices.Concat(first, rest), arrival{first: len(first), ready: probed, over: t.cfg.Arrive})
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
	if t.plaza != nil {
		t.plaza.close()
	}
	t.background.Wait()
	if t.entrance != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		t.entrance.close(ctx)
		cancel()
	}
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

// answers reports whether the node lives and is not paused.
func (p *peer) answers() bool { return p.alive && !time.Now().Before(p.still) }

// publishes reports whether the member is the origin of a stream.
func (p *peer) publishes() bool { return p.spec.Member != nil && len(p.spec.Member.Publish) > 0 }
