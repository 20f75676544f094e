package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// noticeEvery is how often a follower looks who leads, for the history.
const noticeEvery = 250 * time.Millisecond

// A replica is this coordinator's part in one region group.
type replica struct {
	region  region.ID
	self    region.MemberID
	cfg     *Config
	group   *group.Group
	peers   []Peer
	history *history
	meter   *meter
	counts  counts
	logger  *slog.Logger

	// leading is the present leadership; nil while the replica does not lead.
	leading atomic.Pointer[leadership]
	// streams counts the goroutines of sessions.
	streams *sync.WaitGroup
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// counts are the admissions by outcome since the replica started.
type counts struct {
	accepted, refusedStale, refusedFull, refusedByPeer, refusedOther, placed atomic.Uint64
}

func (c *counts) message() *skeinv1.AdmissionCounts {
	return &skeinv1.AdmissionCounts{
		Accepted:      c.accepted.Load(),
		RefusedStale:  c.refusedStale.Load(),
		RefusedFull:   c.refusedFull.Load(),
		RefusedByPeer: c.refusedByPeer.Load(),
		RefusedOther:  c.refusedOther.Load(),
		Placed:        c.placed.Load(),
	}
}

// start begins to follow the group.
func (r *replica) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	state := r.group.State()
	r.history.begin(state.Region)
	feed := r.group.Subscribe(state.Region.Revision())
	r.wg.Go(func() { r.record(ctx, feed) })
	r.wg.Go(func() { r.serve(ctx) })
}

// record keeps the history of what was applied.
func (r *replica) record(ctx context.Context, feed *group.Feed) {
	for {
		a, err := feed.Next(ctx)
		if err != nil {
			return
		}
		r.history.applied(a)
		r.meter.describe(a.Region)
	}
}

// serve has a leadership whenever the group gives one to this replica.
func (r *replica) serve(ctx context.Context) {
	end := func() {}
	defer func() { end() }()
	ticker := time.NewTicker(noticeEvery)
	defer ticker.Stop()
	var leader region.MemberID
	for {
		select {
		case l, ok := <-r.group.Leadership():
			if !ok {
				return
			}
			end()
			end = func() {}
			r.meter.leading(l.Leading)
			if l.Leading {
				end = r.takeOffice(ctx)
			}
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if now, ok := r.group.Leader(); ok && now != leader {
			leader = now
			r.history.note(&skeinv1.Event{Kind: "leader.changed", Member: string(now), Detail: r.addressOf(now)})
		}
	}
}

// takeOffice starts a leadership and returns what ends it.
func (r *replica) takeOffice(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.lead(ctx) })
	return func() {
		cancel()
		wg.Wait()
	}
}

// leader returns the present leadership, or says who else leads.
func (r *replica) leader() (*leadership, error) {
	if l := r.leading.Load(); l != nil {
		return l, nil
	}
	return nil, r.notLeader()
}

// notLeader says who leads, as far as this replica knows. While it is about to
// take office itself it names nobody, so that callers ask again.
func (r *replica) notLeader() error {
	e := &region.NotLeaderError{}
	if id, ok := r.group.Leader(); ok && id != r.self {
		e.Leader, e.Address = id, r.addressOf(id)
	}
	return fmt.Errorf("region %s: %w", r.region, e)
}

func (r *replica) addressOf(id region.MemberID) string {
	for _, p := range r.peers {
		if p.ID == id {
			return p.GRPC
		}
	}
	return ""
}

// coordinators lists the replicas of the group for members.
func (r *replica) coordinators() []*skeinv1.Coordinator {
	leader, _ := r.group.Leader()
	list := make([]*skeinv1.Coordinator, 0, len(r.peers))
	for _, p := range r.peers {
		list = append(list, &skeinv1.Coordinator{Id: string(p.ID), Address: p.GRPC, Leader: p.ID == leader})
	}
	return list
}

// transfer hands leadership to a follower that has caught up, if the replica
// leads and there is one.
func (r *replica) transfer(ctx context.Context) error {
	status := r.group.Status()
	if status.Role != "leader" {
		return nil
	}
	var best *group.Replica
	for _, p := range status.Replicas {
		if p.Node != r.self && p.Voter && p.Heard >= 0 && (best == nil || p.Match > best.Match) {
			best = &p
		}
	}
	if best == nil {
		return nil
	}
	if err := r.group.Transfer(ctx, best.Node); err != nil {
		return fmt.Errorf("hand over region %s: %w", r.region, err)
	}
	return nil
}
