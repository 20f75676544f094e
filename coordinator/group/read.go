package group

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein/region"
)

// ReadIndex blocks until State holds everything that was committed when it was
// called, so that a read of State is linearizable, and returns the revision
// State has then at least. Only the leader can: ErrNotLeader otherwise. It costs
// one round of heartbeats and no log entry.
func (g *Group) ReadIndex(ctx context.Context) (region.Revision, error) {
	r, l := g.current()
	if r == nil || !l.Leading {
		return 0, g.notLeader()
	}
	instance := r.raft.Load()
	// The order matters: what is committed now, then proof that nobody else could
	// have committed more by now, in the same term.
	index := instance.CommitIndex()
	if err := r.await(ctx, instance.VerifyLeader()); err != nil {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return 0, g.notLeader()
	}
	if instance.State() != raft.Leader || instance.CurrentTerm() != l.Term {
		return 0, g.notLeader()
	}
	if err := r.fsm.progress.wait(ctx, index, r.stopping); err != nil {
		return 0, fmt.Errorf("group %s: wait for index %d: %w", g.cfg.Region, index, err)
	}
	return g.feed.revision(), nil
}

// Barrier puts an entry into the log that changes nothing and blocks until this
// replica has applied all before it: with it the followers learn at once what has
// been committed, which otherwise takes up to twice Config.CommitTimeout.
func (g *Group) Barrier(ctx context.Context) error {
	r, l := g.current()
	if r == nil || !l.Leading {
		return g.notLeader()
	}
	if err := r.await(ctx, r.raft.Load().Barrier(enqueueTimeout)); err != nil {
		return fmt.Errorf("group %s: barrier: %w", g.cfg.Region, err)
	}
	return nil
}
