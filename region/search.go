package region

import (
	"cmp"
	"slices"
	"time"
)

// A search looks for the move that makes a tree cheapest. It works on positions
// of a survey.
//
// Looking at all pairs of nodes would cost the square of their number at every
// event, nearly all of it in asking for RTTs. Moves that pay are mostly found
// where the tree has just changed, and where much could be won: at nodes with
// many below them that are far from the root for where they are. What is left
// over is found by looking at a few other nodes each time, in turn. Under churn
// looking at all pairs was no better (4 weeks on PlanetLab, mixed slots: 1.181 of
// the bound at 8.9 changes per hour, against 1.180 at 8.8).
type search struct {
	*survey
	rtt   RTT
	slack []int64
	rate  []int64
	up    []int // positions of the parents
	// family of a node, see families.
	family []family
	// rows hold the hops of a node and of its parent while moves of that node
	// are weighed.
	rows  [2]hopRow
	gains []gain
	// floor is what a move must save, per parent it changes, to be kept.
	floor time.Duration
}

type hopRow struct {
	of   int
	hops []time.Duration // -1: not asked yet
}

// A gain is a move and what it saves per parent that it changes: a swap has to
// be worth two moves.
type gain struct {
	kind gainKind
	a, b int
	save time.Duration
}

type gainKind uint8

const (
	reparent gainKind = iota // a hangs under b
	swap                     // a and b change parents
	between                  // a takes b's place, and b hangs under a
	trade                    // a and b change places, and what hangs below stays there
)

// Besides those that changed last, the worthiest nodes are looked at, and some
// in turn.
const worthiest, inTurn = 16, 16

func (r *Region) search(t *tree, least time.Duration, s *survey, rtt RTT) *search {
	n := len(s.order)
	x := &search{survey: s, rtt: rtt, floor: least, slack: make([]int64, n), rate: make([]int64, n), up: make([]int, n)}
	for i, node := range s.order {
		x.slack[i] = r.members.at(node.member).slack() - r.kept(node.member, t)
		x.rate[i] = int64(t.rate(node))
		x.up[i] = -1
		if i > 0 {
			x.up[i] = s.at(node.parent)
		}
	}
	for i := range x.rows {
		x.rows[i] = hopRow{-1, make([]time.Duration, n)}
	}
	x.families()
	return x
}

// best lists the most saving moves, best first: a spare one, should the first
// turn out to be impossible.
func (x *search) best() []gain {
	movable := make([]int, 0, len(x.order))
	for i := range x.order {
		if x.movable(i) {
			movable = append(movable, i)
			x.weighBetween(i, x.up[i])
		}
	}
	if len(movable) == 0 {
		return nil
	}
	focus := make([]int, 0, worthiest+inTurn+len(x.t.latest))
	for _, m := range x.t.latest {
		if i := x.survey.at(m); i >= 0 && !slices.Contains(focus, i) {
			focus = append(focus, i)
			x.aim(0, i)
			for _, a := range movable {
				x.weighReparent(a, i)
			}
		}
	}
	for _, i := range x.worthiest(movable) {
		if !slices.Contains(focus, i) {
			focus = append(focus, i)
		}
	}
	turn := int(uint64(x.r.revision) * inTurn % uint64(len(movable)))
	for k := range min(inTurn, len(movable)) {
		if i := movable[(turn+k)%len(movable)]; !slices.Contains(focus, i) {
			focus = append(focus, i)
		}
	}
	for _, a := range focus {
		if !x.movable(a) {
			continue
		}
		x.aim(0, a)
		x.aim(1, x.up[a])
		for b := range x.order {
			x.weighReparent(a, b)
			x.weighSwap(a, b)
			x.weighBetween(a, b)
			x.weighTrade(a, b)
		}
	}
	return x.gains
}

// worthiest picks the nodes that would save most if the root itself fed them.
func (x *search) worthiest(movable []int) []int {
	picked := make([]int, 0, worthiest+1)
	worth := make([]time.Duration, len(x.order))
	for _, a := range movable {
		worth[a] = time.Duration(x.size[a]) * (x.cost[a] - x.r.caution(x.rtt, x.order[0].member, x.order[a].member))
		i := len(picked)
		for i > 0 && worth[picked[i-1]] < worth[a] {
			i--
		}
		if i < worthiest {
			picked = slices.Insert(picked, i, a)
			picked = picked[:min(len(picked), worthiest)]
		}
	}
	return picked
}

// movable nodes are neither the root nor on their way.
func (x *search) movable(i int) bool {
	return i > 0 && x.order[i].state == Standing && x.r.settled(x.t, x.order[i])
}

