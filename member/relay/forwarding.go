package relay

import (
	"sync/atomic"
	"time"
)

// A forwarding time is how long packets stay here until they have been sent to the
// children: the median, more or less, for now and then a process has to wait for
// its processor. The writer owns it, others may read.
type forwarding struct{ median atomic.Int64 }

// medianStep is the share by which a sample moves the median, and leastStep the
// least.
const (
	medianStep = 64
	leastStep  = 10 * time.Microsecond
)

// add takes a sample: the median rises and falls by the same steps, so that as
// many samples are above it as below.
func (f *forwarding) add(d time.Duration) {
	now := time.Duration(f.median.Load())
	step := max(now/medianStep, leastStep)
	if d < now {
		step = -step
	}
	f.median.Store(int64(max(now+step, 0)))
}

func (f *forwarding) time() time.Duration { return time.Duration(f.median.Load()) }
