package group

import (
	"slices"
	"sync"
	"time"
)

// latencies keep the last durations of something.
type latencies struct {
	mu   sync.Mutex
	ring [256]time.Duration
	n    int // how many were ever added
	// observe is told each of them; nil = nobody.
	observe func(time.Duration)
}

func (l *latencies) add(d time.Duration) {
	if l.observe != nil {
		l.observe(d)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.n%len(l.ring)] = d
	l.n++
}

func (l *latencies) summary() Latency {
	l.mu.Lock()
	held := slices.Clone(l.ring[:min(l.n, len(l.ring))])
	l.mu.Unlock()
	if len(held) == 0 {
		return Latency{}
	}
	slices.Sort(held)
	last := len(held) - 1
	return Latency{Count: len(held), P50: held[last/2], P99: held[last*99/100], Max: held[last]}
}
