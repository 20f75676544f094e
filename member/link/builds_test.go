package link

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// The later a process is, the fewer links it builds at a time: one at least.
func TestWhoIsLateBuildsFewerLinks(t *testing.T) {
	for late, want := range map[time.Duration]int{
		0: 64, 20 * time.Millisecond: 64, 80 * time.Millisecond: 16, 640 * time.Millisecond: 2, time.Minute: 1,
	} {
		if got := mayBuild(late); got != want {
			t.Errorf("late by %v, it builds %d, want %d", late, got, want)
		}
	}
}

// Attempts wait for their turn in order; who is knocked at does not, and who gives up waiting
// takes nobody's turn.
func TestLinksAreBuiltInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b builds
		ctx := context.Background()
		if !b.enter(ctx, 1, false) || !b.enter(ctx, 1, true) {
			t.Fatal("the first, and one that is knocked at, have to wait")
		}
		order := make(chan int, 3)
		impatient, cancel := context.WithCancel(ctx)
		for i := range 3 {
			ctx := ctx
			if i == 1 {
				ctx = impatient
			}
			go func() {
				if b.enter(ctx, 1, false) {
					order <- i
				}
			}()
			synctest.Wait()
		}
		cancel()
		synctest.Wait()
		b.leave(1)
		synctest.Wait()
		if len(order) != 0 {
			t.Error("one begins although another is at it")
		}
		b.leave(1)
		if got := <-order; got != 0 {
			t.Errorf("number %d comes first", got)
		}
		b.admit(2)
		if got := <-order; got != 2 {
			t.Errorf("number %d comes next", got)
		}
		if b.running != 2 || len(b.waiting) != 0 {
			t.Errorf("%d are at it, %d wait", b.running, len(b.waiting))
		}
	})
}
