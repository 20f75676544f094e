package coordinator

import (
	"sync"
	"time"

	"github.com/skein-mesh/skein/region"
)

// An urgency orders requests. Smaller ones are decided first.
type urgency int

// The urgencies, after region.Cause: whoever has lost its parent and whatever
// sets uplink free comes first, improvements last, but for what can wait for others.
const (
	urgent urgency = iota
	forGateways
	forJoins
	forImprovement
	patient
	urgencies
)

// patiently is how long what is patient waits for others to share an entry with.
const patiently = time.Second

func urgencyOf(c region.Cause) urgency {
	switch c {
	case region.Orphaned:
		return urgent
	case region.Gateway:
		return forGateways
	case region.Improving:
		return forImprovement
	}
	return forJoins
}

// A queue holds requests that wait for the decider, first come first served
// within an urgency. When it is full, the newest of the least urgent ones makes
// room for a more urgent one.
type queue struct {
	limit int

	mu      sync.Mutex
	waiting [urgencies][]*request
	length  int
	// news holds a token when something was pushed.
	news chan struct{}
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, news: make(chan struct{}, 1)}
}

// overloaded is what a request is answered that finds no room.
var overloaded = &region.OverloadError{What: "admissions", RetryAfter: 500 * time.Millisecond}

// push adds r, or reports region.ErrOverloaded. evicted, if any, was pushed out
// and is for the caller to answer.
func (q *queue) push(r *request) (evicted *request, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.length >= q.limit {
		if evicted = q.evict(r.urgency); evicted == nil {
			return nil, overloaded
		}
	}
	q.waiting[r.urgency] = append(q.waiting[r.urgency], r)
	q.length++
	select {
	case q.news <- struct{}{}:
	default:
	}
	return evicted, nil
}

// evict takes out the newest of the least urgent requests, if it is less urgent
// than u. It must be called with mu held.
func (q *queue) evict(u urgency) *request {
	for c := urgencies - 1; c > u; c-- {
		if n := len(q.waiting[c]); n > 0 {
			r := q.waiting[c][n-1]
			q.waiting[c] = q.waiting[c][:n-1]
			q.length--
			return r
		}
	}
	return nil
}

// pop takes out the most urgent request; nil if there is none.
func (q *queue) pop() *request {
	q.mu.Lock()
	defer q.mu.Unlock()
	for c, list := range q.waiting {
		if len(list) > 0 {
			r := list[0]
			list[0] = nil
			q.waiting[c] = list[1:]
			q.length--
			return r
		}
	}
	return nil
}

// state tells how many requests wait, and when the first of them should be decided, if
// delay is how long they may wait for others.
func (q *queue) state(delay time.Duration) (length int, due time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for c, list := range q.waiting {
		wait := delay
		if urgency(c) == patient {
			wait = max(delay, patiently)
		}
		if len(list) > 0 && (due.IsZero() || list[0].queued.Add(wait).Before(due)) {
			due = list[0].queued.Add(wait)
		}
	}
	return q.length, due
}

// crowd is how many wait that are not patient.
func (q *queue) crowd() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.length - len(q.waiting[patient])
}
