package member

import (
	"maps"
	"slices"
	"sync"

	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/region"
)

// duties puts together what regions want of this member for one stream: its
// own says whom to feed, the one it draws the stream from as a gateway says from
// whom. The relay sees one assignment. While the stream is to be drawn from another
// region than before, two say from whom: that which it is to be drawn from counts.
type duties struct {
	self  region.MemberID
	relay *relay.Relay

	mu   sync.Mutex
	held map[region.StreamID]*duty
}

// A duty is the latest word of each region on a stream; nil where there is none.
type duty struct {
	home *relay.Assignment
	away map[region.ID]*relay.Assignment
	// last is what the relay was given, made of words.
	last  relay.Assignment
	words words
}

// words are the revisions of what an assignment is made of, and the region whose word
// the second one is.
type words struct {
	home, away region.Revision
	from       region.ID
}

func newDuties(self region.MemberID, r *relay.Relay) *duties {
	return &duties{self: self, relay: r, held: make(map[region.StreamID]*duty)}
}

// A side takes the assignments of one region: of that which is visited, or, if that is
// empty, of the one at home.
type side struct {
	*duties
	visited region.ID
}

func (s side) Assign(a relay.Assignment) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.held[a.Stream.ID]
	if x == nil {
		x = &duty{away: make(map[region.ID]*relay.Assignment)}
		s.held[a.Stream.ID] = x
	}
	if s.visited != "" {
		x.away[s.visited] = &a
	} else {
		x.home = &a
	}
	return s.carryOut(a.Stream.ID, x)
}

func (s side) Unassign(id region.StreamID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.held[id]
	if x == nil {
		return
	}
	if s.visited != "" {
		delete(x.away, s.visited)
	} else {
		x.home = nil
	}
	_ = s.carryOut(id, x) // what is left was good before
}

// Renumber lets the next word on every stream count, whatever its revision.
func (s side) Renumber() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.held {
		x.words = words{}
	}
}

// carryOut is called with mu held.
func (d *duties) carryOut(id region.StreamID, x *duty) error {
	if x.home == nil {
		// Without a place at home there is nobody to draw it for.
		if len(x.away) == 0 {
			delete(d.held, id)
		}
		x.last = relay.Assignment{}
		d.relay.Unassign(id)
		return nil
	}
	from, away := x.source()
	next := x.together(d.self, away)
	made := words{home: x.home.Revision, from: from}
	if away != nil {
		made.away = away.Revision
	}
	// The relay orders by one revision, which is that at home while only home counts.
	next.Revision = x.last.Revision
	if made != x.words || x.last.Stream.ID == "" {
		next.Revision = max(x.last.Revision+1, x.home.Revision)
	}
	if err := d.relay.Assign(next); err != nil {
		return err
	}
	x.last, x.words = next, made
	return nil
}

// source is the region that says whom to draw the stream from, and what it says: that
// which it is to be drawn from, or, until that has a place, the one before. The word of
// another community counts for its own streams only.
func (x *duty) source() (region.ID, *relay.Assignment) {
	from := x.home.Stream.From
	if a := x.away[from]; a != nil || len(x.away) == 0 {
		return from, a
	}
	for _, before := range slices.Sorted(maps.Keys(x.away)) {
		if before.Community() == from.Community() {
			return before, x.away[before]
		}
	}
	return from, nil
}

// together is what the relay is to do; away is the word of the region that the stream
// is drawn from, or nil.
func (x *duty) together(self region.MemberID, away *relay.Assignment) relay.Assignment {
	a := *x.home
	switch {
	case a.Stream.From == "":
	case a.Stream.Origin == self && away != nil:
		a.Stream = away.Stream
		a.Parent, a.Standbys = away.Parent, away.Standbys
	case a.Stream.Origin == self:
		// Until the other region has given it a parent it goes on as it did.
		a.Stream.Origin = ""
		a.Parent, a.Standbys = x.last.Parent, x.last.Standbys
	case a.Stream.Standby == self && away != nil:
		// Who feeds the gateway's standby in the other region is its own first one.
		a.Standbys = slices.Concat([]relay.Upstream{away.Parent}, away.Standbys, a.Standbys)
		a.Standbys = a.Standbys[:min(len(a.Standbys), region.MaxStandbys)]
	}
	return a
}
