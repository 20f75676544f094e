package region

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Whoever is left out was not among the cheapest, also where many cost the same.
func TestTheCheapestStay(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 3))
	order := func(a, b ranked) int { return cmp.Or(cmp.Compare(a.price, b.price), cmp.Compare(a.at, b.at)) }
	for round := range 200 {
		all := make([]ranked, chance.IntN(400))
		for i := range all {
			all[i] = ranked{at: i, price: time.Duration(chance.IntN(1+round)-round/2) * time.Millisecond}
		}
		w := &viewer{survey: &survey{r: New("r1", 8)}}
		few := w.cheapest(slices.Clone(all))
		slices.SortFunc(few, order)
		slices.SortFunc(all, order)
		n := min(len(all), MaxCandidates)
		if !slices.Equal(few[:n], all[:n]) {
			t.Fatalf("of %d: have %v, want %v", len(all), few, all[:n])
		}
	}
}
