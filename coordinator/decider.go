package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// crowdSize is how many waiting requests make a crowd: members are placed then, rather
// than refused, when the places they proposed are gone.
const crowdSize = 32

// A log is a group's log as the decider needs it; see group.Group.
type log interface {
	ProposeDecided(ctx context.Context, e *skeinv1.Entry, next *region.Region) (group.Applied, error)
	State() *group.State
	Answer(member region.MemberID, requestID string, now time.Time) (group.Answer, bool)
}

// A decider is the only writer of a group's log while its replica leads. It
// gathers requests, decides each on its own copy of the structure, commits what
// was decided as one entry, and answers; see batch. One entry is in flight at a time.
type decider struct {
	log    log
	clock  func() time.Time
	rtts   *rtts
	hold   time.Duration
	delay  time.Duration
	size   int
	queue  *queue
	meter  *meter
	logger *slog.Logger

	// desk is memory for decisions; it belongs to run.
	desk region.Workspace
	// busy is the time spent on deciding and committing.
	busy atomic.Int64

	mu      sync.Mutex
	pending map[requestKey]*request
	// held is a request that was taken out of the queue already.
	held *request
	// over is set when no request will be decided any more.
	over error
}

// A requestKey tells requests of members apart.
type requestKey struct {
	member region.MemberID
	id     string
}

// A request is something to be decided.
type request struct {
	// member and id name the request; the leader's own have no id and are
	// neither stored nor found again.
	member  region.MemberID
	id      string
	urgency urgency
	// decide decides on the draft and returns the answer. It is called by
	// decider.run only, and again if the structure has changed meanwhile.
	decide func(*draft) ([]byte, error)
	// alone: what it decides is an entry of its own.
	alone bool

	queued time.Time
	// waiters counts those who wait for the outcome; guarded by decider.mu.
	waiters int
	// outcome may be read when done is closed.
	outcome outcome
	done    chan struct{}
}

// An outcome is what came of a request.
type outcome struct {
	// response is the serialized answer.
	response []byte
	// revision is the one the request led to, or was decided on.
	revision region.Revision
	// repeated is true if the answer was given before.
	repeated bool
	err      error
}

// do has r decided and waits for the outcome. A request that is known by its id
// is not decided again: the answer is the one that was, or will be, given.
// If ctx ends first the request may still be carried out.
func (d *decider) do(ctx context.Context, r *request) (outcome, error) {
	r, known, err := d.enqueue(r)
	if err != nil {
		return outcome{}, err
	}
	if known != nil {
		return *known, nil
	}
	select {
	case <-r.done:
		return r.outcome, r.outcome.err
	case <-ctx.Done():
		d.mu.Lock()
		r.waiters--
		d.mu.Unlock()
		return outcome{}, fmt.Errorf("wait for a decision: %w", context.Cause(ctx))
	}
}

// submit has r decided without waiting for it.
func (d *decider) submit(r *request) error {
	_, _, err := d.enqueue(r)
	return err
}

// enqueue returns the request to wait for, which is an earlier one if it has the
// same id, or the outcome if that is known already.
func (d *decider) enqueue(r *request) (*request, *outcome, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over != nil {
		return nil, nil, d.over
	}
	key := requestKey{r.member, r.id}
	now := d.clock()
	if r.id != "" {
		if p := d.pending[key]; p != nil {
			p.waiters++
			return p, nil, nil
		}
		if a, ok := d.log.Answer(r.member, r.id, now); ok {
			return nil, &outcome{response: a.Response, revision: a.Revision, repeated: true}, nil
		}
	}
	r.queued, r.waiters, r.done = time.Now(), 1, make(chan struct{})
	evicted, err := d.queue.push(r)
	if err != nil {
		d.meter.overloads.Inc()
		return nil, nil, err
	}
	if r.id != "" {
		d.pending[key] = r
	}
	if evicted != nil {
		d.meter.overloads.Inc()
		d.finish(evicted, outcome{err: overloaded})
	}
	return r, nil, nil
}

// finish answers r. It must be called with mu held.
func (d *decider) finish(r *request, o outcome) {
	if r.id != "" {
		delete(d.pending, requestKey{r.member, r.id})
	}
	r.outcome = o
	close(r.done)
}

// run decides until ctx ends, then tells all who wait reason().
func (d *decider) run(ctx context.Context, reason func() error) {
	for d.gather(ctx) {
		d.work(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = reason()
	for r := d.pop(); r != nil; r = d.pop() {
		d.finish(r, outcome{err: d.over})
	}
}

// pop takes out the next request; called with mu held.
func (d *decider) pop() *request {
	if r := d.held; r != nil {
		d.held = nil
		return r
	}
	return d.queue.pop()
}

// keep holds a request for the next batch.
func (d *decider) keep(r *request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held = r
}

// holds says whether a request waits that is not in the queue any more.
func (d *decider) holds() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.held != nil
}

// gather waits until a batch is worth deciding: a request has waited for
// the batch delay, or its patience, or there are enough. It returns false when ctx ends.
func (d *decider) gather(ctx context.Context) bool {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		length, at := d.queue.state(d.delay)
		d.meter.queued.Set(float64(length))
		if d.holds() {
			return ctx.Err() == nil
		}
		var due <-chan time.Time
		if length > 0 {
			wait := time.Until(at)
			if wait <= 0 || length >= d.size {
				return ctx.Err() == nil
			}
			timer.Reset(wait)
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return false
		case <-due:
		case <-d.queue.news:
		}
	}
}

// crowded reports whether so many requests wait that facts change faster than
// members can act on them.
func (d *decider) crowded() bool {
	return d.queue.crowd() >= crowdSize
}

// next takes out the next request that anybody still waits for.
func (d *decider) next() *request {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		r := d.pop()
		if r == nil || r.waiters > 0 {
			return r
		}
		d.finish(r, outcome{err: context.Canceled})
	}
}

// complain reports decisions that would have broken an invariant: a defect, if
// a harmless one.
func (d *decider) complain(outcomes []outcome) {
	for _, o := range outcomes {
		if _, ok := errors.AsType[*region.InvariantError](o.err); ok {
			d.logger.Error("a decision would have broken an invariant", "err", o.err)
			d.meter.broken.Inc()
		}
	}
}
