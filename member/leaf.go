package member

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// Local admissions. A member whose interest changes all the time asks neighbours for
// streams before it asks the coordinators; what they feed it is no edge of a tree.

const (
	// restlessAfter changes of what is subscribed to, within restlessFor, make a member
	// ask its neighbours first. One whose interest rests has places in trees, where it
	// relays, and which the coordinators make better.
	restlessAfter = 6
	restlessFor   = time.Minute
	// neighbourPatience is how long neighbours are asked before the coordinators are.
	neighbourPatience = 400 * time.Millisecond
	// linger is how long a stream is drawn that nobody here or below wants any more.
	linger = 5 * time.Second
	// keepPlace is how long a restless member keeps its place in a tree meanwhile, for
	// the next who wants the stream from it: it draws nothing there.
	keepPlace = time.Minute
	// maxPermits bounds the permits of one member.
	maxPermits = 16
)

// A restlessness tells how often what is subscribed to has changed of late.
type restlessness struct {
	mu      sync.Mutex
	changes [restlessAfter]time.Time // the latest, at places in turn
	next    int
}

func (r *restlessness) changed(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes[r.next] = now
	r.next = (r.next + 1) % restlessAfter
}

// lately says whether there were many changes.
func (r *restlessness) lately(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	oldest := r.changes[r.next]
	return !oldest.IsZero() && now.Sub(oldest) < restlessFor
}

// A delegation is what the coordinators last said of this member's leaf budget.
type delegation struct {
	mu       sync.Mutex
	region   region.ID
	revision region.Revision
}

// heedLeaf takes the leaf budget and the permits that a coordinator tells. A budget of
// an older revision is that of a leader which leads no more; with anew, and in another
// region, revisions begin again.
func (n *Node) heedLeaf(m *skeinv1.SessionResponse) error {
	if b := m.GetLeaf(); b != nil {
		rev := region.Revision(m.GetRevision())
		in := n.stay.Load().region
		n.delegated.mu.Lock()
		if rev >= n.delegated.revision || m.GetAnew() || in != n.delegated.region {
			n.delegated.region, n.delegated.revision = in, rev
			n.relay.SetLeafBudget(region.Rate(min(b.GetKbps(), uint32(region.MaxRate))))
		}
		n.delegated.mu.Unlock()
	}
	if m.GetSpare() {
		n.relay.Spare()
		for _, p := range n.placed() {
			p.spareIt()
		}
	}
	if m.GetMarker() != skeinv1.SessionResponse_MARKER_BEGIN {
		return nil
	}
	if len(m.GetPermits()) > maxPermits {
		return fmt.Errorf("%d permits, at most %d: %w", len(m.GetPermits()), maxPermits, region.ErrInvalid)
	}
	list := make([]relay.Permit, 0, len(m.GetPermits()))
	for i, raw := range m.GetPermits() {
		g, err := n.openGrant(raw)
		if err != nil || !g.Permit() || g.Child != n.id {
			n.log.Warn("a permit is of no use", "permit", i, "err", err)
			continue
		}
		list = append(list, relay.Permit{Grant: g, Raw: raw})
	}
	n.relay.SetPermits(list)
	return nil
}

// leafReport is what the coordinators are told of local admissions.
func (n *Node) leafReport() *skeinv1.LeafReport {
	l := n.relay.Leaf()
	return &skeinv1.LeafReport{
		UsedKbps: uint32(l.Used), WantKbps: uint32(l.Want), Children: uint32(l.Children), Places: uint32(l.Places),
		Admitted: l.Admitted, Refused: l.Refused,
	}
}

// asOf is when grants are judged: while the coordinators are away nobody can renew
// them, so those last that were good when they were heard last.
func (r *residence) asOf(now time.Time) time.Time {
	if heard := r.heard.Load(); !r.connected.Load() && heard != 0 {
		return time.UnixMilli(heard)
	}
	return now
}

// locally has the stream fed by a neighbour, and reports whether one does.
func (p *placement) locally(ctx context.Context) bool {
	n := p.node
	p.mu.Lock()
	was, cramped := p.local, p.cramped
	p.cramped = false
	p.mu.Unlock()
	if cramped || p.at != n.residence || n.assigned.place(p.stream).placed || !was && !n.restless.lately(time.Now()) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, neighbourPatience+8*n.transport.Late())
	defer cancel()
	parent, err := n.relay.Seek(ctx, p.stream)
	if err != nil {
		n.log.Debug("not fed by a neighbour", "stream", p.stream, "err", err)
		return false
	}
	p.mu.Lock()
	p.local = true
	p.mu.Unlock()
	if p.settled(parent) {
		n.events.put(Event{Kind: Placed, Stream: p.stream, Peer: string(parent), Detail: "a neighbour, by itself"})
	}
	return true
}

// wantMore has the coordinators find a place, since a neighbour has no room for all
// that is wanted of the stream.
func (p *placement) wantMore() {
	p.mu.Lock()
	p.cramped = true
	p.mu.Unlock()
	p.want(region.Joining, "")
}

// retained says how much longer a place is kept that nobody wants for now. It is
// called with mu held.
func (p *placement) retained(now time.Time) time.Duration {
	if p.idle.IsZero() {
		p.idle = now
	}
	keep := time.Duration(0)
	switch {
	case p.at != p.node.residence || !p.had:
	case !p.spare && p.node.restless.lately(now) && p.node.assigned.place(p.stream).placed:
		keep = keepPlace
	default:
		keep = linger
	}
	idle := now.Sub(p.idle)
	if rests := idle >= linger; keep > linger && rests != p.rests {
		p.rests = rests
		p.node.relay.Rest(p.stream, rests)
	}
	if keep > linger && idle < linger {
		return linger - idle
	}
	return keep - idle
}

// busy ends the rest of a place that is wanted. It is called with mu held.
func (p *placement) busy() {
	p.idle, p.spare = time.Time{}, false
	if p.rests {
		p.rests = false
		p.node.relay.Rest(p.stream, false)
	}
}

// spareIt has the place given back if nobody wants it for now.
func (p *placement) spareIt() {
	p.mu.Lock()
	p.spare = !p.wanted()
	p.mu.Unlock()
	p.ring()
}
