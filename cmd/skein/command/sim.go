package command

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/test/sim"
)

func (a *app) sim() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Simulate trees in worlds of round-trip times",
		Long: `Simulate how good the trees are that Skein builds, in worlds of measured or
generated round-trip times, against bounds that no tree can beat.`,
	}
	cmd.AddCommand(a.simTree(), a.simChurn(), a.simWorld())
	return cmd
}

func (a *app) simTree() *cobra.Command {
	c := sim.DefaultTreeConfig()
	var plot string
	cmd := &cobra.Command{
		Use:   "tree",
		Short: "Compare trees built by Skein with bounds and published algorithms",
		Long: `Compare the trees that Skein builds, online and planned, with lower bounds and
with published algorithms. Ratios are to the bounds; "moves" are parent changes
of members that had a place. Algorithms: ` + strings.Join(sim.Algorithms(), ", ") + ".",
		Example: `  skein sim tree --rtt clusters --n 200 --slots mixed --runs 5
  skein sim tree --rtt planetlab490_median_ms.txt --slots 4 --plot delays.svg -o json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			report, err := sim.CompareTrees(c)
			if err != nil {
				return err
			}
			if plot != "" {
				if err := report.Plot(plot, c.Algorithms); err != nil {
					return err
				}
			}
			if a.output == "json" {
				return a.simJSON(report)
			}
			return a.printTrees(report)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.RTT, "rtt", c.RTT, "file with a matrix of RTTs in ms, or line, grid, clusters, powerlaw")
	f.IntVar(&c.Members, "n", c.Members, "members; 0 = all of a file, 256 of a generated world")
	f.StringVar(&c.Slots, "slots", c.Slots, "children a member can feed: a number, mixed, or a file with one number per member")
	f.Float64Var(&c.Hop, "hop", c.Hop, "time a member takes to forward a packet, in ms")
	f.Float64Var(&c.Bend, "bend", c.Bend, "make another world: spread of the factors that RTTs are multiplied by, 0 to 0.7")
	f.IntVar(&c.Streams, "streams", c.Streams, "streams at once, drawn by everybody; uplinks grow with them")
	f.StringVar(&c.Knowledge, "knowledge", c.Knowledge, "what is known of the RTTs: all or measured")
	f.IntVar(&c.Runs, "runs", c.Runs, "runs with different origins or worlds")
	f.Uint64Var(&c.Seed, "seed", c.Seed, "seed of all chance")
	f.StringSliceVar(&c.Algorithms, "algorithms", nil, "algorithms to compare (default all)")
	f.StringVar(&plot, "plot", "", "write the distributions of delays, and the tree, to this SVG file")
	return cmd
}

func (a *app) simChurn() *cobra.Command {
	c := sim.DefaultChurnConfig()
	var plot string
	cmd := &cobra.Command{
		Use:   "churn",
		Short: "Replay members coming and going",
		Long: `Replay members coming and going over a world of round-trip times. Reported are
the average delay over its bound in time, how many parents changed (forced by a
failure or voluntarily) and who healed those who lost theirs.

Traces are files in the format of the Repository of Availability Traces (gzip or
not), or exponential, heavy, flash, or massN: N percent fail at one instant.`,
		Example: `  skein sim churn --trace mass10 --n 300 --hours 4
  skein sim churn --rtt planetlab490_median_ms.txt --trace skype_avt.txt.gz --hours 168 --sample 6h`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			report, err := sim.ReplayChurn(c)
			if err != nil {
				return err
			}
			if plot != "" {
				if err := report.Plot(plot); err != nil {
					return err
				}
			}
			if a.output == "json" {
				return a.simJSON(report)
			}
			return a.printChurn(report)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.RTT, "rtt", c.RTT, "file with a matrix of RTTs in ms, or line, grid, clusters, powerlaw")
	f.IntVar(&c.Members, "n", c.Members, "members that ever come; 0 = all of a file, 256 of a generated world")
	f.StringVar(&c.Slots, "slots", c.Slots, "children a member can feed: a number, mixed, or a file with one number per member")
	f.Float64Var(&c.Hop, "hop", c.Hop, "time a member takes to forward a packet, in ms")
	f.Float64Var(&c.Bend, "bend", c.Bend, "make another world: spread of the factors that RTTs are multiplied by, 0 to 0.7")
	f.StringVar(&c.Trace, "trace", c.Trace, "file with stays, or exponential, heavy, flash, mass10, mass20, mass30")
	f.Float64Var(&c.Hours, "hours", c.Hours, "hours of the trace to play")
	f.StringVar(&c.Policy, "policy", c.Policy, "how trees are kept good: "+strings.Join(sim.Policies(), ", "))
	f.Float64Var(&c.MinGain, "min-gain", c.MinGain, "least a voluntary move must save per parent it changes, as a share of the total cost")
	f.DurationVar(&c.PlanEvery, "plan-every", c.PlanEvery, "time between rounds of planning; 0 = none")
	f.DurationVar(&c.Sample, "sample", c.Sample, "time between comparisons with the bound")
	f.IntVar(&c.Runs, "runs", c.Runs, "runs with different pairings of stays and members")
	f.Uint64Var(&c.Seed, "seed", c.Seed, "seed of all chance")
	f.StringVar(&plot, "plot", "", "write delay over bound in time to this SVG file")
	return cmd
}

func (a *app) simJSON(report any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	return e.Encode(report)
}

func (a *app) printTrees(r *sim.TreeReport) error {
	fmt.Fprintf(a.out, "%d members, %d runs: bound %.1f ms on average (%.1f if only members with slots relay),\n%.1f at most; direct unicast %.1f on average\n\n",
		r.N, len(r.Runs), r.BoundAvg, r.BoundRelay, r.BoundMax, r.DirectAvg)
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "algorithm\tavg/bound\tmax/bound\tavg ms\tp95 ms\tmax ms\tdepth\tmoves\tcpu ms\t")
	names := make([]string, 0, len(r.Algorithms))
	for name := range r.Algorithms {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int {
		return cmp.Or(cmp.Compare(r.Algorithms[x].AvgMS, r.Algorithms[y].AvgMS), strings.Compare(x, y))
	})
	for _, name := range names {
		x := r.Algorithms[name]
		fmt.Fprintf(w, "%s\t%.4f\t%.4f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t\n",
			name, x.AvgOverBound, x.MaxOverBound, x.AvgMS, x.P95MS, x.MaxMS, x.DepthMax, x.Moves, x.CPUMS)
	}
	return w.Flush()
}

func (a *app) printChurn(r *sim.ChurnReport) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	row := func(what, format string, args ...any) {
		fmt.Fprintf(w, "%s\t"+format+"\n", append([]any{what}, args...)...)
	}
	row("policy", "%s, trace %s, %d runs", r.Policy, r.Trace, len(r.Runs))
	row("members", "%.1f on average; %.1f join and %.1f leave per hour", r.MembersMean, r.JoinsPerHour, r.LeavesPerHour)
	row("average delay / bound", "%.4f (worst sample %.4f)", r.AvgOverBound, r.WorstOverBound)
	row("voluntary parent changes", "%.2f per hour, %.4f per member and hour", r.VoluntaryPerHour, r.VoluntaryPerMemberHour)
	row("forced parent changes", "%.2f per hour, %.4f per member and hour", r.ForcedPerHour, r.ForcedPerMemberHour)
	o := r.Orphans
	row("orphans", "%d: first standby %d, second %d, later %d, coordinators %d", o.Total, o.Standby1, o.Standby2, o.StandbyMore, o.Coordinator)
	row("healed by the first two", "%.1f %%", 100*o.FirstTwo)
	row("cut off", "%d, for good %d", o.CutOff, o.CutOffForGood)
	row("standbys of no use", "%d dead, %d full, %d below the orphan", o.DeadStandbys, o.RefusedFull, o.RefusedLoops)
	return w.Flush()
}
