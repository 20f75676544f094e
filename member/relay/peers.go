package relay

import (
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// linger is how long a link is kept that nothing needs any more: roles change
// often, and links are dear to build.
const (
	linger = 30 * time.Second
	// tendInterval is how often that is looked at.
	tendInterval = time.Second
)

// peers are those the transport is to expect, and why. The keeper owns it.
type peers struct {
	r     *Relay
	known map[region.MemberID]*acquaintance
	named map[region.StreamID]map[region.MemberID]bool // by the assignments
	next  int64                                        // when to tend
}

// An acquaintance is a peer with a link.
type acquaintance struct {
	link  *link.Link
	until int64 // keep it at least that long
	feeds int   // 1 if something is drawn from it
	// What it has, until when it is not asked, and what it was last told of this
	// member, in which session and when.
	stock  stock
	spared int64
	told   uint64
	toldIn uint64
	toldAt int64
	// The permit that the peer has accepted, and those that it has shown, in the session
	// of the link.
	shown    []byte
	shownIn  uint64
	permits  []Permit
	permitIn uint64
}

func newPeers(r *Relay) peers {
	return peers{r: r, known: make(map[region.MemberID]*acquaintance), named: make(map[region.StreamID]map[region.MemberID]bool)}
}

// expect returns the link to p, nil if the transport refuses.
func (ps *peers) expect(p link.Peer) *link.Link {
	l, err := ps.r.cfg.Transport.Expect(p)
	if err != nil {
		ps.r.cfg.Logger.Debug("peer not expected", "peer", p.ID, "err", err)
		return nil
	}
	a := ps.known[p.ID]
	if a == nil {
		a = &acquaintance{}
		ps.known[p.ID] = a
	}
	if a.link != l {
		a.link, a.stock = l, stock{}
	}
	return l
}

func (ps *peers) pin(p link.Peer, now int64) {
	if ps.expect(p) != nil {
		ps.known[p.ID].until = now + int64(linger)
	}
}

// assigned expects all whom an assignment names.
func (ps *peers) assigned(a *Assignment) {
	named := make(map[region.MemberID]bool)
	for _, list := range [][]link.Peer{a.Children, a.Dependents} {
		for _, p := range list {
			named[p.ID] = true
			ps.expect(p)
		}
	}
	for _, u := range append([]Upstream{a.Parent}, a.Standbys...) {
		named[u.Peer.ID] = true
	}
	ps.named[a.Stream.ID] = named
}

func (ps *peers) assignedTo(id region.StreamID, peer region.MemberID) bool {
	return ps.named[id][peer]
}

func (ps *peers) dropped(id region.StreamID) { delete(ps.named, id) }

// carry tells every link what flows over it, and which way.
func (ps *peers) carry(f flows) {
	for _, a := range ps.known {
		a.link.Carry(f.feeding[a.link], f.fed[a.link])
		a.link.Lighten(!f.pictures[a.link])
		if a.feeds = 0; f.fed[a.link] != link.Still {
			a.feeds = 1
		}
	}
}

// tend forgets those nobody needs and returns when to look again.
func (ps *peers) tend(now int64, places map[region.StreamID]*place) (due int64) {
	if now < ps.next {
		return ps.next
	}
	ps.next = now + int64(tendInterval)
	for id, a := range ps.known {
		counts := ps.counts(id)
		a.link.Ease(!counts)
		if counts || ps.flows(a, places) {
			a.until = max(a.until, now+int64(linger))
			continue
		}
		if now < a.until {
			continue
		}
		delete(ps.known, id)
		ps.r.offers.Delete(id)
		ps.r.wait.Go(func() { ps.r.cfg.Transport.Forget(id) })
	}
	return ps.next
}

// counts says whether an assignment names a peer.
func (ps *peers) counts(id region.MemberID) bool {
	for _, named := range ps.named {
		if named[id] {
			return true
		}
	}
	return false
}

// flows says whether a stream is drawn over the link.
func (ps *peers) flows(a *acquaintance, places map[region.StreamID]*place) bool {
	for _, p := range places {
		if p.s.childOf(a.link) != nil || p.s.feedOf(a.link) != nil {
			return true
		}
	}
	return false
}
