package region

import (
	"slices"
	"time"
)

// A spot is a place in a tree as a child finds it, reduced to what decides
// whether the child may have it. The member fills it from its View, the decider
// and Apply from the Region; it is judged here and nowhere else.
type spot struct {
	// Need is what the child draws, Room what the parent can give it: what is
	// free, plus what the displaced child or the child itself frees there.
	need, room uint64
	// Passed is what a displaced child draws, Spare what the child can send.
	passed, spare uint64
	// Lacks: the parent does not get the layers asked for; deprives: the newcomer
	// would not get those that the displaced child draws.
	lacks, deprives bool
	// Loops: the parent hangs below the child.
	loops bool
}

// judge says what is wrong with s; 0 if nothing is.
func (s spot) judge() Reason {
	switch {
	case s.loops:
		return Loop
	case s.lacks:
		return Unknown
	case s.deprives || s.passed > s.spare:
		return Unfit
	case s.need > s.room:
		return Full
	}
	return 0
}

// A seeker is a node, or a member on its way to become one, that is looking for
// a place in the tree of a survey.
type seeker struct {
	*survey
	member slot
	layers LayerMask
	need   uint64
	// at is the seeker's position in the survey, -1 if it is new; size counts
	// what hangs below it, itself included.
	at   int
	size int32
	toll time.Duration
	// spare is what it can still send.
	spare uint64
	// avoid are members that it cannot or shall not hang under, apart those that it shall
	// only hang under, or displace, if there is no other place; nil = none.
	avoid []slot
	apart func(MemberID) bool
	// hops to every node of the survey, with caution; linked are those to whom a link stands.
	hops   []time.Duration
	linked []bool
	// gone are members about to leave the tree: their places may be taken.
	gone []slot
	// cutOff are positions of nodes that failed or are about to leave: what hangs
	// below them has no stream to give for now.
	cutOff []int
}

// seek prepares the search of a place for member m, which draws layers.
func (r *Region) seek(s *survey, m slot, layers LayerMask, now time.Time, rtt RTT) *seeker {
	k := &seeker{
		survey: s, member: m, layers: layers, need: uint64(s.t.stream.Rate(layers)),
		at: s.at(m), size: 1,
		toll:  r.tollOf(r.members.at(m), now),
		spare: uint64(r.members.at(m).free()),
		hops:  sized(s.hops, len(s.order)),
	}
	s.hops = k.hops
	if k.at >= 0 {
		k.size = s.size[k.at]
	}
	for i, n := range s.order {
		k.hops[i] = 0
		if n.member != m {
			k.hops[i] = r.caution(rtt, m, n.member)
		}
	}
	if r.Policy.NewLink > 0 {
		k.linked = r.neighbours(m)
	}
	return k
}

// neighbours marks, by slot, the members to whom m has an edge in any tree.
func (r *Region) neighbours(m slot) []bool {
	linked := make([]bool, len(r.members.chunks)*chunkSize)
	for _, i := range r.members.at(m).places {
		n := r.trees.at(i).nodes.at(m)
		if n.parent != none {
			linked[n.parent] = true
		}
		for _, c := range n.children {
			linked[c] = true
		}
		if len(n.standbys) > 0 {
			linked[n.standbys[0]] = true
		}
	}
	return linked
}

// A place is where a seeker may go: under parent, or between it and displaced.
// Positions are those of the survey.
type place struct {
	parent    int
	displaced int // -1: a free place
	// price is what the tree's cost grows by.
	price time.Duration
}

// room is what the node p of t can give self (nil for a newcomer): what it has
// free and does not keep, what self draws from it already, and what its children
// among gone draw.
func (r *Region) room(t *tree, p, self *node, gone []slot) uint64 {
	room := r.members.at(p.member).slack() - r.kept(p.member, t)
	if self != nil {
		switch p.member {
		case self.parent:
			room += int64(t.rate(self))
		case self.old:
			room += int64(r.heldFor(t, self))
		}
	}
	for _, g := range gone {
		if v := t.nodes.at(g); v != nil && v.parent == p.member {
			room += int64(t.rate(v))
		}
	}
	return uint64(max(room, 0))
}

