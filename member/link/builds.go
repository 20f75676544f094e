package link

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Links are built side by side, buildsAtOnce at most, and the fewer the later this process
// is: until there is a path each asks for one 20 times a second, and one that is not up in
// time has cost all that for nothing. Who knocks is let in at once, for the other end is at
// it already.
const (
	buildsAtOnce = 64
	// buildsHurt is how late a process may be before it builds fewer.
	buildsHurt = 20 * time.Millisecond
)

// mayBuild is how many links a process that is so late builds at a time.
func mayBuild(late time.Duration) int {
	return max(1, int(buildsAtOnce*buildsHurt/max(late, buildsHurt)))
}

// builds are the attempts to build links under way, and those that wait for their turn.
type builds struct {
	mu      sync.Mutex
	running int
	waiting []chan struct{}
}

// enter waits for the turn of an attempt; without waiting if knocked. It reports false if ctx
// ends before.
func (b *builds) enter(ctx context.Context, most int, knocked bool) bool {
	b.mu.Lock()
	if knocked || b.running < most && len(b.waiting) == 0 {
		b.running++
		b.mu.Unlock()
		return true
	}
	turn := make(chan struct{})
	b.waiting = append(b.waiting, turn)
	b.mu.Unlock()
	select {
	case <-turn:
		return true
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := slices.Index(b.waiting, turn); at >= 0 {
		b.waiting = slices.Delete(b.waiting, at, at+1)
		return false
	}
	return true // it came in the meantime
}

// leave ends an attempt.
func (b *builds) leave(most int) {
	b.mu.Lock()
	b.running--
	b.mu.Unlock()
	b.admit(most)
}

// admit lets those begin for whom there is room.
func (b *builds) admit(most int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.running < most && len(b.waiting) > 0 {
		close(b.waiting[0])
		b.waiting = b.waiting[1:]
		b.running++
	}
}
