package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/region"
)

// recoverEvery is how often a coordinator is asked whether a region is there again.
const recoverEvery = time.Second

func (a *app) recoverRegion() *cobra.Command {
	cmd := a.inspection("recover REGION", "Form a region anew whose coordinators are lost",
		"  skein region recover r1 --coordinators 10.0.0.9:7400 --credentials cluster/operator", cobra.ExactArgs(1),
		func(ctx context.Context, c *inspect.Client, _ *clientFlags, args []string) error {
			done, err := recoverRegion(ctx, c, region.ID(args[0]))
			if err != nil {
				return err
			}
			return a.print(done, func(w io.Writer) {
				row(w, "region", done.Region)
				row(w, "generation", done.Generation)
				row(w, "members", done.Members)
			})
		})
	cmd.Long = `Form a region anew whose coordinators are lost for good, on another coordinator
and out of what its members hold. That happens by itself once most of the members
have found none of them for a while (skein coordinator --reform-after); this does
not wait for a majority. It is refused while most of the region's coordinators run.
Name coordinators of other regions, or some that host none. Only operators may.`
	return cmd
}

// recoverRegion asks for a region until it is there again.
func recoverRegion(ctx context.Context, c *inspect.Client, id region.ID) (inspect.Recovery, error) {
	before, err := c.Regions(ctx, id)
	if err != nil {
		return inspect.Recovery{}, err
	}
	for {
		done, err := c.Recover(ctx, id)
		if err != nil && ctx.Err() == nil && !errors.Is(err, region.ErrUnreachable) {
			return done, err
		}
		select {
		case <-ctx.Done():
			return done, fmt.Errorf("region %s is not formed anew: %w", id, context.Cause(ctx))
		case <-time.After(recoverEvery):
		}
		now, err := c.Regions(ctx, id)
		if err == nil && len(before) > 0 && len(now) > 0 && now[0].Generation > before[0].Generation {
			done.Region, done.Generation, done.Members = string(id), now[0].Generation, uint32(now[0].Members)
			return done, nil
		}
	}
}
