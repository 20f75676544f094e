package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

// inspection makes a command that asks the coordinators something.
func (a *app) inspection(use, short, example string, args cobra.PositionalArgs, run func(context.Context, *inspect.Client, *clientFlags, []string) error) *cobra.Command {
	var c clientFlags
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example, Args: args,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			client, err := c.dial()
			if err != nil {
				return err
			}
			defer client.Close()
			return run(cmd.Context(), client, &c, args)
		},
	}
	c.add(cmd.Flags())
	return cmd
}

func (a *app) status() *cobra.Command {
	return a.inspection("status", "Show the coordinators, who leads, and how far each is",
		"  skein status --coordinators 10.0.0.1:7400,10.0.0.2:7400,10.0.0.3:7400", cobra.NoArgs,
		func(ctx context.Context, c *inspect.Client, _ *clientFlags, _ []string) error {
			s, err := c.Status(ctx)
			if err != nil {
				return err
			}
			return a.print(s, func(w io.Writer) { statusTable(w, s) })
		})
}

func statusTable(w io.Writer, coordinators []inspect.Coordinator) {
	row(w, "ADDRESS", "ID", "REGION", "STATE", "TERM", "COMMIT", "APPLIED", "LAST CONTACT", "MEMBERS", "STREAMS", "HEALTH")
	for _, s := range coordinators {
		if s.Error != "" {
			row(w, s.Address, "", "", "no answer: "+s.Error)
			continue
		}
		for _, g := range s.Groups {
			row(w, s.Address, s.ID, g.Region, g.State, g.Term, g.Commit, g.Applied,
				fmt.Sprintf("%d ms", g.LastContactMs), g.Members, g.Streams, g.Health)
			for _, v := range g.Volunteers {
				row(w, v.Address, v.ID, g.Region, "volunteer", "", "", "", "", "", "", volunteerText(v))
			}
		}
	}
}

func volunteerText(v inspect.Volunteer) string {
	switch {
	case v.Serving:
		return "coordinates"
	case v.Lacks != "":
		return "not suited: " + v.Lacks
	}
	return "suited"
}

func (a *app) members() *cobra.Command {
	return a.inspection("members", "List the members of a region", "  skein members -o json", cobra.NoArgs,
		func(ctx context.Context, c *inspect.Client, f *clientFlags, _ []string) error {
			m, err := c.Members(ctx, f.regionID())
			if err != nil {
				return err
			}
			return a.print(m, func(w io.Writer) {
				row(w, "ID", "NAME", "UPLINK", "SENDING", "BY ITSELF", "CHILDREN", "STREAMS", "AGE", "LAST HEARD", "MEDIA")
				for _, m := range m {
					row(w, m.ID, m.Name, kbps(m.UplinkKbps), kbps(m.SendingKbps), fmt.Sprintf("%d/%d", m.LeafUsedKbps, m.LeafKbps), m.Children, m.Streams,
						time.Since(time.UnixMilli(m.JoinedMs)).Round(time.Second), fmt.Sprintf("%d ms ago", m.LastHeardMs), strings.Join(m.Media, " "))
				}
			})
		})
}

func (a *app) streams() *cobra.Command {
	return a.inspection("streams", "List the streams of a region", "  skein streams", cobra.NoArgs,
		func(ctx context.Context, c *inspect.Client, f *clientFlags, _ []string) error {
			s, err := c.Streams(ctx, f.regionID())
			if err != nil {
				return err
			}
			return a.print(s, func(w io.Writer) {
				row(w, "NAME", "KIND", "CODEC", "RATE", "ORIGIN", "SUBSCRIBERS", "DEPTH", "DELAY p50", "max")
				for _, s := range s {
					var rate uint32
					for _, l := range s.LayerKbps {
						rate += l
					}
					row(w, s.Name, s.Kind, s.Codec, kbps(rate), s.Origin, s.Subscribers, s.Depth, millis(s.DelayP50Ms), millis(s.DelayMaxMs))
				}
			})
		})
}

func (a *app) events() *cobra.Command {
	var after uint64
	cmd := a.inspection("events", "Follow what happens in a region, until interrupted",
		"  skein events\n  skein events --after 120 -o json | jq .kind", cobra.NoArgs,
		func(ctx context.Context, c *inspect.Client, f *clientFlags, _ []string) error {
			err := c.Watch(ctx, f.regionID(), after, a.printEvent)
			if ctx.Err() != nil {
				return nil // interrupted, as it is meant to be
			}
			return err
		})
	cmd.Flags().Uint64Var(&after, "after", 0, "begin after this revision; 0 = now")
	return cmd
}

// printEvent writes one event on a line of its own, in both formats.
func (a *app) printEvent(e inspect.Event) error {
	if a.output == "json" {
		return a.jsonLine(e)
	}
	line := fmt.Sprintf("%s  %-8d %-18s", e.Time.Format("15:04:05.000"), e.Revision, e.Kind)
	for _, f := range []struct{ name, value string }{
		{"member", e.Member}, {"stream", e.Stream}, {"parent", e.Parent}, {"cause", e.Cause}, {"gain", gainText(e.GainMs)}, {"", e.Detail},
	} {
		switch {
		case f.value == "":
		case f.name == "":
			line += "  " + f.value
		default:
			line += fmt.Sprintf("  %s %s", f.name, f.value)
		}
	}
	_, err := fmt.Fprintln(a.out, line)
	return err
}
