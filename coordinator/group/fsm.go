package group

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein/region"
)

// An fsm applies committed entries. It chooses nothing. All methods but err are
// called by Raft's state-machine goroutine, which owns work.
type fsm struct {
	feed *feed
	work *State
	// progress is the last index applied.
	progress *mark
	// broken is why this replica must stop: it does not know, or cannot apply,
	// what the others agreed on. fail tells the replica so, once.
	broken atomic.Pointer[error]
	fail   func(error)
}

// An outcome is what Raft hands back to the proposer.
type outcome struct {
	applied Applied
	err     error
}

func (f *fsm) err() error {
	if p := f.broken.Load(); p != nil {
		return *p
	}
	return nil
}

// Apply is part of raft.FSM.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch is part of raft.BatchingFSM. Barriers and no-ops do not come here,
// configurations do.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	results := make([]any, len(logs))
	var entries []Applied
	for i, l := range logs {
		if l.Type != raft.LogCommand {
			continue
		}
		out := f.one(l)
		if out.err == nil {
			entries = append(entries, out.applied)
		}
		results[i] = out
	}
	if len(entries) > 0 {
		f.feed.publish(f.work.clone(), entries)
	}
	f.progress.advance(logs[len(logs)-1].Index)
	return results
}

func (f *fsm) one(l *raft.Log) outcome {
	if err := f.err(); err != nil {
		return outcome{err: err}
	}
	rev := region.Revision(l.Index)
	e, err := decodeEntry(l.Data)
	if err == nil {
		err = f.work.apply(rev, e)
	}
	switch {
	case errors.Is(err, region.ErrRevision):
		// Overtaken: every replica refuses it alike.
		return outcome{err: err}
	case err != nil:
		err = fmt.Errorf("log entry %d cannot be applied: %w", l.Index, err)
		f.broken.Store(&err)
		f.fail(err)
		return outcome{err: err}
	}
	return outcome{applied: Applied{
		Revision: rev, Time: e.change.Time, Change: e.change, Lost: e.lost, Region: f.work.Region.Clone(),
	}}
}

// Snapshot is part of raft.FSM. It is O(1): the state is shared until written.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if err := f.err(); err != nil {
		return nil, err
	}
	return &image{state: f.work.clone()}, nil
}

// Restore is part of raft.FSM. It replaces the whole state.
func (f *fsm) Restore(r io.ReadCloser) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	s, err := decodeState(data)
	if err != nil {
		return err
	}
	f.work = s
	f.feed.jump(s.clone(), s.Revision)
	f.progress.advance(uint64(s.Revision))
	return nil
}

// An image is a state on its way into a snapshot.
type image struct{ state *State }

// Persist is part of raft.FSMSnapshot. It runs beside Apply.
func (i *image) Persist(sink raft.SnapshotSink) error {
	data, err := encodeState(i.state)
	if err == nil {
		_, err = sink.Write(data)
	}
	if err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release is part of raft.FSMSnapshot.
func (*image) Release() {}
