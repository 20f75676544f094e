package web

import (
	"encoding/json"
	"sync"
)

const (
	// remembered is how many events a Feed keeps for those who come late.
	remembered = 1000
	// backlog is how many events wait for a slow reader before it is cut off;
	// it may come back and name the last event it has seen.
	backlog = 256
)

// A Feed passes events on to whoever listens. It may be used by any goroutine;
// publishing never blocks.
type Feed struct {
	mu      sync.Mutex
	last    uint64
	past    []message // the newest at most remembered ones
	state   *message  // the last one of the kind "state"
	readers map[chan message]struct{}
	// came holds a token when somebody began to listen.
	came chan struct{}
}

type message struct {
	id   uint64
	kind string
	data []byte
}

// NewFeed returns an empty feed.
func NewFeed() *Feed {
	return &Feed{readers: make(map[chan message]struct{}), came: make(chan struct{}, 1)}
}

// Publish sends v, which must be fit for JSON, to all listeners. Messages of the
// kind "state" replace one another: of them only the last is remembered.
func (f *Feed) Publish(kind string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		data = []byte(`{"error":"not presentable"}`)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	m := message{f.last, kind, data}
	if kind == "state" {
		f.state = &m
	} else {
		f.past = append(f.past, m)
		f.past = f.past[max(0, len(f.past)-remembered):]
	}
	for r := range f.readers {
		select {
		case r <- m:
		default:
			delete(f.readers, r)
			close(r)
		}
	}
}

// listen returns the remembered messages after an id and a channel for those to
// come. The channel is closed if its reader falls behind.
func (f *Feed) listen(after uint64) ([]message, chan message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var missed []message
	for _, m := range f.past {
		if m.id > after {
			missed = append(missed, m)
		}
	}
	if f.state != nil {
		missed = append(missed, *f.state)
	}
	r := make(chan message, backlog)
	f.readers[r] = struct{}{}
	select {
	case f.came <- struct{}{}:
	default:
	}
	return missed, r
}

// heard reports whether anybody listens.
func (f *Feed) heard() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.readers) > 0
}

func (f *Feed) leave(r chan message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.readers, r)
}
