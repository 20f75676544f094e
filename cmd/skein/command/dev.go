package command

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/cmd/skein/dev"
)

func (a *app) dev() *cobra.Command {
	cfg := dev.DefaultConfig()
	var uplinks, kills, shift string
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole testnet on this machine and watch it",
		Long: `Run a whole testnet on this machine: coordinators with their Raft logs on
disk, members of mixed uplink, one publisher per camera that sends a video and
an audio test pattern, and everybody else as its subscribers. Every node has
sockets of its own on loopback. Ctrl-C ends it.

What is killed on request (--kill WHAT@WHEN, counted from when all members
receive all streams):
  relay         the member that feeds most others
  leader        the coordinator that leads
  random        any member that publishes nothing
  coordinators  all coordinators
  region        all coordinators of region r1, for good and with their data
leader and coordinators may come back: leader@15s+5s.`,
		Example: `  skein dev
  skein dev --for 30s -o json
  skein dev --members 40 --latency synthetic --for 40s --kill relay@10s,leader@15s,random@25s
  skein dev --space plaza --members 40 --walk random --for 60s
  skein dev --auto 2 --kill leader@10s --for 60s
  skein dev --processes --kill leader@10s+5s --data ./testnet`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if cfg.Uplinks, err = dev.ParseUplinks(uplinks); err != nil {
				return err
			}
			if cfg.Kills, err = dev.ParseKills(kills); err != nil {
				return err
			}
			if cfg.Shift, err = dev.ParseShift(shift); err != nil {
				return err
			}
			if cfg.Executable, err = os.Executable(); err != nil {
				return err
			}
			cfg.Logger = a.log
			if !cmd.Flags().Changed("log-level") {
				// Nodes that are killed and ended make others warn; that is
				// what a testnet is for.
				a.logLevel, cfg.Logger = "error", a.logger(slog.LevelError)
			}
			cfg.ChildArgs = []string{"--log-level", a.logLevel, "--log-format", a.logFormat}
			cfg.Progress, cfg.Terminal = a.out, terminal(a.out)
			if a.output == "json" {
				cfg.Progress, cfg.Terminal = nil, false
			}
			spareCollections()
			s, err := dev.Run(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return a.print(s, func(w io.Writer) { summary(w, s) })
		},
	}
	f := cmd.Flags()
	f.IntVar(&cfg.Coordinators, "coordinators", cfg.Coordinators, "coordinators: 1, 3, 5 or 7; with several regions 1 to 7")
	f.IntVar(&cfg.Regions, "regions", cfg.Regions, "regions from the beginning; members live in the nearest one")
	f.IntVar(&cfg.RegionMax, "region-max", 0, "members at which a region splits; below a quarter of it it merges; 0 = neither")
	f.IntVar(&cfg.Auto, "auto", 0, "members that coordinate as well when coordinators are lacking; dead ones are replaced within seconds then")
	f.DurationVar(&cfg.Arrive, "arrive", 0, "let members come one after the other over this time")
	f.DurationVar(&cfg.Depart, "depart", 0, "when --for is over, let members leave over this time until there is one region")
	f.IntVar(&cfg.Members, "members", cfg.Members, "members, publishers among them")
	f.IntVar(&cfg.Streams, "streams", cfg.Streams, "cameras, each with a publisher of its own: one large picture, or several small ones")
	f.StringVar(&cfg.Space, "space", "", "let the members walk about a space of this name, each with a voice, instead of watching cameras")
	f.StringVar(&cfg.Walk, "walk", "", "how they walk: the file of a trace (UCY), random, or stadium (default random)")
	f.IntVar(&cfg.Layers, "layers", cfg.Layers, "layers of each camera's video; the members draw one each, in turn, and the lowest")
	f.StringVar(&uplinks, "uplinks", "", "uplinks of the members that do not publish, kbit/s, in turn, or mixed (default mixed: "+rates(cfg)+")")
	f.StringVar(&cfg.LatencyFile, "latency", "", "give members real distances: a file with a matrix of RTTs in ms, or synthetic")
	f.StringVar(&shift, "latency-shift", "", "other distances later on: FILE@WHEN, e.g. after.txt@60s")
	f.DurationVar(&cfg.Duration, "for", 0, "end after this time, counted from when all members receive all streams")
	f.StringVar(&kills, "kill", "", "failures on request, e.g. relay@10s,leader@15s,random@20s")
	f.StringVar(&cfg.DataDir, "data", "", "folder that keeps the coordinators' logs and keys for the next run")
	f.StringVar(&cfg.Page, "page", cfg.Page, "address of the HTTP page; empty for none, port 0 for any")
	f.BoolVar(&cfg.Door, "door", cfg.Door, "let browsers publish and watch at the page's address, below /door/")
	f.BoolVar(&cfg.Processes, "processes", false, "run every node in a process of its own, and kill it for real")
	markPath(f, "data")
	return cmd
}

