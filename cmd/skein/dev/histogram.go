package dev

import (
	"math"
	"slices"
	"time"
)

// Delays between histogramMin and about 100 s fall into buckets that are 2 %
// wide each; what is outside falls into the first or the last one.
const (
	histogramMin     = 10 * time.Microsecond
	histogramGrowth  = 1.02
	histogramBuckets = 815
)

// A Histogram counts durations with an error of at most 2 %. The zero value is
// empty.
type Histogram struct {
	Total uint64
	// Buckets is nil as long as the histogram is empty.
	Buckets []uint32
}

// Add counts d.
func (h *Histogram) Add(d time.Duration) {
	if h.Buckets == nil {
		h.Buckets = make([]uint32, histogramBuckets)
	}
	i := 0
	if d > histogramMin {
		i = int(math.Log(float64(d)/float64(histogramMin)) / math.Log(histogramGrowth))
	}
	h.Buckets[min(i, histogramBuckets-1)]++
	h.Total++
}

// Merge adds what o has counted.
func (h *Histogram) Merge(o Histogram) {
	if h.Buckets == nil {
		h.Buckets = make([]uint32, histogramBuckets)
	}
	for i, n := range o.Buckets[:min(len(o.Buckets), histogramBuckets)] {
		h.Buckets[i] += n
	}
	h.Total += o.Total
}

// Quantile returns the duration below which a fraction q of all lies, 0 if there
// are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.Total)))
	var sum uint64
	for i, n := range h.Buckets {
		if sum += uint64(n); n > 0 && sum >= rank {
			return time.Duration(float64(histogramMin) * math.Pow(histogramGrowth, float64(i)+0.5))
		}
	}
	return 0
}

func (h *Histogram) clone() *Histogram {
	return &Histogram{Total: h.Total, Buckets: slices.Clone(h.Buckets)}
}
