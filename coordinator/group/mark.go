package group

import (
	"context"
	"sync"

	"github.com/skein-mesh/skein/region"
)

// A mark is an index that only grows, and that can be waited for.
type mark struct {
	mu    sync.Mutex
	index uint64
	moved chan struct{} // closed and replaced when index grows
}

func newMark() *mark { return &mark{moved: make(chan struct{})} }

func (m *mark) advance(to uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if to > m.index {
		m.index = to
		close(m.moved)
		m.moved = make(chan struct{})
	}
}

func (m *mark) get() (uint64, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.index, m.moved
}

// wait blocks until the mark has reached index, or ctx ends, or stop is closed
// (ErrClosed).
func (m *mark) wait(ctx context.Context, index uint64, stop <-chan struct{}) error {
	for {
		at, moved := m.get()
		if at >= index {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-stop:
			return region.ErrClosed
		}
	}
}
