package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/coordinator/directory"
	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// noticeEvery is how often a follower looks who leads, for the history.
const noticeEvery = 250 * time.Millisecond

// A replica is this coordinator's part in one region group.
type replica struct {
	server    *Server
	begun     time.Time
	region    region.ID
	self      region.MemberID
	cfg       *Config
	group     *group.Group
	peers     []Peer // the first ones
	directory *directory.Directory
	births    chan<- struct{} // told that children may have been born
	history   *history
	meter     *meter
	counts    counts
	logger    *slog.Logger
	// planned is the time spent on planning, in nanoseconds.
	planned atomic.Int64

	// leading is the present leadership; nil while the replica does not lead.
	leading atomic.Pointer[leadership]
	// streams counts the goroutines of sessions.
	streams *sync.WaitGroup
	// life ends when the replica stops; cancel ends it.
	life   context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
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
	state := r.group.State()
	r.history.begin(state.Region)
	feed := r.group.Subscribe(state.Region.Revision())
	r.wg.Go(func() { r.record(r.life, feed) })
	r.wg.Go(func() { r.serve(r.life) })
}

// stop ends the leadership, if there is one, and all that follows the group. The
// group itself is left open.
func (r *replica) stop() {
	r.cancel()
	r.wg.Wait()
}

// record keeps the history of what was applied.
func (r *replica) record(ctx context.Context, feed *group.Feed) {
	for {
		a, err := feed.Next(ctx)
		if err != nil {
			return
		}
		r.history.applied(a)
		if a.Gap || divides(a.Change) {
			select {
			case r.births <- struct{}{}:
			default: // the word is out already
			}
		}
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
	return r.peer(id).GRPC
}

// peer is how a coordinator is reached; without addresses if that is not known.
func (r *replica) peer(id region.MemberID) Peer {
	for _, p := range r.peers {
		if p.ID == id {
			return p
		}
	}
	c, _ := r.directory.Coordinator(id)
	return Peer{ID: id, Raft: c.Raft, GRPC: c.GRPC}
}

// members are the replicas of the group at present.
func (r *replica) members() []Peer {
	var list []Peer
	for _, p := range r.group.Peers() {
		if at := r.peer(p.Node); at.GRPC != "" {
			list = append(list, at)
		}
	}
	if len(list) == 0 {
		return r.peers
	}
	return list
}

// coordinators lists the replicas of the group for members.
func (r *replica) coordinators() []*skeinv1.Coordinator {
	leader, _ := r.group.Leader()
	members := r.members()
	list := make([]*skeinv1.Coordinator, 0, len(members))
	for _, p := range members {
		list = append(list, &skeinv1.Coordinator{Id: string(p.ID), Address: p.GRPC, Leader: p.ID == leader})
	}
	return list
}

// roll is the group's replicas in a line, which changes with them.
func (r *replica) roll() string {
	var b strings.Builder
	for _, p := range r.members() {
		b.WriteString(string(p.ID) + " " + p.GRPC + "\n")
	}
	return b.String()
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