// spareCollections lets the heap grow more before it is collected, unless GOGC
// says otherwise: one process does the work of hundreds, and a testnet of 200
// members needs a quarter less CPU that way for some 200 MB.
func spareCollections() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// devNode is one node of skein dev --processes; see dev.Child.
func (a *app) devNode() *cobra.Command {
	return &cobra.Command{
		Use:    dev.ChildCommand,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Ctrl-C reaches all processes of a terminal; the parent decides.
			signal.Ignore(os.Interrupt, syscall.SIGTERM)
			return dev.Child(cmd.Context(), a.in, a.out, a.log)
		},
	}
}

func rates(cfg dev.Config) string {
	s := ""
	for i, r := range cfg.Uplinks {
		if i > 0 {
			s += ","
		}
		s += fmt.Sprint(r)
	}
	return s
}

// terminal reports whether w is one, so that it can be redrawn.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

func summary(w io.Writer, s dev.Summary) {
	row(w, "\nSTREAM", "SENT", "SUBSCRIBERS", "LEAST RECEIVED", "MOST LOST", "DUPLICATES", "DELAY p50", "p99")
	for _, r := range s.Streams {
		row(w, r.Name, r.PacketsSent, r.Subscribers, r.PacketsReceivedMin, r.PacketsLostMax, r.DuplicatesDelivered,
			millis(r.DelayMsP50), millis(r.DelayMsP99))
		for i, l := range r.Layers {
			row(w, fmt.Sprintf("  layer %d", i), r.PacketsSent, l.Subscribers, l.PacketsReceivedMin, l.PacketsMissingMax, "", "", "")
		}
	}
	if len(s.Regions) > 1 {
		row(w, "\nREGION", "GENERATION", "MEMBERS", "VISITORS", "REPLICAS", "GATEWAYS")
		for _, r := range s.Regions {
			row(w, r.ID, r.Generation, r.Members, r.Visitors, len(r.Replicas), len(r.Gateways))
		}
	}
	if b := s.Boundary; b.Splits+b.Merges > 0 {
		row(w, fmt.Sprintf("\n%d splits, nothing decided for %s at most; %d mergers, %s at most; %d regions at most",
			b.Splits, millis(b.SplitPauseMsMax), b.Merges, millis(b.MergePauseMsMax), b.RegionsMost))
	}
	if len(s.Kills) > 0 {
		row(w, "\nKILLED", "AT", "ORPHANS", "LONGEST GAP")
		for _, k := range s.Kills {
			row(w, k.What, fmt.Sprintf("%.1f s", k.AtS), k.Orphans, millis(k.GapMsMax))
		}
	}
	if p := s.Plaza; p != nil {
		row(w, "\nWHO SHOULD HEAR", "DOES", "WHO SHOULD NOT", "DOES NOT", "FIRST PACKET p50", "p95", "LOG ENTRIES/MEMBER/MIN", "CONTROL B/S")
		row(w, p.Should, fmt.Sprintf("%.2f %%", 100*p.Did), p.ShouldNot, fmt.Sprintf("%.2f %%", 100*p.DidNot), millis(p.EntryP50), millis(p.EntryP95), p.LogEntries, p.Control.Total)
	}
	a := s.Admissions
	row(w, fmt.Sprintf("\nadmissions: %d accepted, %d refused as stale, %d as full, %d by a peer; %d invariants broken",
		a.Accepted, a.RefusedStale, a.RefusedFull, a.RefusedByPeer, s.InvariantsBroken))
}
