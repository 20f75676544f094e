package coordinator

import (
	"sync"
	"time"

	"github.com/skein-mesh/skein/region"
)

// maxReporters bounds who is remembered for one rumour; two are enough.
const maxReporters = 4

// leases is what a leader knows of who is alive. It lives in the leader's
// memory: a new leader grants all leases anew and in full.
type leases struct {
	ttl time.Duration
	// from is when those not heard yet began to count.
	from time.Time

	mu      sync.Mutex
	heard   map[region.MemberID]time.Time
	rumours map[stay]map[region.MemberID]bool
}

// A stay is a member under one lease.
type stay struct {
	member region.MemberID
	lease  region.Lease
}

// newLeases grants every lease from now + grace on.
func newLeases(ttl, grace time.Duration, now time.Time) *leases {
	return &leases{
		ttl: ttl, from: now.Add(grace),
		heard:   map[region.MemberID]time.Time{},
		rumours: map[stay]map[region.MemberID]bool{},
	}
}

// renew notes a word from a member, which also refutes rumours of its death.
func (l *leases) renew(m region.MemberID, lease region.Lease, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard[m] = now
	delete(l.rumours, stay{m, lease})
}

// last tells when a member was heard, if it was.
func (l *leases) last(m region.MemberID) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.heard[m]
	return at, ok
}

// rumour notes that reporter holds a stay for over.
func (l *leases) rumour(s stay, reporter region.MemberID) {
	if s.member == reporter {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	by := l.rumours[s]
	if by == nil {
		by = map[region.MemberID]bool{}
		l.rumours[s] = by
	}
	if len(by) < maxReporters {
		by[reporter] = true
	}
}

// over reports whether a stay is to be ended: its lease ran out, or two members
// hold it for dead and it has not said a word for half of its lease.
func (l *leases) over(s stay, joined, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	heard, ok := l.heard[s.member]
	if !ok {
		heard = l.from
		if joined.After(heard) {
			heard = joined
		}
	}
	silent := now.Sub(heard)
	return silent > l.ttl || len(l.rumours[s]) >= 2 && silent > l.ttl/2
}

// sweep forgets stays that are over.
func (l *leases) sweep(present func(stay) bool, gone func(region.MemberID) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for m := range l.heard {
		if gone(m) {
			delete(l.heard, m)
		}
	}
	for s := range l.rumours {
		if !present(s) {
			delete(l.rumours, s)
		}
	}
}
