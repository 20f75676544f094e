package sim

import (
	"math"
	"slices"
	"sort"
)

// Bounds says what no tree from origin to all members can beat, in ms.
type Bounds struct {
	// Direct is the average and DirectMax the maximum of unicast from the origin.
	// They are not bounds: most real pairs have a shorter detour.
	Direct, DirectMax float64
	// Avg and Max bound the average and maximum delay of every tree, even if
	// every member could relay on the way.
	Avg, Max float64
	// Relay bounds the average more tightly: members without slots do not relay.
	Relay float64
}

// deepest is the last level that the level bounds tell apart; below it a node
// may hang wherever the shortest path leads.
const deepest = 12

// Bound computes the bounds for a tree over all members that starts at origin,
// where each may use its slots times share for this tree.
func (w *World) Bound(origin, share int) Bounds {
	all := make([]int, w.Size())
	for i := range all {
		all[i] = i
	}
	return w.boundOf(origin, all, share)
}

// boundOf is Bound for a tree over the members of set.
func (w *World) boundOf(origin int, set []int, share int) Bounds {
	nodes := make([]int, 0, len(set)+1)
	nodes = append(nodes, origin)
	var b Bounds
	for _, v := range set {
		if v != origin {
			nodes = append(nodes, v)
			b.Direct += w.Edge(origin, v)
			b.DirectMax = max(b.DirectMax, w.Edge(origin, v))
		}
	}
	n := float64(len(nodes) - 1)
	if n == 0 {
		return b
	}
	b.Direct /= n
	room := w.levels(nodes, share)
	every := slices.Repeat([]bool{true}, len(nodes))
	walks := w.walks(nodes, every)
	sum, longest := w.shortest(nodes, every)
	b.Avg = max(sum, transport(walks, room)) / n
	b.Max = max(longest, levelMax(walks, room))
	able := make([]bool, len(nodes))
	for i, v := range nodes {
		able[i] = w.Slots[v] > 0
	}
	sum, _ = w.shortest(nodes, able)
	b.Relay = max(sum, transport(w.walks(nodes, able), room)) / n
	return b
}

// shortest is the sum and the maximum of the delays if each node had the shortest
// path for itself, over those that relay.
func (w *World) shortest(nodes []int, relays []bool) (sum, longest float64) {
	delay := slices.Repeat([]float64{math.Inf(1)}, len(nodes))
	delay[0] = 0
	w.shorten(nodes, relays, delay)
	for _, d := range delay {
		sum += d
		longest = max(longest, d)
	}
	return sum, longest
}

// walks is, per level k, the least delay of a walk of exactly k edges from the
// origin to each node over those that relay; at the deepest level, of a walk of
// at least so many.
func (w *World) walks(nodes []int, relays []bool) [][]float64 {
	walks := make([][]float64, deepest+1)
	walks[0] = make([]float64, len(nodes))
	for i := 1; i < len(nodes); i++ {
		walks[0][i] = math.Inf(1)
	}
	for k := 1; k <= deepest; k++ {
		walks[k] = make([]float64, len(nodes))
		for v := range nodes {
			walks[k][v] = math.Inf(1)
			for p := range nodes {
				if p != v && relays[p] {
					walks[k][v] = min(walks[k][v], walks[k-1][p]+w.Edge(nodes[p], nodes[v]))
				}
			}
		}
	}
	w.shorten(nodes, relays, walks[deepest])
	return walks
}

// shorten lowers delays to what relaying makes of them.
func (w *World) shorten(nodes []int, relays []bool, delay []float64) {
	done := make([]bool, len(nodes))
	for range nodes {
		u := -1
		for v := range nodes {
			if !done[v] && (u < 0 || delay[v] < delay[u]) {
				u = v
			}
		}
		done[u] = true
		if !relays[u] {
			continue
		}
		for v := range nodes {
			delay[v] = min(delay[v], delay[u]+w.Edge(nodes[u], nodes[v]))
		}
	}
}

// levels is how many nodes fit at each depth: the origin's slots, then the
// largest slots that the level above can have.
func (w *World) levels(nodes []int, share int) []int {
	slots := make([]int, 0, len(nodes))
	for _, v := range nodes[1:] {
		slots = append(slots, w.Slots[v]*share)
	}
	sort.Sort(sort.Reverse(sort.IntSlice(slots)))
	room := make([]int, deepest)
	last := w.Slots[nodes[0]] * share
	for k := 1; k < deepest; k++ {
		room[k] = last
		next := 0
		for _, s := range slots[:min(last, len(slots))] {
			next += s
		}
		last = min(next, len(nodes))
	}
	return room
}

// transport bounds the sum of delays when at most room[k] nodes get depth k,
// by subgradient steps on the Lagrangian dual, which is valid at every point.
func transport(walks [][]float64, room []int) float64 {
	price := make([]float64, deepest+1)
	used := make([]int, deepest+1)
	best := 0.0
	n := len(walks[0])
	for step := range 400 {
		clear(used)
		value := 0.0
		for v := 1; v < n; v++ {
			least, at := math.Inf(1), 0
			for k := 1; k <= deepest; k++ {
				if d := walks[k][v] + price[k]; d < least {
					least, at = d, k
				}
			}
			value += least
			used[at]++
		}
		for k := 1; k < deepest; k++ {
			value -= price[k] * float64(room[k])
		}
		best = max(best, value)
		rate := 20 / (1 + float64(step)/10)
		for k := 1; k < deepest; k++ {
			price[k] = max(0, price[k]+rate*float64(used[k]-room[k])/float64(n))
		}
	}
	return best
}

// levelMax is the least D such that, for every depth k, the nodes that cannot
// be deeper than k within D fit into the levels down to k.
func levelMax(walks [][]float64, room []int) float64 {
	var delays []float64
	for k := 1; k <= deepest; k++ {
		delays = append(delays, walks[k][1:]...)
	}
	slices.Sort(delays)
	i := sort.Search(len(delays), func(i int) bool { return fitsWithin(delays[i], walks, room) })
	if i == len(delays) {
		return 0
	}
	return delays[i]
}

func fitsWithin(limit float64, walks [][]float64, room []int) bool {
	need := make([]int, deepest+1)
	for v := 1; v < len(walks[0]); v++ {
		k := deepest
		for ; k > 0 && walks[k][v] > limit; k-- {
		}
		if k == 0 {
			return false
		}
		need[k]++
	}
	nodes, places := 0, 0
	for k := 1; k < deepest; k++ {
		nodes += need[k]
		places += room[k]
		if nodes > places {
			return false
		}
	}
	return true
}
