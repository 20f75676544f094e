package planet

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// A Report is what came of one world.
type Report struct {
	Members   int     `json:"members"`
	Regions   int     `json:"regions"`
	DurationS float64 `json:"duration_s"`
	Seed      uint64  `json:"seed"`
	// Last is the world at the end; the averages are over the samples of the watch.
	Last      Sample  `json:"last"`
	AvgMS     float64 `json:"delay_avg_ms"`
	OverBound float64 `json:"delay_over_bound"`
	Stretch   float64 `json:"stretch"`
	Load      float64 `json:"relay_load"`
	// What happened during the watch.
	Joins       int     `json:"joins"`
	Leaves      int     `json:"leaves"`
	Crashes     int     `json:"crashes"`
	Admissions  int     `json:"admissions"`
	Refusals    int     `json:"refusals"`
	Improved    int     `json:"improving_moves"`
	Planned     int     `json:"planned_moves"`
	Orphans     int     `json:"orphans"`
	ByStandby   int     `json:"repaired_by_standby"`
	ByCoord     int     `json:"repaired_by_coordinators"`
	CutOff      int     `json:"cut_off"`
	StandbyRate float64 `json:"repaired_by_standby_share"`
	GapP50MS    float64 `json:"gap_p50_ms"`
	GapP99MS    float64 `json:"gap_p99_ms"`
	// AdmitP50MS and AdmitP99MS are from a newcomer's first question to its answer.
	AdmitP50MS float64 `json:"admission_p50_ms"`
	AdmitP99MS float64 `json:"admission_p99_ms"`
	// ControlPerMember is in bytes per second and member, gossip included;
	// ControlPerCoordinator is in bytes per second and coordinator: with the members
	// and replicas of the region it leads, as a replica of two others
	// (ReplicationPerCoordinator, both), and with all other coordinators about the
	// regions there are (DirectoryPerCoordinator).
	ControlPerMember          float64 `json:"control_bytes_per_member_s"`
	ControlPerCoordinator     float64 `json:"control_bytes_per_coordinator_s"`
	ReplicationPerCoordinator float64 `json:"replication_bytes_per_coordinator_s"`
	DirectoryPerCoordinator   float64 `json:"directory_bytes_per_coordinator_s"`
	// DescriptorBytes is the mean size of what the world knows of a region.
	DescriptorBytes float64 `json:"descriptor_bytes"`
	// Splits and merges since the beginning, members rehomed by them.
	Splits  int      `json:"splits"`
	Merges  int      `json:"merges"`
	Rehomed int      `json:"rehomed"`
	Broken  string   `json:"invariant_broken,omitempty"`
	Samples []Sample `json:"samples"`
	// Cost is the only part that differs from run to run.
	Cost Cost `json:"cost"`
}

// A Cost is what a simulation took.
type Cost struct {
	WallS      float64 `json:"wall_s"`
	CPUS       float64 `json:"cpu_s"`
	HeapMiB    float64 `json:"heap_mib"`
	PeakRSSMiB float64 `json:"peak_rss_mib"`
	// RegionKiB is what is held per region at the end, its members' records in the
	// model included; CoordinatorMiB is three of those and all descriptors.
	RegionKiB      float64 `json:"region_kib"`
	CoordinatorMiB float64 `json:"coordinator_mib"`
	Workers        int     `json:"workers"`
}

// A Progress is how far a simulation has come.
type Progress struct {
	// Done is the share of the simulated time that is over, Now what is done.
	Done    float64
	Now     string
	Members int
	Regions int
}

// Run simulates the world of c. progress is told after every epoch; it may be nil.
func Run(ctx context.Context, c Config, progress func(Progress)) (*Report, error) {
	begun, cpu := time.Now(), processor()
	// Most of what is allocated is garbage at once, and memory is plenty.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	before := heldMemory()
	w, err := newWorld(c)
	if err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(Progress) {}
	}
	h := &history{w: w, progress: progress, total: comingTime(c) + settling + c.Duration}
	if err := h.gather(ctx); err != nil {
		return nil, fmt.Errorf("seed %d: %w", c.Seed, err)
	}
	r, err := h.watch(ctx)
	if err != nil {
		return nil, fmt.Errorf("seed %d: %w", c.Seed, err)
	}
	wall, used, peak := time.Since(begun).Seconds(), processor()-cpu, peakMemory()
	held := max(heldMemory()-before, 0) / float64(max(r.Regions, 1))
	runtime.KeepAlive(w)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.Cost = Cost{
		WallS: wall, CPUS: used, HeapMiB: float64(m.HeapSys) / (1 << 20), PeakRSSMiB: peak, Workers: w.workers,
		RegionKiB: held / (1 << 10), CoordinatorMiB: (replicas*held + 2*float64(r.Regions)*r.DescriptorBytes) / (1 << 20),
	}
	return r, nil
}

// A history plays a world and keeps what is reported.
type history struct {
	w        *World
	progress func(Progress)
	total    time.Duration
	report   Report
	// session and gossip are what members said while nothing happened, in bytes,
	// and seconds the sum of the times they were there.
	session, gossip, seconds float64
	regionSeconds            float64
}

// comingTime is how long it takes until all have come.
func comingTime(c Config) time.Duration {
	t := time.Duration(0)
	for n := 0; n < c.Members; t += epochLength {
		n += newcomers(n)
	}
	return t
}

func newcomers(present int) int { return max(leastGrowth, int(growth*float64(present))) }

