package sim

import (
	"math/rand/v2"
	"testing"
)

// Worlds that were never used while the search was tuned keep it honest.
var keptApart = []struct {
	world, slots string
	hop          float64
	online, plan float64
}{
	{Clusters, "4", 0, 1.13, 1.05},
	{Clusters, "mixed", 1, 1.27, 1.23},
	{Clusters, "2", 1, 1.22, 1.115},
	{PowerLaw, "4", 0, 1.07, 1.04},
	{PowerLaw, "2", 1, 1.17, 1.075},
	{Grid, "4", 0, 1.02, 1.01},
	{Line, "2", 0, 1.01, 1.005},
}

// Trees stay as good as they are now, and always better than those of plain
// local search on a compact tree.
func TestQualityIsPinned(t *testing.T) {
	for _, k := range keptApart {
		c := DefaultTreeConfig()
		c.RTT, c.Members, c.Slots, c.Hop, c.Runs, c.Seed = k.world, 160, k.slots, k.hop, 2, 77
		c.Algorithms = []string{online, planned, "ct+ls", "single-sfu"}
		r, err := CompareTrees(c)
		if err != nil {
			t.Fatal(err)
		}
		o, p, ls := r.Algorithms[online].AvgOverBound, r.Algorithms[planned].AvgOverBound, r.Algorithms["ct+ls"].AvgOverBound
		t.Logf("%s, slots %s, hop %g: online %.4f, planned %.4f, ct+ls %.4f, one server %.4f", k.world, k.slots, k.hop, o, p, ls,
			r.Algorithms["single-sfu"].AvgOverBound)
		if o > k.online || p > k.plan {
			t.Errorf("%s, slots %s: online %.4f (pinned %.2f), planned %.4f (pinned %.2f)", k.world, k.slots, o, k.online, p, k.plan)
		}
		if p > ls+1e-3 {
			t.Errorf("%s, slots %s: planned %.4f is behind plain local search, %.4f", k.world, k.slots, p, ls)
		}
	}
}

// Knowing only what was probed costs little once gossip went on for ten minutes.
func TestMeasuredKnowledgeIsEnough(t *testing.T) {
	for _, slots := range []string{"4", "mixed"} {
		c := DefaultTreeConfig()
		c.RTT, c.Members, c.Slots, c.Runs, c.Seed = Clusters, 120, slots, 1, 5
		c.Algorithms = []string{planned}
		all, err := CompareTrees(c)
		if err != nil {
			t.Fatal(err)
		}
		c.Knowledge = "measured"
		measured, err := CompareTrees(c)
		if err != nil {
			t.Fatal(err)
		}
		a, m := all.Algorithms[planned].AvgOverBound, measured.Algorithms[planned].AvgOverBound
		if m > 1.03*a {
			t.Errorf("slots %s: %.4f with all RTTs known, %.4f with those measured", slots, a, m)
		}
	}
}

// No tree that anybody builds, however it was built, beats a bound, and every
// one of them is a tree over all members within their slots.
func TestBoundsHoldForEveryTree(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 9))
		w := &World{RTT: generate([]string{Clusters, PowerLaw, Line}[seed%3], 60, rng), Forward: float64(seed % 2)}
		w.Slots = mustSlots(t, []string{"2", "4", "mixed"}[seed/2], w, rng)
		b := w.Bound(0, 1)
		if b.Avg <= 0 || b.Max < b.Avg || b.Relay < b.Avg {
			t.Fatalf("seed %d: bounds %+v", seed, b)
		}
		for _, a := range comparators {
			o := a.build(w, 0, rng)
			if o.delay == nil {
				if _, ok := w.sumOf(o.parent); !ok {
					t.Errorf("seed %d: %s is no tree within the slots", seed, a.name)
				}
			} else if a.name != "full-mesh" && a.name != "single-sfu" {
				t.Errorf("seed %d: %s built no tree", seed, a.name)
			}
			if r := w.judge(o, 0, b); o.delay == nil && (r.AvgMS < b.Relay-1e-6 || r.MaxOverBound < 1-1e-9) {
				t.Errorf("seed %d: %s beats a bound %+v: %.6f ms, %.6f", seed, a.name, b, r.AvgMS, r.MaxMS)
			}
		}
	}
}

// The level bounds stay below the exact optimum.
func TestBoundsStayBelowTheOptimum(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 4))
		w := &World{RTT: generate(PowerLaw, 9, rng), Forward: 5 * float64(seed%2)}
		w.Slots = mustSlots(t, []string{"2", "3", "mixed"}[seed%3], w, rng)
		sum, ok := w.Exact(0, 1_000_000)
		if !ok {
			continue
		}
		if b := w.Bound(0, 1); b.Relay > sum/8+1e-6 {
			t.Errorf("seed %d: bound %.4f, optimum %.4f", seed, b.Relay, sum/8)
		}
	}
}
