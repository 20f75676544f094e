package command

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/test/bench/fanout"
	"github.com/skein-mesh/skein/test/bench/rescue"
)

func (a *app) bench() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure relays and admissions on this machine",
		Long: `Measure what relays cost, how fast they rescue a stream, and how many members
coordinators admit, on this machine over loopback. Figures are worth something
only if nothing else runs.`,
	}
	cmd.AddCommand(a.benchRelay(), a.benchFailover(), a.benchSwitch(), a.benchAdmit())
	return cmd
}

func (a *app) benchRelay() *cobra.Command {
	c := fanout.DefaultConfig()
	cmd := &cobra.Command{
		Use:   "relay",
		Short: "Measure one relay that feeds many children",
		Long: `Measure one relay, pinned to one core, that feeds many children on another core: the
processor time per packet forwarded, next to a plain UDP fan-out and to the
least that encrypted forwarding can cost (SRTP with fixed keys, sendmmsg, GSO),
in the same run, as the median of five turns; then the delays at a load of the core.
It takes three minutes. Linux, two cores.`,
		Example: `  skein bench relay --children 100 --kbps 1000 --packet 1100 -o json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if c.Executable, err = os.Executable(); err != nil {
				return err
			}
			r, err := fanout.Run(cmd.Context(), c)
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) { printFanout(w, r) })
		},
	}
	f := cmd.Flags()
	f.IntVar(&c.Children, "children", c.Children, "children of the relay")
	f.IntVar(&c.Kbps, "kbps", c.Kbps, "rate of the stream, kbit/s")
	f.IntVar(&c.FPS, "fps", c.FPS, "frames per second; the packets of a frame are sent together")
	f.IntVar(&c.Packet, "packet", c.Packet, "size of an RTP packet, bytes")
	f.DurationVar(&c.For, "for", c.For, "time of each measurement")
	f.Float64Var(&c.Load, "load", c.Load, "share of the core at which delays are measured")
	return cmd
}

func printFanout(w io.Writer, r fanout.Result) {
	row(w, "", "RELAY", "PLAIN UDP", "LIMIT")
	row(w, "us of CPU per packet", us(r.USPerPacket), us(r.UDPUSPerPacket), us(r.LimitUSPerPacket))
	row(w, "by the limit; LiveKit's, scaled, by it", fmt.Sprintf("%.2f (%.2f to %.2f); %.1f", r.OverLimit, r.OverLimitLeast, r.OverLimitMost, r.UnderLiveKit))
	row(w, "load of the core for what follows", percent(r.Load), percent(r.UDPLoad), percent(r.LimitLoad))
	row(w, "us of CPU per packet", us(r.LoadUS), "", us(r.LimitLoadUS))
	row(w, "streams at that load", r.Streams, r.UDPStreams, r.LimitStreams)
	row(w, "delay p50", millis(r.DelayP50), millis(r.UDPDelayP50), millis(r.LimitDelayP50))
	row(w, "delay p99", millis(r.DelayP99), millis(r.UDPDelayP99), millis(r.LimitDelayP99))
	row(w, "packets/s, loss", fmt.Sprintf("%.0f, %.3f %%", r.PacketsPerSecond, 100*r.Loss))
	row(w, "packets/s, loss at that load", fmt.Sprintf("%.0f, %.3f %%", r.LoadPackets, 100*r.LoadLoss))
	row(w, "allocations per packet", fmt.Sprintf("%.3f", r.AllocsPerPacket))
	row(w, "memory per idle child", fmt.Sprintf("%.0f KiB", r.RSSPerChild))
}

func percent(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }

func us(v float64) string { return fmt.Sprintf("%.2f", v) }

// benchHub is the process under test; skein bench relay starts it.
func (a *app) benchHub() *cobra.Command {
	return &cobra.Command{
		Use:    fanout.HubCommand,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(*cobra.Command, []string) error { return fanout.Main(a.in, a.out) },
	}
}

func (a *app) benchFailover() *cobra.Command {
	c := rescue.DefaultFailover()
	var rtt float64
	cmd := &cobra.Command{
		Use:   "failover",
		Short: "Kill relays and measure what their children notice",
		Long: `Kill relays (SIGKILL) that feed others a stream, one after the other, and report
for every child that lost its parent so: the longest time without a packet, and
packets that did not come within 300 ms. Children are rescued by their
standbys; no coordinator takes part.`,
		Example: `  skein bench failover --members 40 --kills 100 --rtt-ms 20 -o json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if c.Executable, err = os.Executable(); err != nil {
				return err
			}
			c.RTT = time.Duration(rtt * float64(time.Millisecond))
			r, err := rescue.Failover(cmd.Context(), c)
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) {
				row(w, "kills, orphans", fmt.Sprintf("%d, %d", r.Kills, r.Orphans))
				row(w, "gap p50, p95, p99, max", fmt.Sprintf("%.0f, %.0f, %.0f, %.0f ms", r.GapP50, r.GapP95, r.GapP99, r.GapMax))
				row(w, "packets lost after repair", r.LostAfterRepair)
				row(w, "orphans without loss", fmt.Sprintf("%.1f %%", 100*r.Unharmed))
			})
		},
	}
	f := cmd.Flags()
	f.IntVar(&c.Members, "members", c.Members, "members besides the origin; every eighth is a relay in a process of its own")
	f.IntVar(&c.Kills, "kills", c.Kills, "relays to kill; a new one takes the place each time")
	f.Float64Var(&rtt, "rtt-ms", float64(c.RTT)/1e6, "round-trip time between any two members, ms")
	f.IntVar(&c.PPS, "pps", c.PPS, "packets per second of the stream")
	return cmd
}

func (a *app) benchSwitch() *cobra.Command {
	c := rescue.DefaultSwitch()
	var rtt float64
	cmd := &cobra.Command{
		Use:     "switch",
		Short:   "Move a viewer between parents and measure what it notices",
		Example: `  skein bench switch --moves 200 -o json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.RTT = time.Duration(rtt * float64(time.Millisecond))
			r, err := rescue.Switch(cmd.Context(), c)
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) {
				row(w, "moves, packets", fmt.Sprintf("%d, %d", r.Moves, r.Received))
				row(w, "lost, reordered, keyframes wanted", fmt.Sprintf("%d, %d, %d", r.Lost, r.Reordered, r.Keyframes))
				row(w, "longest gap", millis(r.GapMax))
				row(w, "time of a move", millis(r.MoveMS))
			})
		},
	}
	f := cmd.Flags()
	f.IntVar(&c.Moves, "moves", c.Moves, "moves between the two parents")
	f.Float64Var(&rtt, "rtt-ms", float64(c.RTT)/1e6, "round-trip time between any two members, ms")
	return cmd
}

// benchNode is a relay that skein bench failover starts and kills.
func (a *app) benchNode() *cobra.Command {
	return &cobra.Command{
		Use:    rescue.RelayCommand,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(*cobra.Command, []string) error { return rescue.Main(a.in, a.out) },
	}
}