// gather lets the members come.
func (h *history) gather(ctx context.Context) error {
	h.w.growing = true
	defer func() { h.w.growing = false }()
	for range int(comingTime(h.w.cfg) / epochLength) {
		n := h.w.members()
		if err := h.epoch(ctx, "members come", min(newcomers(n), h.w.cfg.Members-n)); err != nil {
			return err
		}
	}
	for range int(settling / epochLength) {
		if err := h.epoch(ctx, "settling", h.w.cfg.Members-h.w.members()); err != nil {
			return err
		}
	}
	return nil
}

func (h *history) epoch(ctx context.Context, what string, newcomers int) error {
	if err := h.w.epoch(ctx, max(newcomers, 0)); err != nil {
		return err
	}
	regions := 0
	for _, r := range h.w.realms {
		if r != nil {
			regions++
			session, gossip := idleBytes(r.members())
			present := epochLength.Seconds() * float64(r.members())
			h.session += session * present
			h.gossip += gossip * present
		}
	}
	n := h.w.members()
	h.seconds += float64(n) * epochLength.Seconds()
	h.regionSeconds += float64(regions) * epochLength.Seconds()
	h.progress(Progress{Done: min(h.w.now.Sub(h.w.begun).Seconds()/h.total.Seconds(), 1), Now: what, Members: n, Regions: regions})
	return nil
}

// watch lets whoever leaves be followed by another one, and counts.
func (h *history) watch(ctx context.Context) (*Report, error) {
	h.session, h.gossip, h.seconds, h.regionSeconds = 0, 0, 0, 0
	before := h.w.counts()
	last, splits, merges := before, h.w.splits, h.w.merges
	r := &h.report
	for t := time.Duration(0); t < h.w.cfg.Duration; t += epochLength {
		if err := h.epoch(ctx, "watching", h.w.cfg.Members-h.w.members()); err != nil {
			return nil, err
		}
		if (t+epochLength)%h.w.cfg.Sample.Truncate(epochLength) != 0 && t+epochLength < h.w.cfg.Duration {
			continue
		}
		s, err := h.w.sample(ctx)
		if err != nil {
			return nil, err
		}
		now := h.w.counts()
		since := now.less(last)
		s.Orphans, s.ByStandby, s.Refused = since.orphans, since.byStandby, since.refused
		s.Splits, s.Merges = h.w.splits-splits, h.w.merges-merges
		last, splits, merges = now, h.w.splits, h.w.merges
		r.Samples = append(r.Samples, s)
	}
	h.conclude(h.w.counts().less(before))
	return r, h.check(ctx)
}

// counts is what happened in the whole world since the beginning.
func (w *World) counts() counts {
	c := w.done
	for _, r := range w.realms {
		if r != nil {
			c.add(&r.counts)
		}
	}
	return c
}

func (h *history) conclude(c counts) {
	r, w := &h.report, h.w
	r.Seed, r.DurationS = w.cfg.Seed, w.cfg.Duration.Seconds()
	r.Last = r.Samples[len(r.Samples)-1]
	r.Members, r.Regions = r.Last.Members, r.Last.Regions
	n := float64(len(r.Samples))
	for _, s := range r.Samples {
		r.AvgMS += s.AvgMS / n
		r.OverBound += s.OverBound / n
		r.Stretch += s.Stretch / n
		r.Load += s.Load / n
	}
	r.Joins, r.Leaves, r.Crashes = c.joined, c.left, c.crashed
	r.Admissions, r.Refusals, r.Improved, r.Planned = c.admitted, c.refused, c.improved, c.planned
	r.Orphans, r.ByStandby, r.ByCoord, r.CutOff = c.orphans, c.byStandby, c.byCoordinator, c.cutOff
	r.StandbyRate = 1
	if c.orphans > 0 {
		r.StandbyRate = float64(c.byStandby) / float64(c.orphans)
	}
	r.GapP50MS, r.GapP99MS = c.gaps.quantile(0.5), c.gaps.quantile(0.99)
	r.AdmitP50MS, r.AdmitP99MS = c.asked.quantile(0.5), c.asked.quantile(0.99)
	session := float64(c.bytes) + h.session
	r.ControlPerMember = (session + float64(c.gossip) + h.gossip) / h.seconds
	// What a leader sends to its followers, those of two other leaders receive.
	r.ReplicationPerCoordinator = 2 * (replicas - 1) * float64(c.edits*bytesEdit+2*c.entries*frame) / h.regionSeconds
	if c.announced > 0 && r.Regions > 1 {
		r.DescriptorBytes = float64(c.descriptors) / float64(c.announced)
		r.DirectoryPerCoordinator = directoryBytes(r.Regions, float64(c.announced)/r.DurationS, r.DescriptorBytes)
	}
	r.ControlPerCoordinator = session/h.regionSeconds + r.ReplicationPerCoordinator + r.DirectoryPerCoordinator
	r.Splits, r.Merges, r.Rehomed = w.splits, w.merges, w.rehomed
}

// check verifies the invariants of every region.
func (h *history) check(ctx context.Context) error {
	err := h.w.each(ctx, len(h.w.realms), func(i int) error {
		if r := h.w.realms[i]; r != nil {
			if err := r.region.Check(); err != nil {
				return fmt.Errorf("realm %d: %w", r.id, err)
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		h.report.Broken = err.Error()
		return nil
	}
	return err
}

// heldMemory is the heap in use, in bytes.
func heldMemory() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// processor is the CPU time of this process, in s.
func processor() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// peakMemory is the most memory this process ever held, in MiB.
func peakMemory() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Maxrss) / 1024
}
