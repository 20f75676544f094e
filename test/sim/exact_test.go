package sim

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg"
)

// planSmall lets members join one by one and plans without limits.
func planSmall(t *testing.T, w *World, rng *rand.Rand) float64 {
	t.Helper()
	l := w.live(region.DelayOnly(), Omniscience{w})
	if err := l.joinAll([]region.StreamID{theStream}, rng); err != nil {
		t.Fatal(err)
	}
	if _, refused, err := l.plan(reorg.Unlimited(), rng); err != nil || refused > 0 {
		t.Fatalf("%d moves refused, %v", refused, err)
	}
	sum := 0.0
	delays, _ := w.delays(l.tree(theStream).parent)
	for _, d := range delays {
		sum += d
	}
	return sum
}

// Planned trees of up to 12 members are within 1 % of the optimum on average
// and within 6 % at worst, over 200 instances.
func TestPlansOfSmallTreesAreNearlyExact(t *testing.T) {
	mean, worst, solved := 0.0, 0.0, 0
	for k := range 200 {
		rng := rand.New(rand.NewPCG(11, uint64(k)))
		world := []string{Clusters, PowerLaw, Grid, Line}[k%4]
		w := &World{RTT: submatrix(generate(world, 80, rng), rng.Perm(80)[:6+k%7])}
		w.Slots = mustSlots(t, []string{"2", "3", "mixed"}[k%3], w, rng)
		optimum, ok := w.Exact(0, 2_000_000)
		if !ok {
			continue
		}
		solved++
		ratio := planSmall(t, w, rng) / optimum
		if ratio < 1-1e-4 {
			t.Fatalf("instance %d: the plan is better (%.6f) than the exact optimum", k, ratio)
		}
		mean += ratio
		worst = max(worst, ratio)
	}
	mean /= float64(solved)
	t.Logf("%d of 200 solved: mean %.5f, worst %.5f", solved, mean, worst)
	if solved < 190 || mean > 1.01 || worst > 1.06 {
		t.Errorf("%d of 200 solved: mean %.5f (want 1.01), worst %.5f (want 1.06)", solved, mean, worst)
	}
}

// mustSlots draws slots until a tree over all members is possible.
func mustSlots(t *testing.T, mix string, w *World, rng *rand.Rand) []int {
	t.Helper()
	for {
		slots, err := Slots(mix, w.Size(), 1, rng)
		if err != nil {
			t.Fatal(err)
		}
		if w.Slots = slots; w.check() == nil {
			return slots
		}
	}
}

// Exact agrees with trying every tree.
func TestExactFindsTheOptimum(t *testing.T) {
	for k := range 40 {
		rng := rand.New(rand.NewPCG(3, uint64(k)))
		w := &World{RTT: generate(Clusters, 3+k%4, rng), Forward: float64(k % 3)}
		w.Slots = mustSlots(t, "2", w, rng)
		got, ok := w.Exact(0, 1_000_000)
		if want := w.tryAll(); !ok || got < want-1e-6 || got > want+1e-6 {
			t.Errorf("instance %d: %.6f, all trees tried: %.6f", k, got, want)
		}
	}
}

// tryAll tries every assignment of parents.
func (w *World) tryAll() float64 {
	n := w.Size()
	best, parent := 1e18, make([]int, n)
	parent[0] = -1
	for code := range pow(n, n-1) {
		for v, c := 1, code; v < n; v, c = v+1, c/n {
			parent[v] = c % n
		}
		if sum, ok := w.sumOf(parent); ok {
			best = min(best, sum)
		}
	}
	return best
}

func (w *World) sumOf(parent []int) (sum float64, ok bool) {
	room := slices.Clone(w.Slots)
	for v, p := range parent {
		if v == 0 {
			continue
		}
		if room[p]--; room[p] < 0 {
			return 0, false
		}
		for u, steps := v, 0; u != 0; u, steps = parent[u], steps+1 {
			if steps > len(parent) {
				return 0, false
			}
			sum += w.Edge(parent[u], u)
		}
	}
	return sum, true
}

func pow(n, k int) int {
	p := 1
	for range k {
		p *= n
	}
	return p
}
