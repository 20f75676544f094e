package region

import (
	"slices"
	"time"
)

// A search looks for the move that makes a tree cheapest. It works on positions
// of a survey and keeps the RTTs it asked for.
type search struct {
	*survey
	rtt   RTT
	hops  []time.Duration // of all pairs, -1 = not asked yet
	slack []int64
	rate  []int64
	// up and child cache the tree by positions.
	up []int
}

// A gain is a move and what it saves.
type gain struct {
	kind gainKind
	a, b int
	save time.Duration
}

type gainKind uint8

const (
	reparent gainKind = iota // a hangs under b
	swap                     // a and b change parents
	exchange                 // a, a child of b, takes b's place, and b hangs under a
)

func (r *Region) search(t *tree, now time.Time, rtt RTT) *search {
	x := &search{survey: r.survey(t, now), rtt: rtt}
	n := len(x.order)
	x.hops = make([]time.Duration, n*n)
	x.slack, x.rate, x.up = make([]int64, n), make([]int64, n), make([]int, n)
	for i := range x.hops {
		x.hops[i] = -1
	}
	for i, node := range x.order {
		x.slack[i] = r.members.at(node.member).slack()
		x.rate[i] = int64(t.rate(node))
		x.up[i] = -1
		if i > 0 {
			x.up[i] = x.survey.at(node.parent)
		}
	}
	return x
}

func (x *search) hop(a, b int) time.Duration {
	h := &x.hops[a*len(x.order)+b]
	if *h < 0 {
		*h = x.r.hop(x.rtt, x.order[a].member, x.order[b].member)
		x.hops[b*len(x.order)+a] = *h
	}
	return *h
}

// movable nodes are neither the root nor on their way.
func (x *search) movable(i int) bool { return i > 0 && x.order[i].state == Standing }

// best lists the most saving moves, best first.
func (x *search) best(least time.Duration) []gain {
	const most = 4
	var found []gain
	keep := func(g gain) {
		if g.save < least || len(found) == most && g.save <= found[most-1].save {
			return
		}
		i, _ := slices.BinarySearchFunc(found, g, func(a, b gain) int {
			switch {
			case a.save > b.save:
				return -1
			case a.save < b.save:
				return 1
			}
			return -1
		})
		if len(found) < most {
			found = append(found, gain{})
		}
		copy(found[i+1:], found[i:])
		found[i] = g
	}
	for a := 1; a < len(x.order); a++ {
		if !x.movable(a) {
			continue
		}
		for b := range x.order {
			if b == a || x.below(b, a) {
				continue
			}
			if s := x.reparentGain(a, b); s > 0 {
				keep(gain{reparent, a, b, s})
			}
			if b > a && x.movable(b) && x.up[a] != x.up[b] && !x.below(a, b) {
				if s := x.swapGain(a, b); s > 0 {
					keep(gain{swap, a, b, s})
				}
			}
		}
		if s := x.exchangeGain(a, x.up[a]); s > 0 {
			keep(gain{exchange, a, x.up[a], s})
		}
	}
	return found
}

// under is what node a costs when it hangs under p as things stand.
func (x *search) under(a, p int) time.Duration { return x.cost[p] + x.toll[p] + x.hop(a, p) }

func (x *search) feeds(p, a int) bool { return x.order[a].layers&^x.order[p].layers == 0 }

func (x *search) reparentGain(a, p int) time.Duration {
	if p == x.up[a] || x.slack[p] < x.rate[a] || !x.feeds(p, a) || x.cost[p]+x.toll[p] >= x.cost[a] {
		return 0
	}
	return time.Duration(x.size[a]) * (x.cost[a] - x.under(a, p))
}

func (x *search) swapGain(a, b int) time.Duration {
	pa, pb := x.up[a], x.up[b]
	if x.slack[pa]+x.rate[a] < x.rate[b] || x.slack[pb]+x.rate[b] < x.rate[a] || !x.feeds(pa, b) || !x.feeds(pb, a) {
		return 0
	}
	bound := time.Duration(x.size[a])*(x.cost[a]-x.cost[pb]-x.toll[pb]) + time.Duration(x.size[b])*(x.cost[b]-x.cost[pa]-x.toll[pa])
	if bound <= 0 {
		return 0
	}
	return time.Duration(x.size[a])*(x.cost[a]-x.under(a, pb)) + time.Duration(x.size[b])*(x.cost[b]-x.under(b, pa))
}

// exchangeGain lets a take the place of its parent p, which then hangs under a.
func (x *search) exchangeGain(a, p int) time.Duration {
	if p <= 0 || !x.movable(p) {
		return 0
	}
	g := x.up[p]
	if x.slack[a] < x.rate[p] || x.slack[g]+x.rate[p] < x.rate[a] || !x.feeds(a, p) || !x.feeds(g, a) {
		return 0
	}
	ca := x.under(a, g)
	cp := ca + x.toll[a] + x.hop(a, p)
	return time.Duration(x.size[a])*(x.cost[a]-ca) + time.Duration(x.size[p]-x.size[a])*(x.cost[p]-cp)
}

func (g gain) steps(x *search) []Step {
	step := func(m, to int) Step {
		name := func(i int) MemberID { return x.r.name(x.order[i].member) }
		return Step{x.t.stream.ID, name(m), name(x.up[m]), name(to)}
	}
	switch g.kind {
	case swap:
		return []Step{step(g.a, x.up[g.b]), step(g.b, x.up[g.a])}
	case exchange:
		return []Step{step(g.a, x.up[g.b]), step(g.b, g.a)}
	}
	return []Step{step(g.a, g.b)}
}
