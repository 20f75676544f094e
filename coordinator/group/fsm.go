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
	// examined is the last entry that was proposed here.
	examined atomic.Pointer[examined]
	// broken is why this replica must stop: it does not know, or cannot apply,
	// what the others agreed on. fail tells the replica so, once.
	broken atomic.Pointer[error]
	fail   func(error)
}

// An examined entry was carried out on a copy of a state before it went into the
// log. Should it be what follows on that state, this need not be done again.
type examined struct {
	data  []byte
	entry entry
	base  region.Revision
	state *State
}

// is says whether l is the entry, and the one that follows on its base.
func (x *examined) is(l *raft.Log, present region.Revision) bool {
	return x != nil && x.base == present && uint64(present)+1 == l.Index && len(l.Data) > 0 && &x.data[0] == &l.Data[0]
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
		f.feed.publish(f.work, entries)
	}
	f.progress.advance(logs[len(logs)-1].Index)
	return results
}

func (f *fsm) one(l *raft.Log) outcome {
	if err := f.err(); err != nil {
		return outcome{err: err}
	}
	rev := region.Revision(l.Index)
	e, err := f.carry(l)
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

// carry carries out what l says.
func (f *fsm) carry(l *raft.Log) (entry, error) {
	if x := f.examined.Swap(nil); x.is(l, f.work.Revision) {
		f.work = x.state
		return x.entry, nil
	}
	e, err := decodeEntry(l.Data)
	if err == nil {
		err = f.work.apply(region.Revision(l.Index), e)
	}
	return e, err
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
	f.feed.jump(s, s.Revision)
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
