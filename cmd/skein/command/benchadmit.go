package command

import (
	"fmt"
	"io"
	"sync"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/test/bench/admit"
)

// benchAdmitFlags are the settings of both measurements.
type benchAdmitFlags struct {
	crowd   admit.Crowd
	contest admit.Contest
	vsEtcd  bool
}

func (a *app) benchAdmit() *cobra.Command {
	f := benchAdmitFlags{crowd: admit.DefaultCrowd(), contest: admit.Contest{Rate: admit.DefaultRate(), Rounds: 3}}
	cmd := &cobra.Command{
		Use:   "admit",
		Short: "Measure how a cluster admits members",
		Long: `Measure how a cluster admits members: coordinators on loopback with their logs on
disk, and members that ask over mutual TLS, all in this process.

Without --vs-etcd a crowd comes: members arrive within a few seconds, join, open
a session, ask for a view, propose a place in one tree and confirm it. Times count
from arrival to answer; afterwards every replica is searched for what was
acknowledged.

With --vs-etcd members ask for one place after the other as fast as they are
answered, and then as many clients put values into etcd, with as many replicas,
on the same disk. etcd is a module of its own (test/bench/etcd) and a process of
its own; it is built in the source tree unless --etcd names it.`,
		Example: `  skein bench admit --members 2000 --within 5s --region-max 4096
  skein bench admit --vs-etcd -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.vsEtcd {
				return a.admitVsEtcd(cmd, f)
			}
			return a.admitCrowd(cmd, f)
		},
	}
	c := cmd.Flags()
	c.IntVar(&f.crowd.Members, "members", f.crowd.Members, "members that come")
	c.DurationVar(&f.crowd.Within, "within", f.crowd.Within, "time in which they come")
	c.IntVar(&f.crowd.RegionMax, "region-max", f.crowd.RegionMax, "most members of the region")
	c.IntVar(&f.crowd.Coordinators, "coordinators", f.crowd.Coordinators, "replicas of the region's group")
	c.Uint64Var(&f.crowd.Seed, "seed", f.crowd.Seed, "seed of who comes when and from where")
	c.StringVar(&f.crowd.Dir, "dir", "", "folder for the logs, on the disk to measure (default the system's for temporary files)")
	c.BoolVar(&f.vsEtcd, "vs-etcd", false, "measure admissions per second, and puts of etcd beside them")
	c.StringVar(&f.contest.Program, "etcd", "", "the program of test/bench/etcd (default: build it)")
	c.BoolVar(&f.contest.TLS, "etcd-tls", false, "have etcd encrypt its connections, as Skein always does")
	c.IntVar(&f.contest.Clients, "clients", f.contest.Clients, "with --vs-etcd: clients that ask at the same time")
	c.IntVar(&f.contest.AtOnce, "at-once", f.contest.AtOnce, "with --vs-etcd: places that each client asks for at a time, as who begins to watch a call does")
	c.IntVar(&f.contest.Rounds, "rounds", f.contest.Rounds, "with --vs-etcd: rounds, of which medians are reported")
	c.DurationVar(&f.contest.Duration, "for", f.contest.Duration, "with --vs-etcd: time of each measurement")
	c.BoolVar(&f.contest.Sessions, "sessions", false, "with --vs-etcd: hold sessions, in which roles are told and places confirmed")
	markPath(c, "dir", "etcd")
	return cmd
}

func (a *app) admitCrowd(cmd *cobra.Command, f benchAdmitFlags) error {
	var mu sync.Mutex // progress comes from every member
	shown := 0
	r, err := admit.RunCrowd(cmd.Context(), f.crowd, func(done int) {
		mu.Lock()
		defer mu.Unlock()
		if percent := 100 * done / f.crowd.Members; percent >= shown+5 {
			shown = percent
			fmt.Fprintf(a.err, "\r%3d %% answered", percent)
			if done == f.crowd.Members {
				fmt.Fprintln(a.err)
			}
		}
	})
	if err != nil {
		return err
	}
	return a.print(r, func(w io.Writer) {
		row(w, "members", fmt.Sprintf("%d within %.1f s, region of at most %d, %d replicas", r.Members, r.WithinS, r.RegionMax, r.Replicas))
		row(w, "answered", fmt.Sprintf("%d: %d placed, %d refused; %d failed", r.Answered, r.Placed, r.Refused, r.Failed))
		row(w, "lost", r.Lost)
		row(w, "arrival to answer", fmt.Sprintf("p50 %s, p90 %s, p99 %s, longest %s", millis(r.P50MS), millis(r.P90MS), millis(r.P99MS), millis(r.MaxMS)))
		row(w, "admissions per second", fmt.Sprintf("%.0f", r.AdmissionsPerS))
		row(w, "retries", r.Retries)
		row(w, "depth of the tree", r.TreeDepth)
		if r.InvariantBroken != "" {
			row(w, "BROKEN", r.InvariantBroken)
		}
		if r.FirstFailure != "" {
			row(w, "a failure", r.FirstFailure)
		}
	})
}

func (a *app) admitVsEtcd(cmd *cobra.Command, f benchAdmitFlags) error {
	f.contest.Coordinators, f.contest.Dir = f.crowd.Coordinators, f.crowd.Dir
	r, err := admit.RunContest(cmd.Context(), f.contest, func(what string, round int) {
		if round > 0 {
			what = fmt.Sprintf("round %d of %d: %s", round, f.contest.Rounds, what)
		}
		fmt.Fprintln(a.err, what)
	})
	if err != nil {
		return err
	}
	return a.print(r, func(w io.Writer) {
		row(w, "", "PER SECOND", "P50", "P99")
		row(w, "admissions", fmt.Sprintf("%.0f", r.AdmissionsPerS), millis(r.P50MS), millis(r.P99MS))
		row(w, "puts of etcd "+r.EtcdVersion, fmt.Sprintf("%.0f", r.EtcdPutsPerS), millis(r.EtcdP50MS), millis(r.EtcdP99MS))
		row(w, "admissions over puts", fmt.Sprintf("%.2f", r.AdmissionsToPut))
		row(w, "lost", r.Lost)
	})
}