// aim makes a row remember the hops of a node.
func (x *search) aim(row, of int) {
	r := &x.rows[row]
	if r.of == of {
		return
	}
	r.of = of
	for i := range r.hops {
		r.hops[i] = -1
	}
}

func (x *search) hop(a, b int) time.Duration {
	if b == x.rows[0].of || b == x.rows[1].of {
		a, b = b, a
	}
	for i := range x.rows {
		if r := &x.rows[i]; r.of == a {
			if r.hops[b] < 0 {
				r.hops[b] = x.r.caution(x.rtt, x.order[a].member, x.order[b].member)
			}
			return r.hops[b]
		}
	}
	return x.r.caution(x.rtt, x.order[a].member, x.order[b].member)
}

// keep notes a move if it is one of the best so far.
func (x *search) keep(g gain) {
	const most = 2
	if g.save <= x.floor {
		return
	}
	x.gains = append(x.gains, g)
	slices.SortStableFunc(x.gains, func(a, b gain) int { return cmp.Compare(b.save, a.save) })
	if len(x.gains) >= most {
		x.gains = x.gains[:most]
		x.floor = x.gains[most-1].save
	}
}

// under is what node a costs when it hangs under p as things stand.
func (x *search) under(a, p int) time.Duration { return x.cost[p] + x.toll[p] + x.hop(a, p) }

// feeds says whether p gets all the layers that a draws.
func (x *search) feeds(p, a int) bool { return x.order[a].layers&^x.order[p].layers == 0 }

func (x *search) weighReparent(a, p int) {
	bound := time.Duration(x.size[a]) * (x.cost[a] - x.cost[p] - x.toll[p])
	if bound <= x.floor || p == x.up[a] || x.slack[p] < x.rate[a] || x.below(p, a) || !x.feeds(p, a) {
		return
	}
	x.keep(gain{reparent, a, p, time.Duration(x.size[a]) * (x.cost[a] - x.under(a, p))})
}

func (x *search) weighSwap(a, b int) {
	if !x.movable(b) {
		return
	}
	pa, pb := x.up[a], x.up[b]
	bound := time.Duration(x.size[a])*(x.cost[a]-x.cost[pb]-x.toll[pb]) +
		time.Duration(x.size[b])*(x.cost[b]-x.cost[pa]-x.toll[pa])
	if bound <= x.floor || pa == pb || x.below(a, b) || x.below(b, a) {
		return
	}
	if x.slack[pa]+x.rate[a] < x.rate[b] || x.slack[pb]+x.rate[b] < x.rate[a] || !x.feeds(pa, b) || !x.feeds(pb, a) {
		return
	}
	save := time.Duration(x.size[a])*(x.cost[a]-x.under(a, pb)) + time.Duration(x.size[b])*(x.cost[b]-x.under(b, pa))
	x.keep(gain{swap, a, b, save / 2})
}

// weighBetween lets a take the place of c, which then hangs under a. If a hangs
// below c, this promotes it; if it is a child of c, the two exchange places.
func (x *search) weighBetween(a, c int) {
	if a == c || !x.movable(c) {
		return
	}
	p := x.up[c]
	moved := x.size[c]
	if x.below(a, c) {
		moved -= x.size[a]
	}
	most := time.Duration(x.size[a]) * (x.cost[a] - x.cost[p] - x.toll[p])
	if x.slack[a] < x.rate[c] || most <= x.floor || x.below(c, a) {
		return
	}
	room := x.slack[p] + x.rate[c]
	if p == x.up[a] {
		room += x.rate[a]
	}
	if room < x.rate[a] || !x.feeds(a, c) || !x.feeds(p, a) {
		return
	}
	ca := x.under(a, p)
	cc := ca + x.toll[a] + x.hop(a, c)
	save := time.Duration(x.size[a])*(x.cost[a]-ca) + time.Duration(moved)*(x.cost[c]-cc)
	x.keep(gain{between, a, c, save / 2})
}

func (g gain) steps(x *search) []Step {
	step := func(m, to int) Step {
		name := func(i int) MemberID { return x.r.name(x.order[i].member) }
		return Step{x.t.stream.ID, name(m), name(x.up[m]), name(to)}
	}
	switch g.kind {
	case swap:
		return []Step{step(g.a, x.up[g.b]), step(g.b, x.up[g.a])}
	case trade:
		steps := x.swapChildren(g.a, g.b, step)
		if x.up[g.a] != x.up[g.b] {
			steps = append(steps, step(g.a, x.up[g.b]), step(g.b, x.up[g.a]))
		}
		return steps
	case between:
		return []Step{step(g.a, x.up[g.b]), step(g.b, g.a)}
	}
	return []Step{step(g.a, g.b)}
}
