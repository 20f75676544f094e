package relay

import (
	"sync/atomic"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// A feed is a link from which a stream is drawn.
type feed struct {
	link *link.Link
	// first is the index of the first packet that came of each layer; 0: none did.
	first [region.MaxLayers]atomic.Uint64
	// given are the layers that it says it sends.
	given atomic.Uint32

	// Of the socket's goroutine: bytes that may still come, and since when.
	allowance int64
	allowed   int64
}

// A parent may send so many times the stream's rate, and at once what a ring holds, or
// leastBurst bytes; a stream of a low rate counts as one of leastBudget, kbit/s.
const (
	generosity  = 4
	leastBudget = 500
	leastBurst  = 4 << 20
)

// allow says whether a packet of some bytes is within what f may send of a stream of
// the given rate.
func (f *feed) allow(bytes int, rate, now int64) bool {
	perSecond := max(rate, leastBudget) * generosity * 1000 / 8
	most := max(perSecond*2, leastBurst)
	if f.allowed == 0 {
		f.allowance = most
	} else {
		f.allowance = min(most, f.allowance+int64(float64(now-f.allowed)/1e9*float64(perSecond)))
	}
	f.allowed = now
	if f.allowance < int64(bytes) {
		return false
	}
	f.allowance -= int64(bytes)
	return true
}

// began notes a packet; it reports whether it was the first of its layer.
func (f *feed) began(layer int, index uint64) bool {
	return f.first[layer].Load() == 0 && f.first[layer].CompareAndSwap(0, index)
}

// came notes a packet; it reports whether the keeper must know: a parent that was asked
// for the stream has begun, or sends a layer though word of that was lost.
func (f *feed) came(layer int, index uint64) bool {
	news := f.began(layer, index)
	if bit := uint32(1) << layer; f.given.Load()&bit == 0 {
		f.given.Or(bit)
		news = true
	}
	return news
}

// flowing says whether any packet came.
func (f *feed) flowing() bool {
	for i := range f.first {
		if f.first[i].Load() != 0 {
			return true
		}
	}
	return false
}
