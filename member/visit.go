package member

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

const (
	// maxVisits bounds the regions a member visits at a time.
	maxVisits = 64
	// visitLinger is how long a visit lasts that nothing is drawn for any more.
	visitLinger = 5 * time.Second
	// idleCheck is how often a gateway looks whether anybody still needs it, and
	// idleFor is how long nobody must have.
	idleCheck = 5 * time.Second
	idleFor   = 30 * time.Second
)

// A visit is a stay in another region, for as long as this member draws streams
// from it for its own one. Its goroutine, run, holds the session there.
type visit struct {
	*residence
	node *Node
	wake chan struct{} // capacity 1

	// ctx ends with the node, or when the member comes to live in the region.
	ctx    context.Context
	cancel context.CancelFunc
	// from is the region that it was entered from.
	from atomic.Pointer[address]

	mu         sync.Mutex
	commission []byte // the latest
	wanted     map[region.StreamID]bool
}

// heedDuty begins, goes on with or ends a visit, as the role for a stream at home
// says; nil if there is no role any more. A stream that is to come from another region
// than before comes from both until the new one feeds it, see drawnFrom.
func (n *Node) heedDuty(id region.StreamID, d *skeinv1.Duty) {
	n.mu.Lock()
	defer n.mu.Unlock()
	to := region.ID(d.GetRegion())
	if d == nil {
		for _, v := range n.visits {
			v.unwant(id)
		}
	}
	if d == nil || n.closed {
		return
	}
	v := n.visits[to]
	if v == nil {
		if to == n.region() || len(n.visits) >= maxVisits || len(d.GetCoordinators()) == 0 {
			return // the role is told again, perhaps by somebody who knows them
		}
		v = n.newVisit(to, d)
		n.visits[to] = v
		n.wg.Go(func() { v.run(v.ctx) })
	}
	v.mu.Lock()
	v.commission = d.GetCommission()
	v.mu.Unlock()
	if from := v.from.Load(); from != nil && from != n.at.Load() {
		// The region visited is to know where this member is at home now.
		n.wg.Go(func() {
			if err := v.enterAgain(v.ctx); err != nil && v.ctx.Err() == nil {
				n.log.Warn("a visited region does not know of the new home", "region", v.region(), "err", err)
			}
		})
	}
	if !v.connected.Load() && len(d.GetCoordinators()) > 0 {
		v.group.learn(d.GetCoordinators())
	}
	v.want(id)
}

// drawnFrom hears that there is a place for a stream in a region that is visited, and
// whether it is in use, as far as it is to be: then none is needed in any other one. Nor
// is it if who feeds this member is the same in both.
func (n *Node) drawnFrom(at *residence, id region.StreamID, inUse bool) {
	from, parent := n.assigned.place(id).stream.From, at.assigned.place(id).parent
	n.mu.Lock()
	defer n.mu.Unlock()
	if v := n.visits[from]; v == nil || v.residence != at {
		return
	}
	for _, v := range n.visits {
		if v.residence != at && (inUse || v.assigned.place(id).parent == parent) {
			v.unwant(id)
		}
	}
}

func (n *Node) newVisit(to region.ID, d *skeinv1.Duty) *visit {
	cfg := n.cfg
	cfg.Coordinators = nil
	for _, c := range d.GetCoordinators()[:min(len(d.GetCoordinators()), maxCoordinators)] {
		cfg.Coordinators = append(cfg.Coordinators, c.GetAddress())
	}
	trusted := n.creds.ClientTLS()
	if community := to.Community(); community != "" {
		trusted, cfg.Access = n.creds.CommunityTLS(community), nil
	}
	v := &visit{
		residence: newResidence(to, newCoordinators(cfg, trusted)), node: n,
		wake: make(chan struct{}, 1), wanted: make(map[region.StreamID]bool),
	}
	v.ctx, v.cancel = context.WithCancel(n.ctx)
	v.assigned = newAssignments(side{n.duties, to})
	v.again = v.enterAgain
	return v
}

// want draws a stream; called with Node.mu held, as is unwant.
func (v *visit) want(id region.StreamID) {
	v.mu.Lock()
	v.wanted[id] = true
	v.mu.Unlock()
	p := v.placements[id]
	if p == nil {
		p = newPlacement(v.node, v.residence, id)
		p.kept, p.ended = true, v.lost
		v.placements[id] = p
		v.node.wg.Go(func() {
			select {
			case <-v.accounted:
				if v.assigned.place(id).placed {
					p.inherit()
				}
			case <-v.ctx.Done():
			}
			p.run(v.ctx)
		})
		return
	}
	p.keepUp(true)
}

func (v *visit) unwant(id region.StreamID) {
	v.mu.Lock()
	delete(v.wanted, id)
	v.mu.Unlock()
	if p := v.placements[id]; p != nil {
		p.keepUp(false)
	}
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

func (v *visit) idle() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.wanted) == 0
}

// run holds the visit until nothing is drawn through it any more, or ctx ends.
func (v *visit) run(ctx context.Context) {
	defer v.cancel()
	defer v.group.close()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		if v.begin(ctx) {
			newSession(v.node, v.residence).run(ctx)
		}
	})
	ticker := time.NewTicker(idleCheck)
	defer ticker.Stop()
	idle, needless := time.Time{}, map[region.StreamID]time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.wake:
		case <-ticker.C:
			v.giveUp(needless, time.Now())
		}
		switch {
		case !v.idle():
			idle = time.Time{}
		case idle.IsZero():
			idle = time.Now()
		case time.Since(idle) >= visitLinger && v.end():
			v.leave(ctx)
			return
		}
	}
}

