package relay

import (
	"slices"
	"time"
)

// Bounds are the upper ends of a Distribution's buckets, ascending; beyond the
// last one there is one bucket more.
func Bounds() []time.Duration { return slices.Clone(bounds[:]) }

const ms = time.Millisecond

var bounds = [...]time.Duration{
	1 * ms, 2 * ms, 5 * ms, 10 * ms, 20 * ms, 50 * ms, 100 * ms, 150 * ms, 200 * ms, 300 * ms, 500 * ms,
	1000 * ms, 2000 * ms, 5000 * ms,
}

// A Distribution counts durations coarsely, for monitoring. The zero value is
// empty.
type Distribution struct {
	// Counts are the durations up to each of Bounds and above the one before;
	// the last are those above all.
	Counts [len(bounds) + 1]uint64
	Sum    time.Duration
}

func (d *Distribution) add(v time.Duration) {
	i := 0
	for i < len(bounds) && v > bounds[i] {
		i++
	}
	d.Counts[i]++
	d.Sum += v
}

// Merge adds what o has counted.
func (d *Distribution) Merge(o Distribution) {
	for i, n := range o.Counts {
		d.Counts[i] += n
	}
	d.Sum += o.Sum
}
