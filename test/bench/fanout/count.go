package fanout

import (
	"sync/atomic"
	"time"
)

const (
	bucket  = 10 * time.Microsecond
	buckets = 200_000 // up to 2 s
)

// counts is what the children received. It is for many goroutines.
type counts struct {
	start   time.Time
	packets atomic.Int64
	delays  [buckets]atomic.Uint32
}

// stamp is now as an RTP timestamp: microseconds since the start.
func (c *counts) stamp() uint32 { return uint32(time.Since(c.start).Microseconds()) }

// note counts n packets that carry the same timestamp.
func (c *counts) note(timestamp uint32, n int) {
	us := int32(c.stamp() - timestamp)
	c.delays[min(time.Duration(max(us, 0))*time.Microsecond/bucket, buckets-1)].Add(uint32(n))
	c.packets.Add(int64(n))
}

// reset forgets what was counted; what arrives meanwhile may be counted or not.
func (c *counts) reset() {
	c.packets.Store(0)
	for i := range c.delays {
		c.delays[i].Store(0)
	}
}

// quantile is the delay that the share q of the packets did not exceed, in ms.
func (c *counts) quantile(q float64) float64 {
	total := uint64(0)
	for i := range c.delays {
		total += uint64(c.delays[i].Load())
	}
	rest := uint64(q * float64(total))
	for i := range c.delays {
		n := uint64(c.delays[i].Load())
		if rest <= n && n > 0 {
			return float64(time.Duration(i+1)*bucket) / float64(time.Millisecond)
		}
		rest -= n
	}
	return 0
}
