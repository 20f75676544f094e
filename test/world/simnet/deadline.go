package simnet

import (
	"net"
	"time"
)

// A deadline is a point in time that may be moved while somebody waits for it.
// Timers exist only while somebody waits: Raft sets a deadline for every call.
type deadline struct {
	// Owned by the network's mutex.
	at      time.Time
	changed chan struct{} // closed when at is moved while somebody waits
}

// set moves the deadline; called with the network's mutex held.
func (d *deadline) set(t time.Time) {
	d.at = t
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// state returns what wait needs; called with the network's mutex held.
func (d *deadline) state() (time.Time, <-chan struct{}) {
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.at, d.changed
}

// wait blocks until something may have changed (nil), the time at has come
// (a timeout) or the socket has gone.
func (d *deadline) wait(at time.Time, changed, ready, gone <-chan struct{}) error {
	var expired <-chan time.Time
	if !at.IsZero() {
		left := time.Until(at)
		if left <= 0 {
			return errTimeout
		}
		timer := time.NewTimer(left)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-ready:
		return nil
	case <-changed:
		return nil
	case <-expired:
		return errTimeout
	case <-gone:
		return net.ErrClosed
	}
}
