package member

import (
	"sync"
	"time"

	"github.com/skein-mesh/skein/region"
)

// rttWindow is for how long, at least, the shortest sample of a way counts. What
// makes samples longer than the way is mostly queueing, which passes; a way that
// has become longer shows after two windows.
const rttWindow = 5 * time.Second

// rttBook holds the round-trip times this member has measured, whoever did it:
// gossip, links, probes. It is bounded by region.MaxMembers.
type rttBook struct {
	mu      sync.Mutex
	known   map[region.MemberID]way
	fresh   []region.MemberID // measured since the last report, oldest first
	pending map[region.MemberID]bool
}

// A way is what was measured of the way to a peer: the shortest samples of the
// present window and of the one before it, 0 if there was none.
type way struct {
	best, earlier time.Duration
	since         time.Time
	loss          float64 // of pings over a link, 0 to 1
}

func newRTTBook() *rttBook {
	return &rttBook{known: make(map[region.MemberID]way), pending: make(map[region.MemberID]bool)}
}

// observe takes a sample.
func (b *rttBook) observe(id region.MemberID, rtt time.Duration) {
	if rtt <= 0 || rtt > time.Minute {
		return
	}
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	w, ok := b.known[id]
	switch age := now.Sub(w.since); {
	case !ok && len(b.known) >= region.MaxMembers:
		return
	case !ok || age > 2*rttWindow:
		w = way{best: rtt, since: now, loss: w.loss}
	case age > rttWindow:
		w = way{best: rtt, earlier: w.best, since: now, loss: w.loss}
	default:
		w.best = min(w.best, rtt)
	}
	b.known[id] = w
	b.due(id)
}

// observeLink takes what a link has measured.
func (b *rttBook) observeLink(id region.MemberID, rtt time.Duration, loss float64) {
	b.observe(id, rtt)
	b.mu.Lock()
	defer b.mu.Unlock()
	if w, ok := b.known[id]; ok {
		w.loss = loss
		b.known[id] = w
	}
}

// due is called with mu held.
func (b *rttBook) due(id region.MemberID) {
	if !b.pending[id] {
		b.pending[id] = true
		b.fresh = append(b.fresh, id)
	}
}

// repeat makes all that is known due again: a new leader knows nothing.
func (b *rttBook) repeat() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.known {
		b.due(id)
	}
}

func (w way) rtt() time.Duration {
	if w.earlier > 0 {
		return min(w.best, w.earlier)
	}
	return w.best
}

// rtt returns what is known of the way to id.
func (b *rttBook) rtt(id region.MemberID) (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w, ok := b.known[id]
	return w.rtt(), ok
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
	loss float64
}

// take returns at most limit samples that were not reported yet.
func (b *rttBook) take(limit int) []rttSample {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(limit, len(b.fresh))
	samples := make([]rttSample, 0, n)
	for _, id := range b.fresh[:n] {
		delete(b.pending, id)
		if w, ok := b.known[id]; ok {
			samples = append(samples, rttSample{id, w.rtt(), w.loss})
		}
	}
	b.fresh = append(b.fresh[:0], b.fresh[n:]...)
	return samples
}