// free is the spot under the node at position p, between the spot between it
// and its child at position c.
func (k *seeker) free(p int) spot {
	n := k.order[p]
	var self *node
	if k.at >= 0 {
		self = k.order[k.at]
	}
	return spot{
		need: k.need, room: k.r.room(k.t, n, self, k.gone),
		lacks: k.layers&^n.layers != 0,
		loops: k.at >= 0 && k.below(p, k.at),
	}
}

func (k *seeker) between(p, c int) spot {
	s := k.free(p)
	d := k.order[c]
	s.passed = k.t.rate(d)
	s.room += s.passed
	s.spare = k.spare
	s.deprives = d.layers&^k.layers != 0
	return s
}

// spot is the one or the other, as x says.
func (k *seeker) spot(x place) spot {
	if x.displaced < 0 {
		return k.free(x.parent)
	}
	return k.between(x.parent, x.displaced)
}

// base is what the seeker itself would cost under the node at position p.
func (k *seeker) base(p int) time.Duration {
	return k.cost[p] + k.survey.toll[p] + k.hops[p]
}

// freePrice is what a free place under the node at position p costs.
func (k *seeker) freePrice(p int) time.Duration {
	price := k.base(p)*time.Duration(k.size) + k.newLink(p)
	if k.r.Policy.Reserved > 0 {
		m := k.r.members.at(k.order[p].member)
		if uint64(m.free()) < k.need+m.mostPledged() {
			price += k.r.Policy.Reserved
		}
	}
	return price
}

func (k *seeker) betweenPrice(p, c int) time.Duration {
	base := k.base(p)
	moved := base + k.toll + k.hops[c] - k.cost[c]
	return base*time.Duration(k.size) + moved*time.Duration(k.survey.size[c]) + k.newLink(p) + k.newLink(c)
}

func (k *seeker) newLink(p int) time.Duration {
	if k.linked == nil || k.linked[k.order[p].member] {
		return 0
	}
	return k.r.Policy.NewLink
}

// displaceable says whether the node at position c may be pushed down: it is
// not the seeker, does not carry it, and takes no part in a move already.
func (k *seeker) displaceable(c int) bool {
	n := k.order[c]
	return n.member != k.member && !slices.Contains(k.gone, n.member) && k.r.settled(k.t, n) && (k.at < 0 || !k.below(k.at, c))
}

// settled says whether n takes part in no move: it neither moves nor takes over
// the place of a node that does. A place can only pass from one to one other.
func (r *Region) settled(t *tree, n *node) bool {
	if n.old != none {
		return false
	}
	return n.parent == none || !slices.ContainsFunc(t.nodes.at(n.parent).movers, func(m slot) bool {
		return t.nodes.at(m).heir == r.name(n.member)
	})
}

func (k *seeker) avoids(m slot) bool {
	return m == k.member || slices.Contains(k.gone, m) || slices.Contains(k.avoid, m) || k.parted(m)
}

func (k *seeker) parted(m slot) bool { return k.apart != nil && k.apart(k.r.name(m)) }

func (k *seeker) cut(p int) bool {
	for _, c := range k.cutOff {
		// Should it be the root, others have the stream from it all the same.
		if p == c || c > 0 && k.below(p, c) {
			return true
		}
	}
	return false
}

// best is the place that makes the tree's cost grow least.
func (k *seeker) best() (place, bool) {
	best := place{parent: -1}
	better := func(x place) {
		if best.parent < 0 || x.price < best.price ||
			x.price == best.price && k.r.name(k.order[x.parent].member) < k.r.name(k.order[best.parent].member) {
			best = x
		}
	}
	for p, n := range k.order {
		if k.avoids(n.member) || k.cut(p) {
			continue
		}
		s := k.free(p)
		if s.loops || s.lacks {
			continue
		}
		if s.judge() == 0 {
			better(place{p, -1, k.freePrice(p)})
		}
		if k.spare == 0 {
			continue
		}
		for _, child := range n.children {
			c := k.survey.at(child)
			if !k.displaceable(c) || k.parted(child) {
				continue
			}
			if k.between(p, c).judge() == 0 {
				better(place{p, c, k.betweenPrice(p, c)})
			}
		}
	}
	return best, best.parent >= 0
}
