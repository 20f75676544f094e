package planet

import (
	"math"
	"time"
)

// counts is what happened in one realm, or in all.
type counts struct {
	joined, left, crashed int
	admitted, refused     int
	improved, planned     int
	orphans, byStandby    int
	byCoordinator, cutOff int
	// bytes between members and coordinators, gossip between members.
	entries, edits, bytes, gossip int
	announced, descriptors        int
	gaps, asked                   histogram
}

// A histogram counts durations.
type histogram [buckets]int

// Buckets are of growing width: bucket i ends at firstBucket * step^i ms.
const (
	buckets     = 64
	firstBucket = 50.0
	step        = 1.1
)

func (h *histogram) note(d time.Duration) {
	ms := float64(d) / float64(time.Millisecond)
	i := 0
	if ms > firstBucket {
		i = int(math.Ceil(math.Log(ms/firstBucket) / math.Log(step)))
	}
	h[min(i, buckets-1)]++
}

// quantile is an upper estimate, in ms.
func (h *histogram) quantile(q float64) float64 {
	total := 0
	for _, n := range h {
		total += n
	}
	if total == 0 {
		return 0
	}
	seen, need := 0, int(math.Ceil(q*float64(total)))
	for i, n := range h {
		if seen += n; seen >= need {
			return firstBucket * math.Pow(step, float64(i))
		}
	}
	return math.Inf(1)
}

func (c *counts) add(o *counts) {
	c.joined += o.joined
	c.left += o.left
	c.crashed += o.crashed
	c.admitted += o.admitted
	c.refused += o.refused
	c.improved += o.improved
	c.planned += o.planned
	c.orphans += o.orphans
	c.byStandby += o.byStandby
	c.byCoordinator += o.byCoordinator
	c.cutOff += o.cutOff
	c.entries += o.entries
	c.edits += o.edits
	c.bytes += o.bytes
	c.gossip += o.gossip
	c.announced += o.announced
	c.descriptors += o.descriptors
	for i := range buckets {
		c.gaps[i] += o.gaps[i]
		c.asked[i] += o.asked[i]
	}
}

// less is what has been added to o since.
func (c counts) less(o counts) counts {
	c.joined -= o.joined
	c.left -= o.left
	c.crashed -= o.crashed
	c.admitted -= o.admitted
	c.refused -= o.refused
	c.improved -= o.improved
	c.planned -= o.planned
	c.orphans -= o.orphans
	c.byStandby -= o.byStandby
	c.byCoordinator -= o.byCoordinator
	c.cutOff -= o.cutOff
	c.entries -= o.entries
	c.edits -= o.edits
	c.bytes -= o.bytes
	c.gossip -= o.gossip
	c.announced -= o.announced
	c.descriptors -= o.descriptors
	for i := range buckets {
		c.gaps[i] -= o.gaps[i]
		c.asked[i] -= o.asked[i]
	}
	return c
}
