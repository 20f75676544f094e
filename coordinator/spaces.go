package coordinator

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/coordinator/cells"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// spaceTick is how often a leader looks at those who stand in spaces.
	spaceTick = 250 * time.Millisecond
	// moveEvery is how often somebody may be in another place for others. Who is
	// somewhere else more often is where it was last when that time has passed.
	moveEvery = 500 * time.Millisecond
)

// spaces is what a leader holds of those who stand in spaces: its members' own
// word, and what the owners of cells say of others. It is soft state: members say
// it again in every session, so a new leader knows as soon as they have come.
type spaces struct {
	mu     sync.Mutex
	office uint64 // numbers this leadership
	book   *cells.Book
	stands map[region.MemberID]*stands
	// mirrors are the cells of other owners that somebody here wants to know of.
	mirrors map[cells.Key]*mirror
}

// stands are those of one stay.
type stands struct {
	stay   stay
	byName map[string]*standing
}

// A standing is one of them.
type standing struct {
	region.Presence
	cell region.Cell
	// put is when its place was last told, pending that it has moved since.
	put     time.Time
	pending bool
}

func (s *standing) key() cells.Key { return cells.Key{Space: s.Space, Cell: s.cell} }

// reach are the cells in which somebody may be who is of interest to s.
func (s *standing) reach() []cells.Key {
	within, err := region.CellsWithin(s.Place, s.Radius, s.Space.Edge)
	if err != nil || s.Radius == 0 {
		return nil
	}
	keys := make([]cells.Key, len(within))
	for i, c := range within {
		keys[i] = cells.Key{Space: s.Space, Cell: c}
	}
	return keys
}

func newSpaces(office uint64) *spaces {
	return &spaces{
		office: office, book: cells.NewBook(),
		stands: make(map[region.MemberID]*stands), mirrors: make(map[cells.Key]*mirror),
	}
}

// stood takes what a member says of those of its own who stand in spaces. What
// they carry has to be published by the member itself.
func (l *leadership) stood(s stay, said *skeinv1.SessionRequest, now time.Time) error {
	list, departed := said.Presences, said.Departures
	if len(list) == 0 && len(departed) == 0 && !said.AllPresences {
		return nil
	}
	r := l.hub.current()
	if m, ok := r.Member(s.member); !ok || m.Home != "" {
		return nil // a visitor stands where it is at home
	}
	publishes := func(id region.StreamID) bool {
		stream, ok := r.Stream(id)
		return ok && stream.Origin == s.member && stream.From == ""
	}
	x := l.spaces
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, m := range list {
		p, err := skeinv1.ToPresence(s.member, m)
		if err != nil {
			return fmt.Errorf("presences[%d]: %w", i, err)
		}
		if !m.Moved {
			if !l.replica.server.accesses.mayStand(s.member, p.Space.ID, p.Who.Name()) {
				continue // nobody finds it; its node should not have asked
			}
			p.Carried = carriedBy(p.Carried, publishes)
			if !publishes(p.Places) {
				p.Places = ""
			}
		}
		if err := x.stand(s, p, m.Moved, now); err != nil {
			return fmt.Errorf("presences[%d]: %w", i, err)
		}
	}
	own := x.stands[s.member]
	if own == nil {
		return nil
	}
	if said.AllPresences {
		for name := range own.byName {
			if !slices.ContainsFunc(list, func(m *skeinv1.Presence) bool { return m.Name == name }) {
				departed = append(departed, name)
			}
		}
	}
	for _, name := range departed {
		if own.byName[name] != nil {
			delete(own.byName, name)
			x.book.Drop(region.NewPresenceID(s.member, name), cells.Source{})
		}
	}
	return nil
}

// carriedBy leaves out the streams that are not, or not any more.
func carriedBy(list []region.Carried, publishes func(region.StreamID) bool) (own []region.Carried) {
	for _, c := range list {
		if publishes(c.Stream) {
			own = append(own, c)
		}
	}
	return own
}

// stand takes one of them; moved: it only has another place. mu is held.
func (x *spaces) stand(s stay, p region.Presence, moved bool, now time.Time) error {
	own := x.stands[s.member]
	if own != nil && own.stay.lease < s.lease {
		x.forget(own)
		own = nil
	}
	if own == nil {
		own = &stands{stay: s, byName: make(map[string]*standing)}
		x.stands[s.member] = own
	}
	if own.stay.lease > s.lease {
		return region.ErrLease
	}
	st := own.byName[p.Who.Name()]
	switch {
	case st == nil && moved:
		return nil // who it is comes with the next session
	case st == nil && len(own.byName) >= region.MaxPresences:
		return fmt.Errorf("%d of one member: %w", region.MaxPresences, region.ErrLimit)
	case st == nil:
		st = &standing{Presence: p, cell: region.CellOf(p.Place, p.Space.Edge)}
		own.byName[p.Who.Name()] = st
	case moved:
		st.Place = p.Place
	default:
		if st.Space != p.Space {
			st.cell = region.CellOf(p.Place, p.Space.Edge)
		}
		st.Presence = p
	}
	st.pending = true
	x.settle(st, now)
	return nil
}

// settle puts somebody who has moved into its cell, unless it did so just now: then
// a later tick does. Somebody for whom there is no room is not found by others.
func (x *spaces) settle(st *standing, now time.Time) {
	if !st.pending || now.Sub(st.put) < moveEvery {
		return
	}
	st.put, st.pending = now, false
	st.cell = region.NextCell(st.cell, st.Place, st.Space.Edge)
	if x.book.Put(st.key(), st.Bystander, cells.Source{}, time.Time{}) != nil {
		st.pending = true // there may be room later
	}
}

// inhabit looks after those who stand in spaces for as long as the office lasts.
func (l *leadership) inhabit(ctx context.Context) {
	ticker := time.NewTicker(spaceTick)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			for m := range l.spaces.tick(now) {
				if s := l.hub.session(m); s != nil {
					s.wake()
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// tick settles those who have moved, and returns the members to be told.
func (x *spaces) tick(now time.Time) map[region.MemberID]bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	stale := make(map[region.MemberID]bool)
	for m, own := range x.stands {
		for _, st := range own.byName {
			x.settle(st, now)
		}
		if len(own.byName) > 0 {
			stale[m] = true
		}
	}
	return stale
}

// sweep forgets stays that are over, and what nobody has said again.
func (x *spaces) sweep(present func(stay) bool, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, own := range x.stands {
		if !present(own.stay) {
			x.forget(own)
		}
	}
	x.book.Sweep(now)
}

// forget drops those of one stay. mu is held.
func (x *spaces) forget(own *stands) {
	delete(x.stands, own.stay.member)
	for _, st := range own.byName {
		x.book.Drop(st.Who, cells.Source{})
	}
}
