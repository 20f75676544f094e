package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// maxRedrafts is how often a batch is decided anew because the structure has
// changed under it. Only an entry of unknown outcome can do that.
const maxRedrafts = 3

// A log is a group's log as the decider needs it; see group.Group.
type log interface {
	Propose(ctx context.Context, e *skeinv1.Entry) (group.Applied, error)
	State() *group.State
	Answer(member region.MemberID, requestID string, now time.Time) (group.Answer, bool)
}

// A decider is the only writer of a group's log while its replica leads. It
// gathers requests, decides each on its own copy of the structure, commits what
// was decided as one entry, and answers. One entry is in flight at a time.
type decider struct {
	log    log
	rtts   *rtts
	hold   time.Duration
	delay  time.Duration
	size   int
	queue  *queue
	meter  *meter
	logger *slog.Logger

	mu      sync.Mutex
	pending map[requestKey]*request
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
	now := time.Now()
	if r.id != "" {
		if p := d.pending[key]; p != nil {
			p.waiters++
			return p, nil, nil
		}
		if a, ok := d.log.Answer(r.member, r.id, now); ok {
			return nil, &outcome{response: a.Response, revision: a.Revision, repeated: true}, nil
		}
	}
	r.queued, r.waiters, r.done = now, 1, make(chan struct{})
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
		d.batch(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = reason()
	for r := d.queue.pop(); r != nil; r = d.queue.pop() {
		d.finish(r, outcome{err: d.over})
	}
}

// gather waits until a batch is worth deciding: the oldest request has waited
// for the batch delay, or there are enough. It returns false when ctx ends.
func (d *decider) gather(ctx context.Context) bool {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		length, oldest := d.queue.state()
		d.meter.queued.Set(float64(length))
		var due <-chan time.Time
		if length > 0 {
			wait := d.delay - time.Since(oldest)
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

// batch decides what waits, commits it and answers.
func (d *decider) batch(ctx context.Context) {
	var batch []*request
	var outcomes []outcome
	var err error
	for range maxRedrafts {
		var w *draft
		w, batch, outcomes = d.draft(batch)
		revision := w.base
		if err = nil; !w.empty() {
			begun := time.Now()
			var applied group.Applied
			applied, err = d.log.Propose(ctx, w.entry())
			d.meter.commit.Observe(time.Since(begun).Seconds())
			revision = applied.Revision
		}
		for i := range outcomes {
			outcomes[i].revision = revision
		}
		if !errors.Is(err, region.ErrRevision) {
			break
		}
	}
	d.meter.batch.Observe(float64(len(batch)))
	if err != nil && !errors.Is(err, region.ErrNotLeader) && !errors.Is(err, region.ErrOutcomeUnknown) {
		d.logger.Error("an entry was refused by the log", "requests", len(batch), "err", err)
		d.meter.broken.Inc()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, r := range batch {
		if err != nil {
			outcomes[i] = outcome{err: err}
		}
		d.finish(r, outcomes[i])
	}
}

// draft decides the requests of an earlier try, or else those that wait.
func (d *decider) draft(again []*request) (w *draft, batch []*request, outcomes []outcome) {
	now := time.Now()
	d.rtts.use(now, func(rtt region.RTT) {
		w = newDraft(d.log.State(), now, d.hold, rtt)
		for _, r := range again {
			batch, outcomes = append(batch, r), append(outcomes, w.decide(r))
		}
		for len(again) == 0 && len(batch) < d.size && !w.full() {
			r := d.next()
			if r == nil {
				return
			}
			batch, outcomes = append(batch, r), append(outcomes, w.decide(r))
		}
	})
	d.complain(outcomes)
	return w, batch, outcomes
}

// next takes out the next request that anybody still waits for.
func (d *decider) next() *request {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		r := d.queue.pop()
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
