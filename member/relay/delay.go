package relay

import (
	"math/bits"
	"time"
)

const (
	subBits = 5 // 32 buckets per power of two: 3 % apart
	buckets = 27 << subBits
)

// A histogram counts durations in microseconds, up to a minute.
type histogram struct {
	counts [buckets]uint32
	total  uint64
	// p50 and p99 are those of the first known.
	known    uint64
	p50, p99 time.Duration
}

// quantiles are the middle and the worst hundredth; most streams rest, and are asked often.
func (h *histogram) quantiles() (p50, p99 time.Duration) {
	if h.known != h.total {
		h.known, h.p50, h.p99 = h.total, h.quantile(0.5), h.quantile(0.99)
	}
	return h.p50, h.p99
}

func bucketOf(us uint64) int {
	if us < 1<<subBits {
		return int(us)
	}
	shift := bits.Len64(us) - 1 - subBits
	return min((shift+1)<<subBits+int(us>>shift)-1<<subBits, buckets-1)
}

func valueOf(bucket int) uint64 {
	if bucket < 1<<subBits {
		return uint64(bucket)
	}
	shift := bucket>>subBits - 1
	return (uint64(bucket&(1<<subBits-1)) + 1<<subBits) << shift
}

// add counts a duration; one below zero (clocks that disagree) counts as zero.
func (h *histogram) add(us int64) {
	h.counts[bucketOf(uint64(max(us, 0)))]++
	h.total++
}

// quantile returns the duration that the share q of all counted does not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	rest := uint64(q * float64(h.total))
	for i, n := range h.counts {
		if n > 0 && rest <= uint64(n) {
			return time.Duration(valueOf(i)) * time.Microsecond
		}
		rest -= min(rest, uint64(n))
	}
	return 0
}
