package region

import (
	"cmp"
	"slices"
	"time"
)

// A brood is the children of one parent in one tree. They lose it together and
// look for room at the same moment, so their standbys are chosen together: what
// one of them counts on, its siblings cannot.
//
// The place of the lost parent falls free and is inherited by one of them. Where
// there is too little room outside, an heir with uplink to spare, who is sure of
// a standby outside, takes in its siblings: for them it is a standby too.
type brood struct {
	*survey
	gone   []slot
	rtt    RTT
	parent int // its position in the tree
	// members of the brood, or those of them that need something, those first that
	// could feed most: a sibling relies only on one before it, so that no two rely on
	// each other.
	members []fledgling
	ledger  *ledger
	// outside are those who could be standbys, in two parts: from roomless on they
	// have no room. Each part begins with the cheapest.
	outside  []reserve
	roomless int
}

// A fledgling is a child that may lose its parent.
type fledgling struct {
	at   int // its position in the tree
	rate int64
	// standbys are those it is to have.
	standbys []slot
	// cautions are the hops to brood.outside; unknownHop if not asked yet, barred if
	// that one cannot feed it.
	cautions []time.Duration
	fine     bool // nothing could be better about them
}

const (
	unknownHop time.Duration = -1
	barred     time.Duration = -2
)

// Points of the standbys of one fledgling: a first one with room counts more
// than anything else together.
const (
	firstHasRoom  = 4
	secondHasRoom = 2
	independent   = 1
	sound         = firstHasRoom + secondHasRoom + independent
)

// brood are these children of the parent at position p, with the standbys that are
// still useful.
func (d *draft) brood(s *survey, p int, children, gone []slot, rtt RTT) *brood {
	d.Work.ledger.open(len(s.pos))
	b := &brood{survey: s, gone: gone, rtt: rtt, parent: p, ledger: &d.Work.ledger}
	// Those first that could feed most; among equals by name, since positions change
	// with the standbys.
	children = slices.SortedFunc(slices.Values(children), func(v, w slot) int {
		return cmp.Or(cmp.Compare(b.r.members.at(w).capacity(), b.r.members.at(v).capacity()), cmp.Compare(b.r.name(v), b.r.name(w)))
	})
	b.members = make([]fledgling, 0, len(children))
	for _, c := range children {
		if slices.Contains(gone, c) {
			continue
		}
		v := s.at(c)
		n := s.order[v]
		f := fledgling{at: v, rate: int64(s.t.rate(n)), standbys: s.useful(v, gone)}
		b.members = append(b.members, f)
		b.claim(n.standbys, f.rate, -1)
		b.claim(f.standbys, f.rate, +1)
	}
	for i := range b.members {
		b.members[i].fine = b.points(i) == sound
	}
	return b
}

// claim enters or, with sign -1, takes back what the first two standbys are
// counted on for.
func (b *brood) claim(standbys []slot, rate int64, sign int64) {
	for _, x := range standbys[:min(2, len(standbys))] {
		b.ledger.claims[x] += sign * rate
	}
}

// room is what would be left of x's room, had the parent failed and everybody
// gone where they count on. What is pledged for the loss of others is not needed
// at that time.
func (b *brood) room(x slot) int64 {
	room := b.ledger.rooms[x]
	if room == unasked {
		m, p := b.r.members.at(x), b.order[b.parent]
		room = m.slack() - int64(m.pledged(p.member))
		if x == p.parent {
			room += int64(b.t.rate(p)) // the place of the lost one
		}
		b.ledger.rooms[x] = room
	}
	return room - b.ledger.claims[x]
}

// orphaned says whether the node at position i loses its stream with the parent.
func (b *brood) orphaned(i int) bool { return b.falls(i, b.parent) }

// sure says whether member k of the brood is sure of a standby outside: then those
// that follow it may rely on it.
func (b *brood) sure(k int) bool {
	standbys := b.members[k].standbys
	return len(standbys) > 0 && !b.orphaned(b.at(standbys[0])) && b.room(standbys[0]) >= 0
}