// begin asks to be let in until it is; false if ctx ends before.
func (v *visit) begin(ctx context.Context) bool {
	for pause := firstBackoff; ctx.Err() == nil; pause = min(2*pause, lastBackoff) {
		err := v.enterAgain(ctx)
		if err == nil {
			return true
		}
		v.node.log.Warn("cannot visit another region yet", "region", v.region(), "err", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return false
}

// enterAgain begins the visit, or begins it anew after it was forgotten.
func (v *visit) enterAgain(ctx context.Context) error {
	n := v.node
	ctx, cancel := context.WithTimeout(ctx, 4*n.cfg.CallTimeout)
	defer cancel()
	v.mu.Lock()
	commission := v.commission
	v.mu.Unlock()
	from := n.at.Load()
	_, err := v.enter(ctx, &skeinv1.JoinRequest{
		RequestId: requestID(), Name: n.cfg.Name,
		Endpoint: skeinv1.FromEndpoint(n.transport.Endpoint()), Lease: uint64(n.Lease()), Commission: commission,
	})
	if err == nil {
		v.from.Store(from)
	}
	return err
}

// dropVisit ends a visit to a region without a word, because this member is at home
// there now: what it did as a visitor it does as one of them.
func (n *Node) dropVisit(to region.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if v := n.visits[to]; v != nil {
		delete(n.visits, to)
		v.cancel()
	}
}

// tellVisited tells the regions this member visits at which addresses it is reached.
func (n *Node) tellVisited(ctx context.Context) {
	n.mu.Lock()
	visits := slices.Collect(maps.Values(n.visits))
	n.mu.Unlock()
	for _, v := range visits {
		if err := v.enterAgain(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("a visited region does not know the new addresses", "region", v.region(), "err", err)
		}
	}
}

// end takes the visit off the list; false if it is needed again.
func (v *visit) end() bool {
	n := v.node
	n.mu.Lock()
	defer n.mu.Unlock()
	if !v.idle() || len(v.placements) > 0 {
		return false
	}
	if n.visits[v.region()] == v {
		delete(n.visits, v.region())
	}
	return true
}

// leave says good-bye. Should it not be heard the lease runs out.
func (v *visit) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, v.node.cfg.CallTimeout)
	defer cancel()
	request := &skeinv1.LeaveRequest{RequestId: requestID(), Lease: uint64(v.lease())}
	err := v.call(ctx, func(ctx context.Context, c client, at *address) error {
		request.Region = string(at.region)
		_, err := c.Leave(ctx, request)
		return err
	})
	if err != nil {
		v.node.log.Debug("left a visited region without a word", "region", v.region(), "err", err)
	}
}

// lost hears that a stream is not drawn any more.
func (v *visit) lost(id region.StreamID, cause error) {
	if errors.Is(cause, region.ErrUnknownStream) && v.node.rules(id) == v.residence {
		v.node.lapse(id)
	}
}

// lapse ends a stream of another region, which this member is the gateway of, since
// it has ended there: those who want it look for it anew.
func (n *Node) lapse(id region.StreamID) {
	if held := n.assigned.place(id); n.ctx.Err() != nil || !held.placed || held.parent != "" || held.stream.From == "" {
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, 2*n.cfg.CallTimeout)
	defer cancel()
	request := &skeinv1.UnpublishRequest{RequestId: requestID(), Lease: uint64(n.Lease()), Stream: string(id)}
	err := n.call(ctx, func(ctx context.Context, c client, at *address) error {
		request.Region = string(at.region)
		_, err := c.Unpublish(ctx, request)
		return err
	})
	if err != nil {
		n.log.Debug("stream of another region not ended", "stream", id, "err", err)
	}
}

// giveUp releases the streams that this member draws for others only, and nobody
// has had from it for a while.
func (v *visit) giveUp(needless map[region.StreamID]time.Time, now time.Time) {
	n := v.node
	for _, st := range n.relay.Stats().Streams {
		id := st.Stream.ID
		v.mu.Lock()
		wanted := v.wanted[id]
		v.mu.Unlock()
		held := n.assigned.place(id)
		if !wanted || !held.placed || held.parent != "" || len(st.Children) > 0 || n.placement(id) != nil {
			delete(needless, id)
			continue
		}
		if since, ok := needless[id]; !ok {
			needless[id] = now
		} else if now.Sub(since) >= idleFor {
			delete(needless, id)
			n.wg.Go(func() { newPlacement(n, n.residence, id).release(n.ctx) })
		}
	}
}

// from is the residence through which a peer is an upstream of a stream.
func (n *Node) from(id region.StreamID, peer region.MemberID) *residence {
	first := n.assigned.place(id).stream.From
	n.mu.Lock()
	defer n.mu.Unlock()
	at := n.residence
	for to, v := range n.visits {
		held := v.assigned.place(id)
		if held.placed && (held.parent == peer || slices.Contains(held.standbys, peer)) && (at == n.residence || to == first) {
			at = v.residence
		}
	}
	return at
}

// rules is the residence that says whom to draw a stream from: that of the visit
// where this member is its region's gateway.
func (n *Node) rules(id region.StreamID) *residence {
	held := n.assigned.place(id)
	if !held.placed || held.parent != "" || held.stream.From == "" {
		return n.residence
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if v := n.visits[held.stream.From]; v != nil {
		return v.residence
	}
	return n.residence
}
