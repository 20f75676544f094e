package forest

import (
	"cmp"
	"math"
	"slices"
)

// near is how many of its closest members a node prefers to be moved to.
const near = 24

// Anneal takes steps random steps under a temperature that falls from hot to
// cold, both in ms of total delay: a step that makes things worse by one
// temperature is taken about every third time. It ends with the better of what
// it found last and what stood at the start; a climb should follow.
func (s *Search) Anneal(steps int, hot, cold float64) {
	f := s.f
	var movable []int32
	for v := range f.nodes {
		if f.nodes[v].parent != None && !f.nodes[v].pinned {
			movable = append(movable, int32(v))
		}
	}
	if len(movable) < 2 || steps <= 0 {
		return
	}
	start, total := f.Parents(), f.total
	s.neighbours = s.findNeighbours()
	cooling := math.Pow(cold/hot, 1/float64(max(steps-1, 1)))
	for heat := hot; steps > 0; steps-- {
		v := movable[s.rng.IntN(len(movable))]
		pool := s.neighbours[v]
		if len(pool) == 0 || s.rng.IntN(2) == 0 {
			pool = s.candidates(f.nodes[v].tree)
		}
		if o := s.guess(v, pool[s.rng.IntN(len(pool))]); o.kind != nothing {
			s.Evaluations++
			if o.gain >= 0 || s.rng.Float64() < math.Exp(o.gain/heat) {
				s.apply(o, math.Inf(-1))
			}
		}
		heat *= cooling
	}
	f.refresh()
	if f.total > total {
		f.Restore(start)
	}
}

// guess picks a step that would bring v to p, or into the place of p.
func (s *Search) guess(v, p int32) option {
	f := s.f
	n, m := &f.nodes[v], &f.nodes[p]
	o := option{v: v, gain: math.Inf(-1)}
	if p == v || f.Below(p, v) {
		return o
	}
	if m.parent != None && !m.pinned && s.rng.IntN(4) == 0 {
		s.exchange(v, p, f.nodes[m.parent].delay+f.Edge(m.parent, v), o.gain, &o)
		return o
	}
	if p == n.parent {
		return o
	}
	at := m.delay + f.Cost(m.member, n.member)
	if f.free[m.member] >= n.rate && n.layers&^m.layers == 0 {
		return option{kind: Reparent, v: v, p: p, gain: float64(n.size) * (n.delay - at)}
	}
	c := f.randomChild(s, p)
	if c == None || c == v || f.nodes[c].pinned || f.nodes[c].rate < n.rate-f.free[m.member] {
		return o
	}
	if f.Below(v, c) {
		s.promote(v, p, c, at, &o)
	} else {
		gain := float64(n.size) * (n.delay - at)
		s.makeRoom(v, p, c, at, gain, &o)
		s.ejectNear(v, p, c, gain, &o)
	}
	return o
}

// ejectNear looks at c going to the best free place among its neighbours when v
// takes its place under p.
func (s *Search) ejectNear(v, p, c int32, gain float64, best *option) {
	f := s.f
	m := &f.nodes[c]
	for _, q := range s.neighbours[c] {
		x := &f.nodes[q]
		if f.free[x.member] < m.rate || m.layers&^x.layers != 0 || q == p || q == v || q == m.parent {
			continue
		}
		g := gain - float64(m.size)*(x.delay+f.Edge(q, c)-m.delay)
		if g > best.gain && !f.Below(q, c) {
			*best = option{kind: Eject, v: v, p: p, c: c, q: q, gain: g}
		}
	}
}

func (f *Forest) randomChild(s *Search, p int32) int32 {
	d := f.Degree(p)
	if d == 0 {
		return None
	}
	c := f.nodes[p].child
	for k := s.rng.IntN(d); k > 0; k-- {
		c = f.nodes[c].next
	}
	return c
}

// findNeighbours lists, for every node, those of its tree that could reach it
// soonest, and could feed it.
func (s *Search) findNeighbours() [][]int32 {
	f := s.f
	all := make([][]int32, len(f.nodes))
	type reach struct {
		node int32
		cost float64
	}
	for t := range f.trees {
		pool := s.candidates(int32(t))
		sorted := make([]reach, 0, len(pool))
		for _, v := range f.trees[t] {
			sorted = sorted[:0]
			for _, p := range pool {
				if p != v {
					sorted = append(sorted, reach{p, f.Edge(p, v)})
				}
			}
			slices.SortFunc(sorted, func(a, b reach) int {
				return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.node, b.node))
			})
			for _, r := range sorted[:min(near, len(sorted))] {
				all[v] = append(all[v], r.node)
			}
		}
	}
	return all
}

// Parents copies the parent of every node.
func (f *Forest) Parents() []int32 {
	parents := make([]int32, len(f.nodes))
	for v := range f.nodes {
		parents[v] = f.nodes[v].parent
	}
	return parents
}

// Restore brings every node back under the parent that Parents told.
func (f *Forest) Restore(parents []int32) {
	for v := range f.nodes {
		n := &f.nodes[v]
		if n.parent != None {
			f.free[f.nodes[n.parent].member] += n.rate
		}
		n.parent, n.child, n.prev, n.next = parents[v], None, None, None
	}
	for v := range f.nodes {
		n := &f.nodes[v]
		if n.parent == None {
			continue
		}
		p := &f.nodes[n.parent]
		f.free[p.member] -= n.rate
		n.next = p.child
		if n.next != None {
			f.nodes[n.next].prev = int32(v)
		}
		p.child = int32(v)
	}
	f.refresh()
}

// refresh computes delays and sizes anew from the parents.
func (f *Forest) refresh() {
	f.total = 0
	for _, tree := range f.trees {
		order := append(f.stack[:0], tree[0])
		for i := 0; i < len(order); i++ {
			u := order[i]
			f.nodes[u].size = 1
			f.total += f.nodes[u].delay
			for c := f.nodes[u].child; c != None; c = f.nodes[c].next {
				f.nodes[c].delay = f.nodes[u].delay + f.Edge(u, c)
				order = append(order, c)
			}
		}
		for i := len(order) - 1; i > 0; i-- {
			f.nodes[f.nodes[order[i]].parent].size += f.nodes[order[i]].size
		}
		f.stack = order
	}
}
