package cells

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
)

// Limits of a Book. Whoever is too many is refused with region.ErrLimit, and is
// not found by others until there is room.
const (
	MaxOccupants = 1 << 16 // of all cells
	MaxCrowd     = 1024    // of one cell
	// maxGone bounds what a cell remembers of those who left it. Who has not asked
	// for longer than that is told everything.
	maxGone = 64
)

// A Key names a cell of a space.
type Key struct {
	Space region.Space
	Cell  region.Cell
}

// String is the cell's name among all names of the world.
func (k Key) String() string { return k.Space.Key(k.Cell) }

// A Source is by whose word somebody stands in a cell. The zero Source is a session
// of this very region.
type Source struct {
	// Region whose leader says so.
	Region region.ID
	// Owner: it says so as the owner of the cell, of members of any region.
	Owner bool
}

// An Occupant is somebody in a cell. It is not modified while it stands in a Book.
type Occupant struct {
	region.Bystander
	Source Source
	// Version of the Book when it came or moved, Known when it came or what it
	// carries changed.
	Version, Known uint64

	key   Key
	until time.Time // zero: as long as the source does not say otherwise
}

type cell struct {
	version uint64
	here    map[region.PresenceID]*Occupant
	gone    []departure
	// forgotten is the version up to which departures are not remembered.
	forgotten uint64
}

type departure struct {
	who     region.PresenceID
	version uint64
}

// A Book holds who is in which cell. Make it with NewBook.
type Book struct {
	version uint64
	cells   map[Key]*cell
	who     map[region.PresenceID]*Occupant
}

// NewBook returns an empty one.
func NewBook() *Book {
	return &Book{cells: make(map[Key]*cell), who: make(map[region.PresenceID]*Occupant)}
}

// Put writes down that somebody stands in a cell, and so in no other. What a session
// of this region says goes before what others say.
func (b *Book) Put(k Key, who region.Bystander, by Source, until time.Time) error {
	old := b.who[who.Who]
	if old != nil && old.Source == (Source{}) && by != (Source{}) {
		return nil
	}
	c := b.cells[k]
	switch {
	case old == nil && len(b.who) >= MaxOccupants:
		return fmt.Errorf("%d in all cells: %w", MaxOccupants, region.ErrLimit)
	case c != nil && len(c.here) >= MaxCrowd && (old == nil || old.key != k):
		return fmt.Errorf("%d in one cell: %w", MaxCrowd, region.ErrLimit)
	case old != nil && old.key == k && old.same(who):
		old.Source, old.until = by, until
		return nil
	}
	b.version++
	o := &Occupant{Bystander: who, Source: by, Version: b.version, Known: b.version, key: k, until: until}
	if old != nil {
		if slices.Equal(old.Carried, who.Carried) && old.Places == who.Places {
			o.Known = old.Known
		}
		if old.key != k {
			b.leave(old)
		}
	}
	if c == nil {
		c = &cell{here: make(map[region.PresenceID]*Occupant), forgotten: b.version - 1}
		b.cells[k] = c
	}
	c.here[who.Who], c.version = o, b.version
	b.who[who.Who] = o
	return nil
}

func (o *Occupant) same(who region.Bystander) bool {
	return o.Place == who.Place && o.Places == who.Places && slices.Equal(o.Carried, who.Carried)
}

// leave takes somebody out of its cell, under the present version.
func (b *Book) leave(o *Occupant) {
	c := b.cells[o.key]
	delete(c.here, o.Who)
	c.version = b.version
	if len(c.gone) == maxGone {
		c.forgotten = c.gone[0].version
		c.gone = append(c.gone[:0], c.gone[1:]...)
	}
	c.gone = append(c.gone, departure{o.Who, b.version})
}

// Drop takes somebody out, if it stands there by that word.
func (b *Book) Drop(who region.PresenceID, by Source) {
	if o := b.who[who]; o != nil && o.Source == by {
		b.remove(o)
	}
}

// DropFrom is Drop for who is in that cell alone.
func (b *Book) DropFrom(k Key, who region.PresenceID, by Source) {
	if o := b.who[who]; o != nil && o.Source == by && o.key == k {
		b.remove(o)
	}
}

func (b *Book) remove(o *Occupant) {
	b.version++
	b.leave(o)
	delete(b.who, o.Who)
}

// Sweep takes out those whose time is over, and forgets cells nobody is in.
func (b *Book) Sweep(now time.Time) {
	for _, o := range b.who {
		if !o.until.IsZero() && !now.Before(o.until) {
			b.remove(o)
		}
	}
	for k, c := range b.cells {
		if len(c.here) == 0 {
			delete(b.cells, k) // who asks again is told everything
		}
	}
}

// Version of a cell grows with every change of who is there and where.
func (b *Book) Version(k Key) uint64 {
	if c := b.cells[k]; c != nil {
		return c.version
	}
	return 0
}

// VersionOf somebody is that of when it came or moved; 0 if it is nowhere.
func (b *Book) VersionOf(who region.PresenceID) uint64 {
	if o := b.who[who]; o != nil {
		return o.Version
	}
	return 0
}

// In calls f for all in a cell, in any order, until it returns false.
func (b *Book) In(k Key, f func(*Occupant) bool) {
	if c := b.cells[k]; c != nil {
		for _, o := range c.here {
			if !f(o) {
				return
			}
		}
	}
}

// News is what changed in a cell since a version: who is there, and who is not any
// more. The first is everybody, and anew set, if that is too long ago. Those whom
// the region that asks has told of itself are left out.
func (b *Book) News(k Key, since uint64, asks region.ID) (here []region.Bystander, gone []region.PresenceID, anew bool, version uint64) {
	c := b.cells[k]
	if c == nil {
		return nil, nil, true, 0
	}
	anew = since < c.forgotten || since > c.version || since == 0
	for _, o := range c.here {
		if (anew || o.Version > since) && o.Source != (Source{Region: asks}) && !o.Source.Owner {
			here = append(here, o.Bystander)
		}
	}
	slices.SortFunc(here, func(x, y region.Bystander) int { return cmp.Compare(x.Who, y.Who) })
	if !anew {
		for _, d := range c.gone {
			if d.version > since && c.here[d.who] == nil {
				gone = append(gone, d.who)
			}
		}
	}
	return here, gone, anew, c.version
}

// Len counts those in all cells.
func (b *Book) Len() int { return len(b.who) }