// heir says whether the node at position at is a sibling that member i of the brood
// may rely on.
func (b *brood) heir(i, at int) bool {
	for k := range i {
		if b.members[k].at == at {
			return b.sure(k)
		}
	}
	return false
}

// points weighs the standbys of member i: their room first, and then whether one
// failure could take both.
func (b *brood) points(i int) int {
	standbys, points := b.members[i].standbys, 0
	for k, x := range standbys[:min(2, len(standbys))] {
		if at := b.at(x); b.room(x) < 0 || b.orphaned(at) && !b.heir(i, at) {
			continue
		}
		if k == 0 {
			points += firstHasRoom
		} else {
			points += secondHasRoom
		}
	}
	if len(standbys) < 2 || !b.sharesBranch(b.at(standbys[0]), b.at(standbys[1])) {
		points += independent
	}
	return points
}

// total weighs the standbys of the whole brood.
func (b *brood) total() int {
	sum := 0
	for i := range b.members {
		sum += b.points(i)
	}
	return sum
}

// count is how many standbys the brood has, of those beyond enough for one none.
func (b *brood) count(enough int) int {
	sum := 0
	for _, f := range b.members {
		sum += min(len(f.standbys), enough)
	}
	return sum
}

// mend gives new standbys to the members of the brood with these indices, in
// ascending order: everybody's first before anybody's second.
func (b *brood) mend(which []int) {
	b.survivors()
	was := b.choices()
	for _, i := range which {
		f := &b.members[i]
		b.claim(f.standbys, f.rate, -1)
		f.standbys = nil
	}
	want := min(max(b.r.Policy.Standbys, 2), MaxStandbys)
	for k := range want {
		for _, i := range which {
			f := &b.members[i]
			x := b.pick(i, was[i])
			if x == none {
				continue
			}
			if f.standbys = append(f.standbys, x); k < 2 {
				b.ledger.claims[x] += f.rate
			}
		}
	}
}

// mendAll gives new standbys to the whole brood.
func (b *brood) mendAll() {
	everybody := make([]int, len(b.members))
	for i := range everybody {
		everybody[i] = i
	}
	b.mend(everybody)
}

// outlook is what the brood and all below it would cost under their first
// standbys.
func (b *brood) outlook() time.Duration {
	var sum time.Duration
	for _, f := range b.members {
		if len(f.standbys) == 0 {
			return MaxDelay * time.Duration(len(b.order))
		}
		i := b.at(f.standbys[0])
		hop := b.r.caution(b.rtt, b.order[i].member, b.order[f.at].member)
		sum += time.Duration(b.size[f.at]) * (b.cost[i] + b.toll[i] + hop)
	}
	return sum
}

// renew gives the whole brood new standbys if those are no less sound, and save
// each of its members, and each node below them, on average a delay that noise
// in measurements does not feign, should they be needed. It says whether it did.
func (b *brood) renew() bool {
	const worth = 2 * time.Millisecond
	nodes := int32(0)
	for _, f := range b.members {
		nodes += b.size[f.at]
	}
	before, points, outlook := b.choices(), b.total(), b.outlook()
	b.mendAll()
	if b.total() < points || b.outlook()+worth*time.Duration(nodes) > outlook {
		b.choose(before)
		return false
	}
	return true
}

// choices are the standbys of all members of the brood.
func (b *brood) choices() [][]slot {
	choices := make([][]slot, len(b.members))
	for i, f := range b.members {
		choices[i] = f.standbys
	}
	return choices
}

// choose goes back to choices made before.
func (b *brood) choose(choices [][]slot) {
	for i := range b.members {
		f := &b.members[i]
		b.claim(f.standbys, f.rate, -1)
		f.standbys = choices[i]
		b.claim(f.standbys, f.rate, +1)
	}
}
