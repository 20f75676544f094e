package planet

import (
	"fmt"

	"github.com/skein-mesh/skein/region"
)

// A person is a member, wherever it is.
type person struct {
	place
	slots int16
	crash bool
	// leaves is when its stay ends, in seconds of the world.
	leaves float64
	id     region.MemberID
	// home is where it lives; nil before it has come and once it has gone.
	home *realm
}

// personID names a person by number, person finds one; nil if it is none.
func personID(n int) region.MemberID { return region.MemberID(fmt.Sprintf("m%07d", n)) }

func (w *World) person(m region.MemberID) *person {
	if m == "" || m[0] != 'm' {
		return nil
	}
	n := 0
	for i := 1; i < len(m); i++ {
		n = 10*n + int(m[i]-'0')
	}
	return w.people[n]
}

// departures is a heap of people by the end of their stay.
type departures []*person

func (d departures) Len() int { return len(d) }
func (d departures) Less(i, j int) bool {
	return d[i].leaves < d[j].leaves || d[i].leaves == d[j].leaves && d[i].id < d[j].id
}
func (d departures) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d *departures) Push(x any)   { *d = append(*d, x.(*person)) }
func (d *departures) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}
