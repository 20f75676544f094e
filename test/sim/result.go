package sim

import (
	"math"
	"slices"

	"github.com/skein-mesh/skein/reorg/forest"
)

// A Result is what one algorithm made of one world.
type Result struct {
	AvgOverBound float64 `json:"avg_over_bound"`
	MaxOverBound float64 `json:"max_over_bound"`
	AvgMS        float64 `json:"avg_ms"`
	P95MS        float64 `json:"p95_ms"`
	MaxMS        float64 `json:"max_ms"`
	DepthMax     float64 `json:"depth_max"`
	// Moves counts parent changes of members that had a place.
	Moves float64 `json:"moves"`
	CPUMS float64 `json:"cpu_ms"`
	// delays of all members but the origin, ascending.
	delays []float64
	// parents of all members, for drawings; -1 for the origin.
	parents []int
}

// outcome is a tree as an algorithm leaves it.
type outcome struct {
	// parent of each member; -1 for the origin and for who has no place.
	parent []int
	moves  int
	// delay of each member if there is no tree (unicast, one server).
	delay []float64
}

// without counts the members that have no place.
func (o outcome) without(origin int) int {
	left := 0
	for v, p := range o.parent {
		if v != origin && p < 0 {
			left++
		}
	}
	return left
}

func treeOf(f *forest.Forest, moves int) outcome {
	parent := make([]int, f.Members())
	for i := range parent {
		parent[i] = -1
	}
	for v := range int32(f.Nodes()) {
		if p := f.Parent(v); p != forest.None {
			parent[f.Member(v)] = int(f.Member(p))
		}
	}
	return outcome{parent: parent, moves: moves}
}

// judge measures o on the true RTTs of w.
func (w *World) judge(o outcome, origin int, b Bounds) Result {
	r := Result{Moves: float64(o.moves), parents: o.parent}
	delay, depth := o.delay, make([]int, w.Size())
	if delay == nil {
		delay, depth = w.delays(o.parent)
	} else {
		for i := range depth {
			depth[i] = 1
		}
	}
	for v, d := range delay {
		if v != origin {
			r.delays = append(r.delays, d)
			r.AvgMS += d
			r.DepthMax = max(r.DepthMax, float64(depth[v]))
		}
	}
	slices.Sort(r.delays)
	n := len(r.delays)
	r.AvgMS /= float64(n)
	r.P95MS = r.delays[int(math.Ceil(0.95*float64(n)))-1]
	r.MaxMS = r.delays[n-1]
	r.AvgOverBound, r.MaxOverBound = r.AvgMS/b.Avg, r.MaxMS/b.Max
	return r
}

// delays of all members on the true RTTs, and their depths.
func (w *World) delays(parent []int) ([]float64, []int) {
	delay, depth := make([]float64, len(parent)), make([]int, len(parent))
	done := make([]bool, len(parent))
	var path []int
	for v := range parent {
		path = path[:0]
		for u := v; !done[u]; u = parent[u] {
			if parent[u] < 0 {
				done[u] = true
				break
			}
			path = append(path, u)
		}
		for _, u := range slices.Backward(path) {
			delay[u] = delay[parent[u]] + w.Edge(parent[u], u)
			depth[u] = depth[parent[u]] + 1
			done[u] = true
		}
	}
	return delay, depth
}

// fullMesh is unicast from the origin to everybody.
func (w *World) fullMesh(origin int) outcome {
	delay := make([]float64, w.Size())
	for v := range delay {
		if v != origin {
			delay[v] = w.Edge(origin, v)
		}
	}
	return outcome{delay: delay}
}

// bestServer sends everything through the one member from which the average is
// least, however many it has to feed.
func (w *World) bestServer(origin int) outcome {
	var best outcome
	least := math.Inf(1)
	for server := range w.Size() {
		if server == origin {
			continue
		}
		delay, sum := make([]float64, w.Size()), 0.0
		for v := range delay {
			switch v {
			case origin:
			case server:
				delay[v] = w.Edge(origin, server)
			default:
				delay[v] = w.Edge(origin, server) + w.Edge(server, v)
			}
			sum += delay[v]
		}
		if sum < least {
			least, best = sum, outcome{delay: delay}
		}
	}
	return best
}
