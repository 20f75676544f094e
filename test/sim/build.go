package sim

import (
	"math"
	"math/rand/v2"

	"github.com/skein-mesh/skein/reorg/forest"
)

// A grower builds one tree, member by member. Node 0 is the origin.
type grower struct {
	w      *World
	forest *forest.Forest
	// node of each member; -1 = not yet in the tree.
	node []int32
	// places is how many more children the tree can feed, relays how many members
	// with slots are not in it yet.
	places, relays int
}

func (w *World) grow(origin int) *grower {
	n := w.Size()
	hops := make(forest.Matrix, n)
	uplink := make([]int64, n)
	extra := make([]float64, n)
	g := &grower{w: w, node: make([]int32, n)}
	for i := range n {
		hops[i] = make([]float32, n)
		for j := range n {
			hops[i][j] = float32(w.RTT[i][j] / 2)
		}
		uplink[i], extra[i], g.node[i] = int64(w.Slots[i]), w.Forward, -1
	}
	g.forest = forest.New(hops, uplink, extra)
	g.node[origin] = g.forest.AddRoot(int32(origin))
	g.places = w.Slots[origin]
	for v, slots := range w.Slots {
		if slots > 0 && v != origin {
			g.relays++
		}
	}
	return g
}

func (g *grower) add(member, parent int) {
	g.node[member] = g.forest.Add(int32(member), g.node[parent], 1, 1)
	g.places += g.w.Slots[member] - 1
	if g.w.Slots[member] > 0 {
		g.relays--
	}
}

// may tells whether member may take a free place: one that feeds nobody must not
// take the last as long as others could still feed more.
func (g *grower) may(member int) bool {
	return g.places > 1 || g.w.Slots[member] > 0 || g.relays == 0
}

// A choice scores parent p for member v; the least wins.
type choice func(g *grower, p, v int) float64

// join adds the members in random order, each under the parent of least score
// among those with room.
func (w *World) join(origin int, rng *rand.Rand, score choice) *forest.Forest {
	g := w.grow(origin)
	place := func(v int) bool {
		if !g.may(v) {
			return false
		}
		best, least := -1, math.Inf(1)
		for p, node := range g.node {
			if node >= 0 && g.forest.Room(node, 1) {
				if s := score(g, p, v); s < least {
					best, least = p, s
				}
			}
		}
		if best < 0 {
			return false
		}
		g.add(v, best)
		return true
	}
	w.inTurn(origin, rng, place)
	return g.forest
}

// inTurn places the members in random order; those for whom there is no place
// wait for the end.
func (w *World) inTurn(origin int, rng *rand.Rand, place func(v int) bool) {
	var waiting []int
	for _, v := range rng.Perm(w.Size()) {
		if v != origin && !place(v) {
			waiting = append(waiting, v)
		}
	}
	for _, v := range waiting {
		place(v)
	}
}

func randomTree(w *World, origin int, rng *rand.Rand) *forest.Forest {
	return w.join(origin, rng, func(*grower, int, int) float64 { return rng.Float64() })
}

func nearestTree(w *World, origin int, rng *rand.Rand) *forest.Forest {
	return w.join(origin, rng, func(g *grower, p, v int) float64 { return w.RTT[p][v] })
}

func shallowTree(w *World, origin int, rng *rand.Rand) *forest.Forest {
	return w.join(origin, rng, func(g *grower, p, v int) float64 {
		depth := 0.0
		for u := g.forest.Parent(g.node[p]); u != forest.None; u = g.forest.Parent(u) {
			depth++
		}
		return depth + w.RTT[p][v]/1e6
	})
}

func greedyTree(w *World, origin int, rng *rand.Rand) *forest.Forest {
	return w.join(origin, rng, func(g *grower, p, v int) float64 {
		return g.forest.Delay(g.node[p]) + w.Edge(p, v)
	})
}

// displacingTree is greedyTree in which a newcomer may also hang itself between
// a parent and one of its children.
func displacingTree(w *World, origin int, rng *rand.Rand) *forest.Forest {
	g := w.grow(origin)
	f := g.forest
	var children []int32
	place := func(v int) bool {
		best, between, least := -1, forest.None, math.Inf(1)
		for p, node := range g.node {
			if node < 0 {
				continue
			}
			at := f.Delay(node) + w.Edge(p, v)
			if f.Room(node, 1) && at < least && g.may(v) {
				best, between, least = p, forest.None, at
			}
			if w.Slots[v] == 0 {
				continue
			}
			children = f.Children(node, children[:0])
			for _, c := range children {
				loss := float64(f.Size(c)) * (at + w.Edge(v, int(f.Member(c))) - f.Delay(c))
				if at+loss < least {
					best, between, least = p, c, at+loss
				}
			}
		}
		if best < 0 {
			return false
		}
		g.add(v, best)
		if between != forest.None {
			f.Move(between, g.node[v])
		}
		return true
	}
	w.inTurn(origin, rng, place)
	return f
}

// compactTree is Shi and Turner's: always attach the member that can have the
// least delay. With favour > 0 the key is delay / (1 + favour * log2(1 + slots)),
// which lets members with many slots in early.
func compactTree(w *World, origin int, favour float64) *forest.Forest {
	n := w.Size()
	g := w.grow(origin)
	best := make([]int, n)
	delay := make([]float64, n)
	seek := func(v int) {
		best[v], delay[v] = -1, math.Inf(1)
		for p, node := range g.node {
			if node >= 0 && g.forest.Room(node, 1) {
				if d := g.forest.Delay(node) + w.Edge(p, v); d < delay[v] {
					best[v], delay[v] = p, d
				}
			}
		}
	}
	for v := range n {
		seek(v)
	}
	for range n - 1 {
		next, least := -1, math.Inf(1)
		for v := range n {
			if g.node[v] < 0 && best[v] >= 0 && g.may(v) {
				if key := delay[v] / (1 + favour*math.Log2(1+float64(w.Slots[v]))); key < least {
					next, least = v, key
				}
			}
		}
		if next < 0 {
			break
		}
		parent := best[next]
		g.add(next, parent)
		full := !g.forest.Room(g.node[parent], 1)
		for v := range n {
			switch {
			case g.node[v] >= 0:
			case full && best[v] == parent || best[v] < 0:
				seek(v)
			default:
				if d := g.forest.Delay(g.node[next]) + w.Edge(next, v); g.forest.Room(g.node[next], 1) && d < delay[v] {
					best[v], delay[v] = next, d
				}
			}
		}
	}
	return g.forest
}
