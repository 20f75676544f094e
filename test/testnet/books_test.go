package testnet

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

// books hold what members said of their streams before something happened, and
// how long the machine has stood still since.
type books struct {
	l       *lab
	before  map[flow]inspect.Health
	stop    context.CancelFunc
	watch   sync.WaitGroup
	stalled time.Duration // of watch until it has ended
}

// keepBooks opens books; unharmed closes them.
func (l *lab) keepBooks() *books {
	l.t.Helper()
	ctx, stop := context.WithCancel(l.t.Context()) // which ends before the test does
	b := &books{l: l, before: l.healths(), stop: stop}
	b.watch.Go(func() {
		const pace = 10 * time.Millisecond
		for last := time.Now(); ; last = time.Now() {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pace):
			}
			b.stalled = max(b.stalled, time.Since(last)-pace)
		}
	})
	return b
}

func (l *lab) healths() map[flow]inspect.Health {
	l.t.Helper()
	seen, err := ask[[]inspect.Member](l, "members")
	if err != nil {
		l.t.Fatal(err)
	}
	out := map[flow]inspect.Health{}
	for _, m := range seen {
		for _, h := range m.Health {
			out[flow{m.Name, h.Stream}] = h
		}
	}
	return out
}

// unharmed checks that members have lost no packet since, got none twice, and were
// without the stream no longer than a rescue takes.
func (b *books) unharmed(members []string) {
	t := b.l.t
	t.Helper()
	b.stop()
	b.watch.Wait()
	limit := gapLimit + b.stalled.Round(time.Millisecond)
	after := b.l.healths()
	longest := 0.0
	for f, was := range b.before {
		now, ok := after[f]
		if !slices.Contains(members, f.member) || !slices.Contains(streams, f.stream) {
			continue
		}
		if !ok || now.Lost > was.Lost || now.Duplicates > was.Duplicates {
			t.Errorf("%s: %+v has become %+v", f, was, now)
		}
		if now.GapMaxMs > was.GapMaxMs {
			longest = max(longest, now.GapMaxMs)
		}
	}
	t.Logf("longest new gap %.0f ms, limit %v", longest, limit)
	if longest > float64(limit.Milliseconds()) {
		t.Errorf("a member was without its stream for %.0f ms, want %v at most", longest, limit)
	}
}
