package relay

import (
	"slices"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// What neighbours could feed one another: each tells those it has a link with which
// streams it has at hand, when that changes and now and then, for messages are lost.

const (
	// What is new is told at once (tendInterval), what is no more is after lessInterval: to be
	// asked for it in vain costs little. If nothing has changed it is repeated after
	// haveRepeat, for the message may have been lost.
	lessInterval = 10 * time.Second
	haveRepeat   = time.Minute
)

// A stock is what a neighbour said it has.
type stock struct {
	marks map[uint32]bool
	// free is what it could feed.
	free region.Rate
}

// An offer is what a neighbour said it has, as others than the keeper may read it.
type offer struct {
	link    *link.Link
	session uint64
	marks   []uint32 // in order
	free    bool
}

// Offers says whether a neighbour, over a link that stands, may feed a stream by itself,
// and whether what it has is known.
func (r *Relay) Offers(peer region.MemberID, id region.StreamID) (offered, known bool) {
	v, _ := r.offers.Load(peer)
	o, _ := v.(*offer)
	if o == nil || o.link.State() != link.Up || o.link.Session() != o.session {
		return false, false
	}
	_, has := slices.BinarySearch(o.marks, link.MarkOf(id))
	return has && o.free, true
}

// Linked says whether a link to a peer stands.
func (r *Relay) Linked(peer region.MemberID) bool {
	l := r.cfg.Transport.Link(peer)
	return l != nil && l.State() == link.Up
}

// has says whether the neighbour may have a stream.
func (a *acquaintance) has(id region.StreamID) bool { return a.stock.marks[link.MarkOf(id)] }

// hint notes that the neighbour may have a stream, until it says again what it has.
func (a *acquaintance) hint(id region.StreamID) {
	if a.stock.marks == nil {
		a.stock.marks = make(map[uint32]bool)
	}
	if len(a.stock.marks) < 2*link.MaxHave {
		a.stock.marks[link.MarkOf(id)] = true
	}
}

// haveCame takes a neighbour's word on what it has.
func (k *keeper) haveCame(from *link.Link, m *link.Message) {
	a := k.peers.known[from.Peer().ID]
	if a == nil || a.link != from {
		return
	}
	a.stock = stock{marks: make(map[uint32]bool, len(m.Marks)), free: m.Free}
	for _, mark := range m.Marks {
		a.stock.marks[mark] = true
	}
	k.r.offers.Store(from.Peer().ID, &offer{from, from.Session(), slices.Sorted(slices.Values(m.Marks)), m.Free > 0})
}

// newcomers says whether a link stands over which nothing has been told yet.
func (k *keeper) newcomers() bool {
	for _, a := range k.peers.known {
		if a.link.State() == link.Up && a.toldIn != a.link.Session() {
			return true
		}
	}
	return false
}

// leafRoom is what this member could still feed by itself: what is left of its
// budget or, until the coordinators have let it wait for more, what that might be.
func (k *keeper) leafRoom(now int64) region.Rate {
	uplink, used, limit := region.Rate(k.r.uplink.Load()), k.leafUsed(), k.leaf.limit()
	if k.r.leaving.Load() {
		return 0
	}
	if now >= k.leaf.sparing && (k.leaf.asking == 0 || k.leaf.awaits(now, k.r.cfg.Late())) {
		limit = max(limit, uplink/2)
	}
	free := uplink - min(uplink, k.admitted(false))
	return min(limit-min(limit, used), free)
}

// tellHave tells neighbours what this member has, if they do not know it yet; newcomers
// alone, if so asked, are those who were told nothing so far.
func (k *keeper) tellHave(now int64, newcomers bool) {
	m := link.Message{Kind: link.Have, Free: k.leafRoom(now)}
	for _, p := range k.all {
		if p.serves() && len(m.Marks) < link.MaxHave {
			m.Marks = append(m.Marks, link.MarkOf(p.s.id))
		}
	}
	slices.Sort(m.Marks)
	if k.toldFree == 0 && m.Free < k.leaf.limit()/8 {
		m.Free = 0 // it will be gone when they hear of it
	}
	more := (m.Free == 0) != (k.toldFree == 0) || !within(m.Marks, k.told)
	if more || now-k.toldAt >= int64(lessInterval) && !within(k.told, m.Marks) {
		k.told, k.toldFree, k.toldAt = m.Marks, m.Free, now
		k.edition++
	}
	for _, a := range k.peers.known {
		session := a.link.Session()
		if a.link.State() != link.Up || a.told == k.edition && a.toldIn == session && now-a.toldAt < int64(haveRepeat) {
			continue
		}
		if newcomers && a.toldIn == session {
			continue // it is told again in its time: now it may still not be ready
		}
		if len(m.Marks) == 0 && a.toldIn != session {
			continue // it knows of nothing
		}
		a.told, a.toldAt = k.edition, now
		if a.toldIn != session {
			a.told, a.toldIn = 0, session // said again soon: it may not be ready to hear it yet
		}
		_ = a.link.Send(&m)
	}
}

// within says whether all of some marks are among others; both are in order.
func within(some, others []uint32) bool {
	for _, mark := range some {
		if _, found := slices.BinarySearch(others, mark); !found {
			return false
		}
	}
	return true
}
