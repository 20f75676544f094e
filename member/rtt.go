package member

import (
	"sync"
	"time"

	"github.com/skein-mesh/skein/region"
)

// rttBook holds the round-trip times this member has measured, whoever did it:
// gossip, links, probes. It is bounded by region.MaxMembers.
type rttBook struct {
	mu      sync.Mutex
	known   map[region.MemberID]time.Duration
	fresh   []region.MemberID // measured since the last report, oldest first
	pending map[region.MemberID]bool
}

func newRTTBook() *rttBook {
	return &rttBook{known: make(map[region.MemberID]time.Duration), pending: make(map[region.MemberID]bool)}
}

// observe takes a sample. A shorter one counts at once, a longer one slowly:
// what makes samples longer than the path is mostly queueing.
func (b *rttBook) observe(id region.MemberID, rtt time.Duration) {
	if rtt <= 0 || rtt > time.Minute {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old, ok := b.known[id]
	switch {
	case !ok && len(b.known) >= region.MaxMembers:
		return
	case ok && rtt > old:
		rtt = old + (rtt-old)/8
	}
	b.known[id] = rtt
	if !b.pending[id] {
		b.pending[id] = true
		b.fresh = append(b.fresh, id)
	}
}

// rtt returns what is known of the way to id.
func (b *rttBook) rtt(id region.MemberID) (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d, ok := b.known[id]
	return d, ok
}

// forget drops a member that is gone.
func (b *rttBook) forget(id region.MemberID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.known, id)
}

// An rttSample is a measurement that is due to be reported.
type rttSample struct {
	peer region.MemberID
	rtt  time.Duration
}

// take returns at most limit samples that were not reported yet.
func (b *rttBook) take(limit int) []rttSample {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(limit, len(b.fresh))
	samples := make([]rttSample, 0, n)
	for _, id := range b.fresh[:n] {
		delete(b.pending, id)
		if d, ok := b.known[id]; ok {
			samples = append(samples, rttSample{id, d})
		}
	}
	b.fresh = append(b.fresh[:0], b.fresh[n:]...)
	return samples
}
