package web

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/region"
)

const (
	// lively is how often a region is asked while somebody looks at the page,
	// idle how often otherwise, so that there is a history to go back to.
	lively = time.Second
	idle   = 10 * time.Second
	// patience bounds one round of questions.
	patience = 3 * time.Second
)

// Follow shows a region, as its coordinators know it, until ctx ends.
func (p *Page) Follow(ctx context.Context, client *inspect.Client, r region.ID) {
	var wait sync.WaitGroup
	wait.Go(func() { p.Narrate(ctx, client, r) })
	defer wait.Wait()
	tick := time.NewTicker(lively)
	defer tick.Stop()
	var asked time.Time
	for {
		if p.Watched() || time.Since(asked) >= idle {
			asked = time.Now()
			p.look(ctx, client, r)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-p.feed.came:
		}
	}
}

func (p *Page) look(ctx context.Context, client *inspect.Client, r region.ID) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := client.Snapshot(ctx, r)
	led := slices.ContainsFunc(s.Coordinators, func(c inspect.CoordinatorState) bool { return c.Leader })
	if last := p.Latest(); (err != nil || !led) && last != nil {
		// Only a leader can say how the members are: they are shown as last
		// seen, beside the coordinators as they are.
		s.Members, s.Rounds = last.Members, last.Rounds
	}
	if ctx.Err() == nil {
		p.Show(s)
	}
}

// Narrate passes on what happens in a region, until ctx ends.
func (p *Page) Narrate(ctx context.Context, client *inspect.Client, r region.ID) {
	for ctx.Err() == nil {
		// It ends with ctx, or because events were missed that nobody holds
		// any more; then it goes on with those to come.
		_ = client.Watch(ctx, r, 0, func(e inspect.Event) error {
			p.Note(e)
			return nil
		})
		select {
		case <-ctx.Done():
		case <-time.After(lively):
		}
	}
}
