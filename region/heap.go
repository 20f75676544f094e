package region

// A heap gives numbers in ascending order. Where only the first few of many are looked
// at it costs less than to sort them all.
type heap []uint64

// newHeap makes a heap of a list, in its memory.
func newHeap(list []uint64) heap {
	h := heap(list)
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.sink(i)
	}
	return h
}

// pop takes out the least.
func (h *heap) pop() uint64 {
	least, last := (*h)[0], len(*h)-1
	(*h)[0] = (*h)[last]
	*h = (*h)[:last]
	h.sink(0)
	return least
}

func (h heap) sink(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if h[i] <= h[child] {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}
