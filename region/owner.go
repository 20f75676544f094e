package region

import (
	"cmp"
	"hash/fnv"
	"io"
	"slices"
)

// Owner is the one of several regions that keeps what is known of a name, such as
// that of a stream: the one with the highest hash of both (rendezvous hashing,
// Thaler and Ravishankar 1998), so that a region that comes or goes changes the
// owner of its share of names only. Empty if there is no region.
func Owner(name string, regions []ID) ID {
	var owner ID
	most := uint64(0)
	for _, id := range regions {
		if w := weight(name, id); owner == "" || w > most || w == most && id < owner {
			owner, most = id, w
		}
	}
	return owner
}

// Preference lists candidates, which may be regions or coordinators, in the order in
// which they are to keep what is known of a name: the first is its owner.
func Preference[T ~string](name string, candidates []T) []T {
	return slices.SortedFunc(slices.Values(candidates), func(a, b T) int {
		return cmp.Or(cmp.Compare(weight(name, b), weight(name, a)), cmp.Compare(a, b))
	})
}

func weight[T ~string](name string, of T) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, string(of)+"\x00"+name) // never fails
	return scatter(h.Sum64())
}

// scatter lets every bit of x change half of the bits: the hash of names that
// differ in their last letters differs in few. (The finaliser of MurmurHash3.)
func scatter(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
