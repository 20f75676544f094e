package page

import (
	"sync/atomic"
	"testing"
	"time"
)

// A late tells by how much the machine itself is late, which is nobody's fault
// who shares it.
type late struct{ worst atomic.Int64 }

// watchMachine wakes up every 10 ms, until the end of the test.
func watchMachine(t *testing.T) *late {
	l := &late{}
	stop, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-done })
	go func() {
		defer close(done)
		const step = 10 * time.Millisecond
		for due := time.Now().Add(step); ; due = time.Now().Add(step) {
			select {
			case <-stop:
				return
			case <-time.After(time.Until(due)):
			}
			if d := int64(time.Since(due)); d > l.worst.Load() {
				l.worst.Store(d)
			}
		}
	}()
	return l
}

// since returns the longest time by which the machine was late since the last
// call.
func (l *late) since() time.Duration { return time.Duration(l.worst.Swap(0)) }
