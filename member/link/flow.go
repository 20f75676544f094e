package link

import (
	"sync/atomic"
	"time"
)

// A Flow says what a link carries one way, by how soon its end must be noticed.
type Flow uint32

// The flows.
const (
	// Still: nothing flows.
	Still Flow = iota
	// Loose: only datagrams, the next of which will do as well.
	Loose
	// Tight: what a gap in would be seen or heard.
	Tight
)

// looseness is how many times longer a loose flow may be silent.
const looseness = 4

// heartbeat is how long a link with that flow may say nothing, if a tight one may for
// tight; 0: it need not.
func (f Flow) heartbeat(tight time.Duration) time.Duration {
	switch f {
	case Loose:
		return looseness * tight
	case Tight:
		return tight
	}
	return 0
}

// A flow is a Flow that many goroutines look at.
type flow struct{ v atomic.Uint32 }

func (f *flow) load() Flow          { return Flow(f.v.Load()) }
func (f *flow) swap(next Flow) Flow { return Flow(f.v.Swap(uint32(next))) }
