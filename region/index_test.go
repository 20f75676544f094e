package region

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// An index finds what a map finds, in order, and earlier ones stay as they were.
func TestIndex(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 1))
	var x index[int]
	want := map[int]slot{}
	check := func(x index[int], want map[int]slot) {
		t.Helper()
		var keys []int
		for e := range x.all() {
			keys = append(keys, e.key)
			if at, ok := want[e.key]; !ok || at != e.slot || x.slot(e.key) != at {
				t.Fatalf("%d: at %d, found at %d, want %d", e.key, e.slot, x.slot(e.key), at)
			}
		}
		if !slices.Equal(keys, slices.Sorted(maps.Keys(want))) || x.len() != len(want) {
			t.Fatalf("%d keys, says %d, want %d", len(keys), x.len(), len(want))
		}
	}
	for i := range 5000 {
		before, had := x, maps.Clone(want)
		key := chance.IntN(1000)
		if _, ok := want[key]; ok || i > 4000 {
			x = x.without(key)
			delete(want, key)
		} else {
			x = x.with(key, slot(i))
			want[key] = slot(i)
		}
		if at, ok := want[key]; !ok && x.slot(key) != none || ok && x.slot(key) != at {
			t.Fatalf("%d is at %d", key, x.slot(key))
		}
		if i%50 == 0 {
			check(x, want)
			check(before, had)
		}
	}
}

func TestHeap(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	for n := range 100 {
		list := make([]uint64, n)
		for i := range list {
			list[i] = chance.Uint64N(50)
		}
		want := slices.Sorted(slices.Values(list))
		var got []uint64
		for h := newHeap(list); len(h) > 0; {
			got = append(got, h.pop())
		}
		if !slices.Equal(got, want) {
			t.Fatalf("have %v, want %v", got, want)
		}
	}
}
