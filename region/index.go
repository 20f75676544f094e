package region

import (
	"cmp"
	"iter"
	"slices"
)

// An index maps names to slots, in order of names. It is never changed in place: who
// adds or removes a name copies one shelf and the list of them. The zero index is empty.
type index[K cmp.Ordered] struct {
	shelves []shelf[K] // none of them is empty
	count   int
}

// A shelf holds at most shelfSize names, in order.
type shelf[K cmp.Ordered] []entry[K]

type entry[K cmp.Ordered] struct {
	key  K
	slot slot
}

const shelfSize = 64

// len is the number of names.
func (x index[K]) len() int { return x.count }

// all yields every entry by name.
func (x index[K]) all() iter.Seq[entry[K]] {
	return func(yield func(entry[K]) bool) {
		for _, s := range x.shelves {
			for _, e := range s {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// slot is where key is kept; none if it is not known.
func (x index[K]) slot(key K) slot {
	if len(x.shelves) > 0 {
		s := x.shelves[x.shelf(key)]
		if i := s.place(key); i < len(s) && s[i].key == key {
			return s[i].slot
		}
	}
	return none
}

// shelf is the one on which key stands, or would.
func (x index[K]) shelf(key K) int {
	lo, hi := 1, len(x.shelves)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if x.shelves[mid][0].key <= key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1
}

// place is where in the shelf key stands, or would.
func (s shelf[K]) place(key K) int {
	lo, hi := 0, len(s)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if s[mid].key < key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// with is x with a name that it does not hold yet.
func (x index[K]) with(key K, at slot) index[K] {
	if len(x.shelves) == 0 {
		return index[K]{[]shelf[K]{{{key, at}}}, 1}
	}
	k := x.shelf(key)
	old := x.shelves[k]
	i := old.place(key)
	fresh := make(shelf[K], 0, len(old)+1)
	fresh = append(append(append(fresh, old[:i]...), entry[K]{key, at}), old[i:]...)
	shelves := slices.Concat(x.shelves[:k], []shelf[K]{fresh}, x.shelves[k+1:])
	if half := len(fresh) / 2; len(fresh) > shelfSize {
		shelves = slices.Insert(shelves, k, fresh[:half:half])
		shelves[k+1] = fresh[half:]
	}
	return index[K]{shelves, x.count + 1}
}

// without is x without a name.
func (x index[K]) without(key K) index[K] {
	if x.slot(key) == none {
		return x
	}
	k := x.shelf(key)
	old := x.shelves[k]
	i := old.place(key)
	var rest []shelf[K]
	if len(old) > 1 {
		rest = []shelf[K]{slices.Concat(old[:i], old[i+1:])}
	}
	return index[K]{slices.Concat(x.shelves[:k], rest, x.shelves[k+1:]), x.count - 1}
}
