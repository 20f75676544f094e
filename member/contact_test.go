package member

import (
	"testing"
	"time"
)

// Links are built a few at a time, and by who is late with his work one after the other,
// the more slowly the later he is.
func TestWhoIsLateBuildsLinksSlowly(t *testing.T) {
	for _, c := range []struct {
		late, since time.Duration
		want        int
	}{
		{0, 0, linksAtOnce},
		{hurried, 0, linksAtOnce},
		{100 * time.Millisecond, time.Second, 0},
		{100 * time.Millisecond, 2 * time.Second, 1},
		{time.Second, 10 * time.Second, 0},
		{time.Second, time.Hour, 1},
	} {
		if got := mayBuild(c.late, c.since); got != c.want {
			t.Errorf("late by %v and %v after the last one: %d at a time, want %d", c.late, c.since, got, c.want)
		}
	}
}
