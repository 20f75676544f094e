package relay

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// A place is what this member does for one stream.
type place struct {
	s        *stream
	given    *Assignment // what it was made of; nil: none yet
	revision region.Revision
	layers   region.LayerMask // to draw at most
	drawn    region.LayerMask // what is wanted of them
	due      int64            // when to look at it again unless it is stirred
	pause    int64            // when to see whether the stream has paused
	narrow   int64            // since when less would do; 0: it would not
	priority uint8
	critical bool                     // to a reader here
	voices   bool                     // drawn as a voice
	voice    bool                     // somebody here or below wants it as one
	got      region.LayerMask         // what the parents give of a voice for now
	named    region.MemberID          // the assigned parent; empty: origin, or none
	children map[region.MemberID]bool // the assigned ones
	origin   bool
	placed   bool
	ssrc     uint32 // of the stream that was assigned
	local    bool   // by a neighbour alone, no assignment
	// complained is when the application was last told that a neighbour has no room.
	complained int64
	quest      *quest          // somebody waits for a neighbour; nil: nobody
	ups        []*upstream     // the assigned parent, then the standbys
	current    *upstream       // carries the stream
	target     *upstream       // being drawn, to carry it
	extra      *upstream       // a standby that sends, too
	lost       *upstream       // carried it until it failed
	failed     region.MemberID // who lost was, and why
	cause      Fault
	left       region.Revision
	orphan     bool

	path     []region.MemberID // from the root to this member; empty: not known
	pathSent int64             // 0: it is due
	pathWait time.Duration     // until it is repeated
	tipsFor  int64             // the arrival that the tips sent so far are about
	tipsSent int

	asked  [region.MaxLayers]int64 // when a keyframe was
	wanted region.LayerMask        // layers a keyframe is wanted of
}

// place carries out an assignment.
func (k *keeper) place(a *Assignment) {
	p := k.placeOf(a.Stream.ID)
	if p == nil {
		return
	}
	if p.origin = a.Stream.Origin == k.r.cfg.Self; !p.placed {
		if p.drawn = p.s.all(); !p.origin {
			p.drawn &= a.Layers
		}
	}
	if p.local {
		p.local = false
		p.s.setLocal(false)
		p.found(a.Parent.Peer.ID)
	}
	if a.Revision < p.revision {
		p.left = 0 // of revisions that count no more
	}
	if p.ssrc != a.Stream.SSRC {
		k.dismissLeaves(p) // they know of the stream that had this name before
		p.ssrc = a.Stream.SSRC
	}
	p.given, p.revision, p.layers, p.placed = a, a.Revision, a.Layers, true
	p.named = a.Parent.Peer.ID
	p.children = make(map[region.MemberID]bool)
	for _, c := range a.Children {
		p.children[c.ID] = true
	}
	if p.origin {
		p.path = []region.MemberID{k.r.cfg.Self}
	}
	k.peers.assigned(a)
	k.setUpstreams(p, a)
	k.note(p)
}

// placeOf returns the place of a known stream, nil if it is not known.
func (k *keeper) placeOf(id region.StreamID) *place {
	k.r.mu.Lock()
	s := k.r.streams[id]
	k.r.mu.Unlock()
	p := k.places[id]
	if s == nil || p != nil && p.s == s {
		return p
	}
	// A place without an assignment may have outlived its stream: it was made for
	// a peer that asked, and nobody here wanted the stream for a while.
	p = &place{s: s, got: region.AllLayers}
	k.places[id] = p
	k.list()
	return p
}

func (k *keeper) list() {
	k.all = slices.SortedFunc(maps.Values(k.places), func(a, b *place) int {
		return strings.Compare(string(a.s.id), string(b.s.id))
	})
	k.due = 0
	k.marked = make(map[uint32]*place, len(k.all))
	for _, p := range k.all {
		mark := link.MarkOf(p.s.id)
		if _, taken := k.marked[mark]; taken {
			p = nil // it is not known which of them is meant
		}
		k.marked[mark] = p
	}
}

// unplace ends the place in a tree.
func (k *keeper) unplace(s *stream) {
	p := k.places[s.id]
	if p == nil {
		return
	}
	for _, u := range p.ups {
		k.quit(p, u)
	}
	for _, c := range *s.children.Load() {
		k.dismiss(p, c)
	}
	p.found("")
	s.setLocal(false)
	delete(k.places, s.id)
	k.list()
	k.peers.dropped(s.id)
	s.feeds.Store(&[]*feed{})
	s.mu.Lock()
	s.stats.Parent, s.stats.Revision = "", 0
	s.mu.Unlock()
	k.recarr = true
	k.r.mu.Lock()
	k.r.release(s)
	k.r.mu.Unlock()
}

// note publishes the parent for Stats.
func (k *keeper) note(p *place) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.s.stats.Parent, p.s.stats.Revision = "", p.revision
	if p.current != nil {
		p.s.stats.Parent = p.current.peer.ID
	}
	p.s.stats.Assigned = p.named
}
