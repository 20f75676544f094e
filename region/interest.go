package region

import (
	"cmp"
	"slices"
)

// A Neighbour is what a member knows of somebody in its space.
type Neighbour struct {
	Who   PresenceID
	Place Place
	// Level is how loud the neighbour has been of late: 0 silent, 1 as loud as can be.
	Level float64
	// Regards says that the neighbour looks at the member that asks.
	Regards bool
}

// A Detail is how much of somebody a member wants to see and hear.
type Detail uint8

// Details, from the least to the most.
const (
	Hear   Detail = iota // audio alone
	Glance               // and a small video
	Watch                // and the video in full
)

var detailNames = [...]string{"hear", "glance", "watch"}

// String returns the detail in a lower-case word.
func (d Detail) String() string {
	if int(d) < len(detailNames) {
		return detailNames[d]
	}
	return "unknown"
}

// An Interest is a member's in somebody.
type Interest struct {
	Who      PresenceID
	Distance float64 // in metres
	Detail   Detail
}

// Nearest is the rule by which members want the streams of those around them.
type Nearest struct {
	// Radius within which somebody is of interest, in metres; more than 0.
	Radius float64
	// Max is how many are of interest at once; at least 1. In a crowd those win
	// who are near, ahead, loud, or look this way.
	Max int
}

// LeaveFactor is how much further away somebody must be to be of no interest any
// more than to become so, and likewise how much worse placed to lose to another.
// On a dense walking crowd it makes the set a seventh larger and steadier.
const LeaveFactor = 1.25

// Parts of the radius within which a member is wanted in more detail.
const (
	watchWithin  = 1.0 / 3
	glanceWithin = 2.0 / 3
)

// How much nearer than they are some seem, as a share of their distance.
const (
	aheadBonus   = 0.25 // straight ahead; as much further away if behind
	loudBonus    = 0.4
	regardsBonus = 0.4
)

// Choose returns in whom a member at self is interested, those first that matter
// most, when it has been interested in held and knows all; see Chooser.
func (n Nearest) Choose(self Place, held []Interest, all []Neighbour) []Interest {
	c := Chooser{held: held}
	return c.Choose(n, self, all)
}

// A Chooser applies a rule again and again and remembers what it chose: so it
// allocates nothing once it has seen its largest crowd. The zero Chooser is ready.
type Chooser struct {
	held, next []Interest
	before     map[PresenceID]Detail
	taken      map[PresenceID]bool
	found      []candidate
}

type candidate struct {
	Interest
	score float64
}

// Choose returns in whom a member at self is interested who knows all, those first
// that matter most. It is what Donnybrook calls an interest set (Bharambe et al.,
// SIGCOMM 2008), by attention, with hysteresis towards what was chosen last. Of
// neighbours listed twice the better counts. The answer is valid until the next call.
func (c *Chooser) Choose(n Nearest, self Place, all []Neighbour) []Interest {
	if c.before == nil {
		c.before, c.taken = make(map[PresenceID]Detail), make(map[PresenceID]bool)
	}
	clear(c.before)
	clear(c.taken)
	for _, h := range c.held {
		c.before[h.Who] = h.Detail
	}
	c.found = c.found[:0]
	for i := range all {
		b := &all[i]
		d := self.Distance(b.Place)
		detail, was := c.before[b.Who]
		radius, score := n.Radius, d*b.Remoteness(self)
		if was {
			radius, score = radius*LeaveFactor, score/LeaveFactor
		}
		if d <= radius {
			c.found = append(c.found, candidate{Interest{b.Who, d, n.detail(d, detail, was)}, score})
		}
	}
	slices.SortFunc(c.found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.Who, b.Who))
	})
	chosen := c.next[:0]
	for i := range c.found {
		if len(chosen) == n.Max {
			break
		}
		if who := c.found[i].Who; !c.taken[who] {
			c.taken[who] = true
			chosen = append(chosen, c.found[i].Interest)
		}
	}
	c.held, c.next = chosen, c.held
	return chosen
}

// Remoteness is the factor by which attention makes b seem nearer to somebody at
// self, or further away.
func (b *Neighbour) Remoteness(self Place) float64 {
	f := (1 - aheadBonus*self.ahead(b.Place)) * (1 - loudBonus*min(max(b.Level, 0), 1))
	if b.Regards {
		f *= 1 - regardsBonus
	}
	return f
}

// detail of somebody at a distance; what it was is given up late.
func (n Nearest) detail(d float64, before Detail, was bool) Detail {
	within := func(part float64, level Detail) bool {
		if was && before >= level {
			part *= LeaveFactor
		}
		return d <= part*n.Radius
	}
	switch {
	case within(watchWithin, Watch):
		return Watch
	case within(glanceWithin, Glance):
		return Glance
	}
	return Hear
}
