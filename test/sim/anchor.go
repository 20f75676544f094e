package sim

import "github.com/skein-mesh/skein/reorg/forest"

// localSearch is the plain hill climbing that trees are compared with: reparent,
// subtree swap, and exchange of parent and child, the first that helps, until
// none does. It returns how many steps it took.
func localSearch(f *forest.Forest) int {
	steps := 0
	for {
		before := steps
		for v := range int32(f.Nodes()) {
			if f.Parent(v) == forest.None {
				continue
			}
			for reparent(f, v) || exchange(f, v) {
				steps++
			}
			for u := v + 1; u < int32(f.Nodes()); u++ {
				if swap(f, u, v) {
					steps++
				}
			}
		}
		if steps == before {
			return steps
		}
	}
}

// least is what a step must save, in ms, so that rounding cannot go in circles.
const least = 1e-3

// cost is what v with all below it would add under p.
func cost(f *forest.Forest, v, p int32) float64 {
	return float64(f.Size(v)) * (f.Delay(p) + f.Edge(p, v) - f.Delay(v))
}

func reparent(f *forest.Forest, v int32) bool {
	best, gain := forest.None, -least
	for p := range int32(f.Nodes()) {
		if f.Room(p, 1) && p != f.Parent(v) && p != v {
			if d := cost(f, v, p); d < gain && !f.Below(p, v) {
				best, gain = p, d
			}
		}
	}
	if best == forest.None {
		return false
	}
	f.Move(v, best)
	return true
}

func swap(f *forest.Forest, u, v int32) bool {
	p, q := f.Parent(u), f.Parent(v)
	if p == q || p == forest.None || q == forest.None || u == q || v == p {
		return false
	}
	if cost(f, u, q)+cost(f, v, p) >= -least || f.Below(u, v) || f.Below(v, u) {
		return false
	}
	f.Move(u, q)
	f.Move(v, p)
	return true
}

// exchange lifts v above its parent, which becomes a child of v.
func exchange(f *forest.Forest, v int32) bool {
	p := f.Parent(v)
	g := f.Parent(p)
	if g == forest.None || !f.Room(v, 1) {
		return false
	}
	at := f.Delay(g) + f.Edge(g, v)
	d := float64(f.Size(v))*(at-f.Delay(v)) + float64(f.Size(p)-f.Size(v))*(at+f.Edge(v, p)-f.Delay(p))
	if d >= -least {
		return false
	}
	f.Move(v, g)
	f.Move(p, v)
	return true
}
