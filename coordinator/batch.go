package coordinator

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
)

// maxRedrafts is how often a batch is decided anew because the structure has
// changed under it. Only an entry of unknown outcome can do that.
const maxRedrafts = 3

// A batch is requests that are decided together and become one entry. It belongs to
// decider.run.
type batch struct {
	requests []*request
	outcomes []outcome
	draft    *draft
}

func (b *batch) decide(r *request) {
	b.requests, b.outcomes = append(b.requests, r), append(b.outcomes, b.draft.decide(r))
}

// work decides what waits, commits it and answers.
func (d *decider) work(ctx context.Context) {
	defer func(begun time.Time) { d.busy.Add(int64(time.Since(begun))) }(time.Now())
	if b := d.draft(); b != nil {
		d.settle(ctx, b)
	}
}

// settle commits a batch and answers. If the log takes no such entry, say because it
// is too big, each half of the batch is tried by itself, until it is plain which
// request is to be refused.
func (d *decider) settle(ctx context.Context, b *batch) {
	revision, err := d.propose(ctx, b)
	for tries := 1; errors.Is(err, region.ErrRevision) && tries < maxRedrafts; tries++ {
		b = d.redraft(b.requests)
		revision, err = d.propose(ctx, b)
	}
	if n := len(b.requests); n > 1 && unfit(err) {
		d.settle(ctx, d.redraft(b.requests[:n/2]))
		d.settle(ctx, d.redraft(b.requests[n/2:]))
		return
	}
	d.answer(b, revision, err)
}

// propose puts a batch into the log, unless it changes nothing, and returns the
// revision it led to.
func (d *decider) propose(ctx context.Context, b *batch) (region.Revision, error) {
	if b.draft.empty() {
		return b.draft.base, nil
	}
	begun := time.Now()
	applied, err := d.log.ProposeDecided(ctx, b.draft.entry(), b.draft.next())
	d.meter.commit.Observe(time.Since(begun).Seconds())
	return applied.Revision, err
}

// answer tells those who wait what came of a batch.
func (d *decider) answer(b *batch, revision region.Revision, err error) {
	d.meter.batch.Observe(float64(len(b.requests)))
	if unfit(err) {
		d.logger.Error("an entry was refused by the log", "requests", len(b.requests), "err", err)
		d.meter.broken.Inc()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, r := range b.requests {
		o := b.outcomes[i]
		o.revision = revision
		if err != nil {
			o = outcome{err: err}
		}
		d.finish(r, o)
	}
}

// unfit says of an error of the log that it lies in the entry: nothing has happened,
// and it would not be taken later, either.
func unfit(err error) bool {
	passing := func(e error) bool { return errors.Is(err, e) }
	return err != nil && !slices.ContainsFunc([]error{
		region.ErrNotLeader, region.ErrOutcomeUnknown, region.ErrOverloaded, region.ErrRevision,
	}, passing)
}

// draft decides what waits. It returns nil if there is nothing.
func (d *decider) draft() *batch {
	b := &batch{}
	d.rtts.use(time.Now(), func(rtt region.RTT) {
		b.draft = d.newDraft(rtt)
		for len(b.requests) < d.size && !b.draft.full() {
			r := d.next()
			if r == nil {
				return
			}
			if r.alone && len(b.requests) > 0 {
				d.keep(r)
				return
			}
			b.decide(r)
			if r.alone {
				return
			}
		}
	})
	if len(b.requests) == 0 {
		return nil
	}
	d.complain(b.outcomes)
	return b
}

func (d *decider) newDraft(rtt region.RTT) *draft {
	state := d.log.State()
	state.Region.Work = &d.desk
	return newDraft(state, d.clock(), d.hold, rtt)
}

// redraft decides requests again, on what the log holds now.
func (d *decider) redraft(list []*request) *batch {
	b := &batch{}
	d.rtts.use(time.Now(), func(rtt region.RTT) {
		b.draft = d.newDraft(rtt)
		for _, r := range list {
			b.decide(r)
		}
	})
	d.complain(b.outcomes)
	return b
}
