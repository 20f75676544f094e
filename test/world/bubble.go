package world

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// replayVariable seeds what the runtime draws in a binary built by package
// replay.
const replayVariable = "SKEIN_REPLAY"

// Bubble runs f in a synctest bubble and ends the test binary with the stacks
// of the guilty goroutines if virtual time stands still for patience of real
// time. (A goroutine of the bubble that waits for something outside it, or for
// a mutex, holds the clock; without this one would wait for go test's timeout, as
// runs do that are to repeat.)
func Bubble(t *testing.T, patience time.Duration, f func(t *testing.T)) {
	t.Helper()
	var beat atomic.Int64
	if os.Getenv(replayVariable) == "" { // who wakes up by real time takes somebody's turn
		over := make(chan struct{})
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			watch(t.Name(), patience, &beat, over)
		}()
		defer func() { // also if the test gives up
			close(over)
			<-watched
		}()
	}
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		stopped := make(chan struct{})
		t.Cleanup(func() { // registered first, so it runs last
			close(stop)
			<-stopped
		})
		go func() {
			defer close(stopped)
			ticker := time.NewTicker(100 * time.Millisecond)
			defer ticker.Stop()
			for {
				select {
				case <-ticker.C:
					beat.Add(1)
				case <-stop:
					return
				}
			}
		}()
		f(t)
	})
}

// watch looks from outside the bubble whether its clock moves.
func watch(name string, patience time.Duration, beat *atomic.Int64, over <-chan struct{}) {
	ticker := time.NewTicker(patience / 10)
	defer ticker.Stop()
	last, still := int64(-1), 0
	for {
		select {
		case <-over:
			return
		case <-ticker.C:
		}
		if now := beat.Load(); now != last {
			last, still = now, 0
			continue
		}
		if still++; still < 10 {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s: virtual time has stood still for %v; these goroutines hold it:\n\n%s", name, patience, holders())
		os.Exit(2)
	}
}

// holders returns the stacks of the bubble's goroutines that are not durably
// blocked.
func holders() string {
	buf := make([]byte, 64<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var out strings.Builder
	for g := range strings.SplitSeq(string(buf), "\n\n") {
		head, _, _ := strings.Cut(g, "\n")
		if strings.Contains(head, "synctest bubble") && !strings.Contains(head, "(durable)") {
			out.WriteString(g + "\n\n")
		}
	}
	return out.String()
}
