package group

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// A disk is what a replica keeps its log and its vote on.
type disk interface {
	raft.LogStore
	raft.StableStore
	Close() error
}

// safely turns a panic, and a fault on a truncated file that is mapped into
// memory, into an error. The store's library asserts that its file is sound.
func safely(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return f()
}

// A guard is a disk with a deadline. Raft would wait for ever for a write that
// hangs, as leader unnoticed by its followers, and it panics if it cannot save
// its vote. Here the first write that fails or takes too long poisons the store:
// nothing is written any more, fail is told why, and the replica is to be
// stopped. A write that was given up may still land; it was never acknowledged,
// so to Raft it is a write before a crash.
type guard struct {
	disk
	carry    func(write func() error) error // see Config.Disk
	deadline time.Duration
	fail     func(error)
	// emptied is told when all entries are deleted, the last of which was last.
	emptied func(last uint64)
	latency *latencies
	// writes are carried out one at a time by run.
	writes chan write
	done   chan struct{}
	wg     sync.WaitGroup
	poison atomic.Pointer[error]
	// serving is set once Raft's own goroutines are the callers.
	serving atomic.Bool
}

type write struct {
	do     func() error
	result chan error // buffered: nobody may be waiting any more
}

func newGuard(d disk, carry func(func() error) error, deadline time.Duration, l *latencies, fail func(error)) *guard {
	g := &guard{
		disk: d, carry: carry, deadline: deadline, fail: fail, latency: l,
		writes: make(chan write), done: make(chan struct{}),
	}
	g.wg.Go(g.run)
	return g
}

func (g *guard) run() {
	for {
		select {
		case w := <-g.writes:
			start := time.Now()
			err := safely(func() error { return g.carry(w.do) })
			g.latency.add(time.Since(start))
			w.result <- err
		case <-g.done:
			return
		}
	}
}

// Close waits for a write that was given up, and closes the disk.
func (g *guard) Close() error {
	close(g.done)
	g.wg.Wait()
	return safely(g.disk.Close)
}

func (g *guard) write(what string, do func() error) error {
	if p := g.poison.Load(); p != nil {
		return *p
	}
	timer := time.NewTimer(g.deadline)
	defer timer.Stop()
	w := write{do: do, result: make(chan error, 1)}
	select {
	case g.writes <- w:
	case <-timer.C:
		return g.poisoned(fmt.Errorf("%s: the disk did not answer for %v", what, g.deadline))
	}
	select {
	case err := <-w.result:
		if err != nil {
			return g.poisoned(fmt.Errorf("%s: %w", what, err))
		}
		return nil
	case <-timer.C:
		return g.poisoned(fmt.Errorf("%s: the disk did not answer for %v", what, g.deadline))
	}
}

func (g *guard) poisoned(err error) error {
	if g.poison.CompareAndSwap(nil, &err) {
		g.fail(err)
	}
	return err
}

// StoreLog is part of raft.LogStore.
func (g *guard) StoreLog(l *raft.Log) error { return g.StoreLogs([]*raft.Log{l}) }

// StoreLogs is part of raft.LogStore. Its error makes a leader step down.
func (g *guard) StoreLogs(logs []*raft.Log) error {
	return g.write("write to the log", func() error { return g.disk.StoreLogs(logs) })
}

// IsMonotonic makes Raft drop the whole log when a snapshot is installed; see
// replica.emptied.
func (g *guard) IsMonotonic() bool { return true }

// DeleteRange is part of raft.LogStore. It has no deadline of its own: it may
// take long, and while it blocks others theirs run.
func (g *guard) DeleteRange(first, last uint64) error {
	if p := g.poison.Load(); p != nil {
		return *p
	}
	var oldest, newest uint64
	err := safely(func() (err error) {
		if oldest, err = g.FirstIndex(); err != nil {
			return err
		}
		if newest, err = g.LastIndex(); err != nil {
			return err
		}
		return g.carry(func() error { return g.disk.DeleteRange(first, last) })
	})
	if err == nil && first <= oldest && newest <= last && newest > 0 && g.serving.Load() {
		g.emptied(newest)
	}
	if err != nil {
		return g.poisoned(fmt.Errorf("truncate the log: %w", err))
	}
	return nil
}

// GetLog is part of raft.LogStore.
func (g *guard) GetLog(index uint64, l *raft.Log) error {
	err := safely(func() error { return g.disk.GetLog(index, l) })
	if err == nil || errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	err = g.poisoned(fmt.Errorf("read log entry %d: %w", index, err))
	g.endCaller()
	return err
}

// Set is part of raft.StableStore.
func (g *guard) Set(key, val []byte) error {
	err := g.write("save the vote", func() error { return g.disk.Set(key, val) })
	if err != nil {
		g.endCaller()
	}
	return err
}

// SetUint64 is part of raft.StableStore.
func (g *guard) SetUint64(key []byte, val uint64) error {
	err := g.write("save the term", func() error { return g.disk.SetUint64(key, val) })
	if err != nil {
		g.endCaller()
	}
	return err
}

// endCaller ends the goroutine that asked for what cannot be had. Raft answers
// these errors with a panic that would take down every group of the process;
// ended in an orderly way, its goroutine runs its deferred calls, and the rest
// of the replica is stopped by fail.
func (g *guard) endCaller() {
	if g.serving.Load() {
		runtime.Goexit()
	}
}
