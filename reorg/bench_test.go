package reorg_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/skein-mesh/skein/reorg"
)

// The round of a live region, on one tree.
func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{64, 128, 256, 512, 1024, 2048, 4096} {
		for _, slots := range []struct {
			name string
			of   func(int) int
		}{{"4", four}, {"mixed", mixed}} {
			b.Run(fmt.Sprintf("n=%d/slots=%s", n, slots.name), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 1))
				w := grow(b, n, 1, 1, slots.of, rng)
				settle(b, w)
				b.ReportAllocs()
				looked := 0
				for b.Loop() {
					looked += reorg.Plan(w.Region, w.rtt, reorg.DefaultBudget(), epoch, rng).Evaluations
				}
				b.ReportMetric(float64(looked)/float64(b.N), "looked/op")
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
