package command

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/region"
)

func (a *app) regions() *cobra.Command {
	return a.inspection("regions", "List the regions that a coordinator knows of",
		"  skein regions\n  skein regions -o json | jq '.[].members'", cobra.NoArgs,
		func(ctx context.Context, c *inspect.Client, _ *clientFlags, _ []string) error {
			list, err := c.Regions(ctx, "")
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) {
				row(w, "REGION", "GENERATION", "MEMBERS", "STREAMS", "UPLINK", "FREE", "REPLICAS", "RTT", "HEARD")
				for _, r := range list {
					row(w, r.ID, r.Generation, fmt.Sprintf("%d of %d", r.Members, r.MaxMembers), r.Streams,
						total(r.UplinkKbps), total(r.FreeKbps), replicasText(r), rttText(r.RTTMs), age(r.HeardMs))
				}
			})
		})
}

// region is the parent of what is done with one region.
func (a *app) region() *cobra.Command {
	cmd := &cobra.Command{Use: "region", Short: "Look at one region, split, merge, move or recover it"}
	cmd.AddCommand(a.showRegion(), a.splitRegion(), a.mergeRegion(), a.moveRegion(), a.recoverRegion())
	return cmd
}

func (a *app) splitRegion() *cobra.Command {
	cmd := a.inspection("split REGION", "Divide a region in two", "  skein region split r1", cobra.ExactArgs(1),
		func(ctx context.Context, c *inspect.Client, _ *clientFlags, args []string) error {
			m, err := c.Split(ctx, region.ID(args[0]))
			if err != nil {
				return err
			}
			return a.print(m, func(w io.Writer) {
				row(w, fmt.Sprintf("region %s was split off; both are at generation %d", m.Other, m.Generation))
			})
		})
	cmd.Long = `Divide a region in two along its longest extent, whatever its size and however
short ago its boundary was moved. Each side must have three nodes that can coordinate,
a quarter of the members and 1.2 times the uplink it needs. No stream is interrupted.
It returns when the division is in the region's log.`
	return cmd
}

func (a *app) mergeRegion() *cobra.Command {
	var into string
	cmd := a.inspection("merge REGION", "Have a region taken in by another one",
		"  skein region merge r1-2\n  skein region merge r1-2 --into r1", cobra.ExactArgs(1),
		func(ctx context.Context, c *inspect.Client, _ *clientFlags, args []string) error {
			m, err := c.Merge(ctx, region.ID(args[0]), region.ID(into))
			if err != nil {
				return err
			}
			return a.print(m, func(w io.Writer) { row(w, fmt.Sprintf("region %s was merged into %s", args[0], m.Other)) })
		})
	cmd.Long = `Have a region taken in by another one, whatever its size. The other one's log has
the last word: it refuses if it has no room, or if both publish a stream of one name;
then everything goes on as before. No stream is interrupted.`
	cmd.Flags().StringVar(&into, "into", "", "the region that is to take it in (default the nearest one with room)")
	return cmd
}

func (a *app) moveRegion() *cobra.Command {
	var from, to string
	cmd := a.inspection("move REGION", "Move a replica of a region to another coordinator",
		"  skein region move r1 --to 10.0.0.9:7400\n  skein region move r1 --from 10.0.0.1:7400", cobra.ExactArgs(1),
		func(ctx context.Context, c *inspect.Client, _ *clientFlags, args []string) error {
			done, err := c.Relocate(ctx, region.ID(args[0]), from, to)
			if err != nil {
				return err
			}
			return a.print(done, func(w io.Writer) {
				row(w, "region", done.Region)
				row(w, "moved from", done.From)
				row(w, "moved to", done.To)
				for _, x := range done.Replicas {
					row(w, "replica", x)
				}
			})
		})
	cmd.Long = `Move a replica of a region to another coordinator: that one is added to the group,
catches up and gets a vote, and only then the other one is removed. If the leader is
to go, it hands over first. Members and streams notice nothing. Coordinators are named
by id or by gRPC address, as 'skein region show' and 'skein status' list them; without
--to the best place is taken, without --from the one goes that serves the group least.
For an hour, or until the next leader, the group is then repaired but not moved to
better places. Name all coordinators of the region with --coordinators. Only
operators may.`
	cmd.Flags().StringVar(&from, "from", "", "the coordinator that is to have it no more (default the one that serves least)")
	cmd.Flags().StringVar(&to, "to", "", "the coordinator that is to have it (default the best place)")
	return cmd
}

func (a *app) showRegion() *cobra.Command {
	return a.inspection("show REGION", "Show what the world knows of a region", "  skein region show r1", cobra.ExactArgs(1),
		func(ctx context.Context, c *inspect.Client, _ *clientFlags, args []string) error {
			list, err := c.Regions(ctx, region.ID(args[0]))
			if err != nil {
				return err
			}
			if len(list) == 0 {
				return fmt.Errorf("region %.64q: %w: the coordinator that was asked knows none of that name; 'skein regions' lists those it knows", args[0], region.ErrInvalid)
			}
			r := list[0]
			return a.print(r, func(w io.Writer) {
				row(w, "region", r.ID)
				row(w, "generation", r.Generation)
				row(w, "members", fmt.Sprintf("%d of %d", r.Members, r.MaxMembers))
				row(w, "streams", r.Streams)
				row(w, "uplink", fmt.Sprintf("%s, free %s", total(r.UplinkKbps), total(r.FreeKbps)))
				row(w, "distance", rttText(r.RTTMs))
				row(w, "heard", age(r.HeardMs))
				if r.Parent != "" {
					row(w, "split from", r.Parent)
				}
				if r.Into != "" {
					row(w, "merged into", r.Into)
				}
				for _, x := range r.Replicas {
					row(w, "replica", fmt.Sprintf("%s at %s", x.ID, x.GRPC))
				}
				for _, p := range r.Probes {
					row(w, "probe", p)
				}
			})
		})
}

func replicasText(r inspect.Region) string {
	if r.Into != "" {
		return "merged into " + r.Into
	}
	return fmt.Sprint(len(r.Replicas))
}

func rttText(ms float64) string {
	if ms < 0 {
		return "unknown"
	}
	return millis(ms)
}

func age(ms int64) string {
	return (time.Duration(ms) * time.Millisecond).Round(time.Second).String() + " ago"
}

func total(kbps uint64) string { return fmt.Sprintf("%.1f Mbit/s", float64(kbps)/1000) }
