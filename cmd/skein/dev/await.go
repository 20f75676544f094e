package dev

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

// breathe waits until this process has got the processor a few times in a row when it wanted
// it, for busyFor at most.
func breathe(ctx context.Context) {
	const nap, late, row = 2 * time.Millisecond, 5 * time.Millisecond, 20
	calm := 0
	for end := time.Now().Add(busyFor); calm < row && time.Now().Before(end) && ctx.Err() == nil; calm++ {
		before := time.Now()
		time.Sleep(nap)
		if time.Since(before) >= nap+late {
			calm = 0
		}
	}
}

// awaitRegions waits until every coordinator knows all regions, and knows them to be
// ready: members ask any of them.
func (t *testnet) awaitRegions(ctx context.Context, ready func(inspect.Region) bool) error {
	for _, address := range t.cluster.plan.grpc() {
		c, err := inspect.Dial([]string{address}, t.cluster.operator)
		if err != nil {
			return err
		}
		err = t.awaitAt(ctx, c, address, ready)
		if closed := c.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// awaitAt is awaitRegions at one coordinator.
func (t *testnet) awaitAt(ctx context.Context, c *inspect.Client, address string, ready func(inspect.Region) bool) error {
	for {
		list, _ := c.Regions(ctx, "") // who does not answer is asked again
		if len(list) == t.cfg.Regions && !slices.ContainsFunc(list, func(r inspect.Region) bool { return !ready(r) }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s knows %d of %d regions: %w", address, len(list), t.cfg.Regions, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// awaitLeader waits until a coordinator leads and returns its index.
func (t *testnet) awaitLeader(ctx context.Context) (int, error) {
	for {
		if i, ok := t.leader(ctx); ok {
			return i, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("no coordinator leads: %w", context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}
