package web

import (
	"sync"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

// poolWindow is the time over which the pace of gossip is averaged: members
// report what they were told every few seconds.
const poolWindow = 10 * time.Second

// A pool follows what gossip tells the members of a region. Members come and go
// with their counters, so each is followed by itself. The zero value is ready.
type pool struct {
	mu    sync.Mutex
	known map[string]uint64 // by member
	total uint64
	past  []poolMark // oldest first
}

// A poolMark is what all members together had been told by a time.
type poolMark struct {
	at    time.Time
	total uint64
}

// pace takes a snapshot in and returns the events per second of late. What a
// member was told before it was first seen is not counted.
func (p *pool) pace(s *inspect.Snapshot) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := make(map[string]uint64, len(s.Members))
	for _, m := range s.Members {
		if before, ok := p.known[m.ID]; ok && m.GossipEvents > before {
			p.total += m.GossipEvents - before
		}
		known[m.ID] = m.GossipEvents
	}
	p.known = known
	p.past = append(p.past, poolMark{s.Time, p.total})
	for len(p.past) > 2 && s.Time.Sub(p.past[1].at) >= poolWindow {
		p.past = p.past[1:]
	}
	first := p.past[0]
	seconds := s.Time.Sub(first.at).Seconds()
	if seconds <= 0 {
		return 0
	}
	return float64(p.total-first.total) / seconds
}
