package command

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/test/sim/planet"
)

func (a *app) simWorld() *cobra.Command {
	c := planet.DefaultConfig()
	sizes := []int{c.Members}
	var page string
	cmd := &cobra.Command{
		Use:   "world",
		Short: "Simulate worlds of many regions, up to a million members",
		Long: `Simulate worlds of many regions: members come, watch one stream, crash or leave
and are followed by others, while regions split and merge. Decisions are the
product's own; network and time are modelled. The same seed gives the same report
on any number of cores, but for what it cost. There are as many coordinators as
regions: each leads one and follows in two others.

The bound is what no tree can beat: direct ways through any relays, and as many
levels as the uplinks need. Churn is none, exponential:MEAN, heavy:MEAN or a file
in the format of the Repository of Availability Traces. Uplinks are mixed (0 to
20 children) or slots:share,slots:share. RTTs are those of a globe with cities and
last miles, or of a file with a matrix in ms.`,
		Example: `  skein sim world --members 1000000 --duration 10m --churn exponential:30m -o json
  skein sim world --members 10,100,1000,10000 --page worlds.html
  skein sim world --members 256,1024,4096,16384,65536 --region-max 320 --page growth.html`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var reports []*planet.Report
			for _, n := range sizes {
				c.Members = n
				r, err := planet.Run(cmd.Context(), c, a.worldProgress(n))
				if err != nil {
					return err
				}
				reports = append(reports, r)
			}
			if page != "" {
				if err := writeWorldPage(page, reports); err != nil {
					return err
				}
			}
			return a.print(map[string]any{"worlds": reports}, func(w io.Writer) { printWorlds(w, reports) })
		},
	}
	f := cmd.Flags()
	f.IntSliceVar(&sizes, "members", sizes, "members of the world; several sizes give several worlds")
	f.DurationVar(&c.Duration, "duration", c.Duration, "time to watch after all have come")
	f.StringVar(&c.Churn, "churn", c.Churn, "how long members stay")
	f.Float64Var(&c.Crash, "crash", c.Crash, "share of members that go without a word")
	f.StringVar(&c.RTT, "rtt", c.RTT, "globe, or a file with a matrix of RTTs in ms")
	f.StringVar(&c.Uplinks, "uplinks", c.Uplinks, "children members can feed")
	f.IntVar(&c.RegionMax, "region-max", c.RegionMax, "most members of a region before it splits")
	f.DurationVar(&c.Sample, "sample", c.Sample, "time between two looks at the whole world")
	f.IntVar(&c.Workers, "workers", 0, "regions computed at a time (default one per core)")
	f.Uint64Var(&c.Seed, "seed", c.Seed, "seed of all chance")
	f.StringVar(&page, "page", "", "write a page with plots to this HTML file")
	markPath(f, "page")
	return cmd
}

// worldProgress draws a bar on standard error.
func (a *app) worldProgress(members int) func(planet.Progress) {
	const width = 30
	var shown time.Time
	return func(p planet.Progress) {
		if time.Since(shown) < 200*time.Millisecond && p.Done < 1 {
			return
		}
		shown = time.Now()
		full := int(p.Done * width)
		fmt.Fprintf(a.err, "\r%8d [%s%s] %3.0f %%  %-12s %8d members %5d regions", members,
			strings.Repeat("#", full), strings.Repeat(".", width-full), 100*p.Done, p.Now, p.Members, p.Regions)
		if p.Done >= 1 {
			fmt.Fprintln(a.err)
		}
	}
}

func writeWorldPage(path string, reports []*planet.Report) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := planet.WritePage(file, reports); err != nil {
		_ = file.Close() // the first error says more
		return err
	}
	return file.Close()
}

func printWorlds(w io.Writer, reports []*planet.Report) {
	row(w, "MEMBERS", "REGIONS", "DELAY", "OVER BOUND", "STRETCH", "RELAY LOAD", "ORPHANS", "BY STANDBY", "GAP P99", "ADMITTED", "REFUSED", "ADMISSION P99", "B/S MEMBER", "KB/S COORD", "MIB COORD", "SPLITS", "MERGES", "CPU", "PEAK")
	for _, r := range reports {
		row(w, r.Members, r.Regions, millis(r.AvgMS), fmt.Sprintf("%.3f", r.OverBound), fmt.Sprintf("%.3f", r.Stretch),
			fmt.Sprintf("%.2f", r.Load), r.Orphans, fmt.Sprintf("%.2f %%", 100*r.StandbyRate), millis(r.GapP99MS),
			r.Admissions, r.Refusals, millis(r.AdmitP99MS), fmt.Sprintf("%.0f", r.ControlPerMember),
			fmt.Sprintf("%.0f", r.CoordinatorKB()), fmt.Sprintf("%.1f", r.Cost.CoordinatorMiB),
			r.Splits, r.Merges, fmt.Sprintf("%.1f s", r.Cost.CPUS), fmt.Sprintf("%.0f MiB", r.Cost.PeakRSSMiB))
		if r.Broken != "" {
			row(w, "BROKEN", r.Broken)
		}
	}
}
