package interest

import (
	"time"

	"github.com/skein-mesh/skein/region"
)

const (
	// exactFor is how long an exact place is better than a rough one.
	exactFor = 3 * time.Second
	// unsureFor is how long somebody stays known whom the coordinators tell of no
	// more since they began anew: they may not have been told yet themselves.
	unsureFor = 15 * time.Second
)

// A Person is somebody around, as far as it is known.
type Person struct {
	region.Bystander
	// Exact is what it last told of itself, Heard when; zero: nothing yet.
	Exact Whereabouts
	Heard time.Time

	unsure time.Time // since when the coordinators have not spoken of it; zero: they do
}

// place is the best that is known.
func (p *Person) place(now time.Time) region.Place {
	if now.Sub(p.Heard) <= exactFor {
		return p.Exact.Place
	}
	return p.Place
}

// A Crowd is everybody around somebody. Make it with NewCrowd; it is for one
// goroutine at a time.
type Crowd struct {
	self    uint32 // the hash of whom it surrounds
	people  map[region.PresenceID]*Person
	numbers map[uint32]region.PresenceID
	all     []region.Neighbour
}

// NewCrowd returns an empty one around who.
func NewCrowd(who region.PresenceID) *Crowd {
	return &Crowd{self: Hash(who), people: make(map[region.PresenceID]*Person), numbers: make(map[uint32]region.PresenceID)}
}

// Anew voids the numbers: another coordinator tells now, and may not know all yet.
func (c *Crowd) Anew(now time.Time) {
	clear(c.numbers)
	for _, p := range c.people {
		if p.unsure.IsZero() {
			p.unsure = now
		}
	}
}

// Came takes somebody the coordinators tell of, under a number.
func (c *Crowd) Came(number uint32, b region.Bystander) {
	p := c.people[b.Who]
	if p == nil {
		if len(c.people) >= 2*region.MaxBystanders {
			return // those who are gone have not been told of yet; it comes again
		}
		p = &Person{}
		c.people[b.Who] = p
	}
	p.Bystander, p.unsure = b, time.Time{}
	c.numbers[number] = b.Who
}

// Moved takes a new rough place.
func (c *Crowd) Moved(number uint32, at region.Place) {
	if p := c.people[c.numbers[number]]; p != nil {
		p.Place = at
	}
}

// Gone forgets somebody who is out of reach.
func (c *Crowd) Gone(number uint32) {
	delete(c.people, c.numbers[number])
	delete(c.numbers, number)
}

// Heard takes what somebody tells of itself.
func (c *Crowd) Heard(who region.PresenceID, w Whereabouts, now time.Time) {
	if p := c.people[who]; p != nil {
		p.Exact, p.Heard = w, now
	}
}

// Tidy forgets those whom nobody has spoken of for long.
func (c *Crowd) Tidy(now time.Time) {
	for who, p := range c.people {
		if !p.unsure.IsZero() && now.Sub(p.unsure) > unsureFor && now.Sub(p.Heard) > exactFor {
			delete(c.people, who)
		}
	}
}

// Person is what is known of somebody; nil if nothing is.
func (c *Crowd) Person(who region.PresenceID) *Person { return c.people[who] }

// Neighbours lists everybody at the best place known. It is valid until the next
// call.
func (c *Crowd) Neighbours(now time.Time) []region.Neighbour {
	c.all = c.all[:0]
	for who, p := range c.people {
		n := region.Neighbour{Who: who, Place: p.place(now)}
		if now.Sub(p.Heard) <= exactFor {
			n.Level, n.Regards = p.Exact.Level, p.Exact.Regards == c.self
		}
		c.all = append(c.all, n)
	}
	return c.all
}
