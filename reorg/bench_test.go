package reorg_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/skein-mesh/skein/reorg"
)

// The rounds of live regions, on one tree each: its cost by its size is no worse
// than n log n. Where a tree stands near an optimum a round ends early, so one
// world says little about others of its size: an op is a round in each of several.
func BenchmarkPlan(b *testing.B) {
	const worlds = 4
	for _, n := range []int{64, 128, 256, 512, 1024, 2048, 4096} {
		for _, slots := range []struct {
			name string
			of   func(int) int
		}{{"4", four}, {"mixed", mixed}} {
			b.Run(fmt.Sprintf("n=%d/slots=%s", n, slots.name), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 1))
				all := make([]world, worlds)
				for i := range all {
					all[i] = grow(b, n, 1, 1, slots.of, rng)
					settle(b, all[i])
				}
				b.ReportAllocs()
				looked := 0
				for b.Loop() {
					for _, w := range all {
						looked += reorg.Plan(w.Region, w.rtt, reorg.DefaultBudget(), epoch, rng).Evaluations
					}
				}
				rounds := float64(b.N * worlds)
				spent := float64(b.Elapsed().Nanoseconds()) / rounds
				b.ReportMetric(spent/1000, "µs/round")
				b.ReportMetric(spent/(float64(n)*math.Log2(float64(n))), "ns/nlogn")
				b.ReportMetric(float64(looked)/rounds, "looked/round")
			})
		}
	}
}

// settle makes a tree that is as good as trees in service are.
func settle(b *testing.B, w world) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, m := range reorg.Plan(w.Region, w.rtt, reorg.Budget{Moves: 200}, epoch, rng).Moves {
		if err := carryOut(w.Region, w.rtt, m.Steps); err != nil {
			b.Fatal(err)
		}
	}
}

// Many streams of a region share uplinks and one round.
func BenchmarkPlanStreams(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	w := grow(b, 128, 32, 1, mixed, rng)
	b.ReportAllocs()
	for b.Loop() {
		reorg.Plan(w.Region, w.rtt, reorg.DefaultBudget(), epoch, rng)
	}
}

// The best that can be had, in seconds.
func BenchmarkPlanUnlimited(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	w := grow(b, 512, 1, 1, mixed, rng)
	b.ReportAllocs()
	for b.Loop() {
		reorg.Plan(w.Region, w.rtt, reorg.Unlimited(), epoch, rng)
	}
}
