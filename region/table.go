package region

import "slices"

// A slot is the number under which a member or a stream is kept inside one
// Region. Slots are reused and differ between replicas; they never show.
type slot int32

const none slot = -1

// An owner marks what a Region may change in place. Clone gives both sides new
// owners, so that from then on either copies what it touches.
type owner struct{ _ byte }

const chunkSize = 32

type chunk[T any] struct {
	owner *owner
	items [chunkSize]*T
}

// A table maps slots to values. Copying the struct and giving the copy another
// owner makes an independent table; writing copies one chunk at most.
type table[T any] struct {
	owner  *owner
	chunks []*chunk[T]
}

func (t *table[T]) at(i slot) *T {
	c := int(i) / chunkSize
	if i < 0 || c >= len(t.chunks) || t.chunks[c] == nil {
		return nil
	}
	return t.chunks[c].items[i%chunkSize]
}

func (t *table[T]) set(o *owner, i slot, v *T) {
	c := int(i) / chunkSize
	if t.owner != o {
		t.chunks = append(make([]*chunk[T], 0, max(len(t.chunks), c+1)), t.chunks...)
		t.owner = o
	}
	for len(t.chunks) <= c {
		t.chunks = append(t.chunks, nil)
	}
	switch k := t.chunks[c]; {
	case k == nil:
		t.chunks[c] = &chunk[T]{owner: o}
	case k.owner != o:
		fresh := *k
		fresh.owner = o
		t.chunks[c] = &fresh
	}
	t.chunks[c].items[i%chunkSize] = v
}

// vacant is the lowest slot that is not in use.
func (t *table[T]) vacant() slot {
	for c, k := range t.chunks {
		if k == nil {
			return slot(c * chunkSize)
		}
		for i, v := range k.items {
			if v == nil {
				return slot(c*chunkSize + i)
			}
		}
	}
	return slot(len(t.chunks) * chunkSize)
}

// with and without treat a slice as a set that is never changed in place.
func with(set []slot, s slot) []slot {
	fresh := make([]slot, len(set)+1)
	copy(fresh, set)
	fresh[len(set)] = s
	return fresh
}

func without(set []slot, s slot) []slot {
	i := slices.Index(set, s)
	if i < 0 {
		return set
	}
	fresh := make([]slot, len(set)-1)
	copy(fresh, set[:i])
	copy(fresh[i:], set[i+1:])
	return fresh
}
