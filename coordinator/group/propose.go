package group

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// enqueueTimeout is how long an entry may wait to enter Raft's queue.
const enqueueTimeout = time.Second

// Propose puts e into the log and blocks until this replica has applied it.
//
// In these errors nothing has happened: ErrNotLeader (a NotLeaderError with the
// leader's ID), ErrInvalid, ErrLimit, ErrRevision (decided on another revision
// than the present one), ErrOverloaded, and what region.Apply reports. With
// ErrOutcomeUnknown the entry may yet be applied; so it is if ctx ends.
func (g *Group) Propose(ctx context.Context, e *skeinv1.Entry) (Applied, error) {
	return g.ProposeDecided(ctx, e, nil)
}

// ProposeDecided is Propose of an entry whose edits, all of them of trees, were carried
// out one by one already: next is what they led to, from the present structure. They
// need not be carried out here again. nil: they were not.
func (g *Group) ProposeDecided(ctx context.Context, e *skeinv1.Entry, next *region.Region) (Applied, error) {
	r, l := g.current()
	if r == nil || !l.Leading {
		return Applied{}, g.notLeader()
	}
	data, err := proto.Marshal(e)
	if err != nil {
		return Applied{}, fmt.Errorf("entry: %w: %w", region.ErrInvalid, err)
	}
	x, err := g.examine(e, data, next)
	if err != nil {
		return Applied{}, fmt.Errorf("group %s: %w", g.cfg.Region, err)
	}
	r.fsm.examined.Store(x)
	start := time.Now()
	applied, err := r.propose(ctx, data)
	switch {
	case err == nil:
		g.commits.add(time.Since(start))
		return applied, nil
	case errors.Is(err, region.ErrNotLeader):
		return Applied{}, g.notLeader()
	}
	return Applied{}, fmt.Errorf("group %s: %w", g.cfg.Region, err)
}

// examine carries the entry out on a copy of the newest state: what a state
// machine cannot apply must not get into the log, for it would stop every
// replica.
func (g *Group) examine(m *skeinv1.Entry, data []byte, next *region.Region) (*examined, error) {
	if len(data) > MaxEntry {
		return nil, fmt.Errorf("entry of %d bytes, at most %d: %w", len(data), MaxEntry, region.ErrLimit)
	}
	e, err := toEntry(m)
	if err != nil {
		return nil, err
	}
	e.next = next
	s := g.feed.state()
	if len(s.tokens)+len(e.tokens) > MaxTokens {
		return nil, fmt.Errorf("%d use-limited tokens at a time: %w", MaxTokens, region.ErrLimit)
	}
	x := &examined{data: data, entry: e, base: s.Revision, state: s}
	return x, s.apply(s.Revision+1, e)
}

func (r *replica) propose(ctx context.Context, data []byte) (Applied, error) {
	f := r.raft.Load().ApplyLog(raft.Log{Data: data}, enqueueTimeout)
	if err := r.await(ctx, f); err != nil {
		return Applied{}, err
	}
	out, ok := f.Response().(outcome)
	if !ok {
		return Applied{}, fmt.Errorf("%w: no response", region.ErrOutcomeUnknown)
	}
	if err := r.fsm.err(); err != nil {
		return Applied{}, fmt.Errorf("%w: %w", region.ErrOutcomeUnknown, err)
	}
	return out.applied, out.err
}

// await waits for a future or for ctx, and says in our words what became of it.
func (r *replica) await(ctx context.Context, f raft.Future) error {
	if !r.begin() {
		return fmt.Errorf("%w: %w", region.ErrOutcomeUnknown, region.ErrClosed)
	}
	ended := make(chan error, 1)
	go func() {
		defer r.wg.Done()
		ended <- f.Error()
	}()
	select {
	case err := <-ended:
		return r.outcome(err)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", region.ErrOutcomeUnknown, ctx.Err())
	}
}

// outcome translates Raft's errors by what they mean for an entry.
func (r *replica) outcome(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return region.ErrNotLeader
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return &region.OverloadError{What: "the log", RetryAfter: enqueueTimeout}
	default:
		return fmt.Errorf("%w: %w", region.ErrOutcomeUnknown, err)
	}
}
