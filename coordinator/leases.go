package coordinator

import (
	"sync"
	"time"

	"github.com/skein-mesh/skein/region"
)

const (
	// maxReporters bounds who is remembered for one rumour; two are enough.
	maxReporters = 4
	// outageMembers is how many members must have fallen silent together, more
	// than half of all, to be taken for an outage of the network between them
	// and the coordinators. Fewer may well have died.
	outageMembers = 5
)

// leases is what a leader knows of who is alive. It lives in the leader's
// memory: a new leader grants all leases anew and in full.
type leases struct {
	ttl time.Duration
	// from is when those not heard yet began to count.
	from time.Time

	mu sync.Mutex
	// outageSince is when an outage began; zero if there is none.
	outageSince time.Time

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

// anew grants every lease from then on, in full.
func (l *leases) anew(from time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.from = from
	clear(l.heard)
	clear(l.rumours)
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

// rumoured counts those who hold a stay for over, since it last said a word.
func (l *leases) rumoured(s stay) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.rumours[s])
}

// over reports whether a stay is to be ended: its lease ran out, or two members
// hold it for dead and it has not said a word for half of its lease.
// During an outage time alone ends no stay.
func (l *leases) over(s stay, joined, now time.Time, outage bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	silent := l.silence(s.member, joined, now)
	return silent > l.ttl && !outage || len(l.rumours[s]) >= 2 && silent > l.ttl/2
}

// silence is how long a member has not been heard. It must be called with mu held.
func (l *leases) silence(m region.MemberID, joined, now time.Time) time.Duration {
	heard, ok := l.heard[m]
	if !ok {
		heard = l.from
		// Who joined by a clock that was ahead of this one is not heard in advance.
		if joined.After(heard) && !joined.After(now) {
			heard = joined
		}
	}
	return now.Sub(heard)
}

// outage reports whether so many members are silent that the network must be at
// fault: they go on by themselves, and are to find their places when they can be
// heard again. It looks at half of the lease, since the first lease to run out
// must find the others silent already. When it is over, those still silent get
// their leases anew and in full, since they come back one by one. After hold it
// is believed no more.
func (l *leases) outage(r *region.Region, now time.Time, hold time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	var silent []region.MemberID
	for m := range r.Members() {
		if l.silence(m.ID, m.Joined, now) > l.ttl/2 {
			silent = append(silent, m.ID)
		}
	}
	if len(silent) < outageMembers || 2*len(silent) <= r.MemberCount() {
		if !l.outageSince.IsZero() {
			l.outageSince = time.Time{}
			for _, m := range silent {
				l.heard[m] = now
			}
		}
		return false
	}
	if l.outageSince.IsZero() {
		l.outageSince = now
	}
	return now.Sub(l.outageSince) < hold
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
