package sim

import (
	"math"
	"slices"
)

// Exact finds the least sum of delays that a tree over all members of a small
// world can have, by branch and bound: nodes are attached in the order of their
// delays, so that every tree is met once. ok is false if it was given up after
// limit search nodes; the sum is then the best that was found.
func (w *World) Exact(origin, limit int) (sum float64, ok bool) {
	n := w.Size()
	x := &exact{w: w, n: n, best: math.Inf(1), left: limit, delay: make([]float64, n), room: slices.Clone(w.Slots)}
	x.short = make([][]float64, n)
	all, every := make([]int, n), slices.Repeat([]bool{true}, n)
	for i := range all {
		all[i] = i
	}
	for p := range n {
		x.short[p] = make([]float64, n)
		for v := range n {
			x.short[p][v] = math.Inf(1)
		}
		x.short[p][p] = 0
		w.shorten(all, every, x.short[p])
	}
	x.in = append(x.in, origin)
	for v := range n {
		if v != origin {
			x.open = append(x.open, v)
		}
	}
	x.search(0, 0)
	return x.best, x.left > 0
}

type exact struct {
	w        *World
	n, left  int
	best     float64
	short    [][]float64
	delay    []float64
	room     []int
	in, open []int
}

// search attaches one more node with a delay of at least last.
func (x *exact) search(sum, last float64) {
	if len(x.open) == 0 {
		x.best = min(x.best, sum)
		return
	}
	if x.left--; x.left <= 0 || sum+x.rest(last) >= x.best-1e-9 {
		return
	}
	type edge struct {
		v, p  int
		delay float64
	}
	var edges []edge
	for _, v := range x.open {
		for _, p := range x.in {
			if d := x.delay[p] + x.w.Edge(p, v); x.room[p] > 0 && d >= last {
				edges = append(edges, edge{v, p, d})
			}
		}
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if a.delay < b.delay {
			return -1
		}
		return 1
	})
	for _, e := range edges {
		i := slices.Index(x.open, e.v)
		x.open = slices.Delete(x.open, i, i+1)
		x.in = append(x.in, e.v)
		x.delay[e.v] = e.delay
		x.room[e.p]--
		x.search(sum+e.delay, e.delay)
		x.room[e.p]++
		x.in = x.in[:len(x.in)-1]
		x.open = slices.Insert(x.open, i, e.v)
	}
}

// rest bounds what the open nodes add: each the shortest way from an open place,
// and none less than last.
func (x *exact) rest(last float64) float64 {
	sum := 0.0
	for _, v := range x.open {
		least := math.Inf(1)
		for _, p := range x.in {
			if x.room[p] > 0 {
				least = min(least, x.delay[p]+x.short[p][v])
			}
		}
		sum += max(last, least)
	}
	return sum
}
