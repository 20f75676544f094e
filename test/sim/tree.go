package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg"
	"github.com/skein-mesh/skein/reorg/forest"
)

// A TreeConfig says which trees to build and compare.
type TreeConfig struct {
	// RTT is a matrix file or line, grid, clusters, powerlaw.
	RTT string
	// Members of a generated world, or how many of a file are used; 0 = all of a
	// file, 256 generated ones.
	Members int
	// Slots is a number, "mixed", or a file with one number per member.
	Slots string
	// Hop is the forwarding time of every member, in ms.
	Hop float64
	// Streams are published at once, by different members, and everybody draws
	// all of them. Every member's uplink is Slots x Streams.
	Streams int
	// Knowledge is "all", or "measured": members and coordinators know only what
	// was probed and guess the rest by coordinates.
	Knowledge string
	// Runs on different origins (files) or worlds (generated), from Seed on.
	Runs int
	Seed uint64
	// Algorithms to compare, by name; empty = all.
	Algorithms []string
}

// DefaultTreeConfig compares everything on a clustered world.
func DefaultTreeConfig() TreeConfig {
	return TreeConfig{RTT: Clusters, Slots: "4", Streams: 1, Knowledge: "all", Runs: 10, Seed: 1}
}

func (c TreeConfig) validate() error {
	switch {
	case c.Members < 0 || c.Members == 1 || c.Members > region.MaxMembers:
		return fmt.Errorf("members %d: want 2 to %d", c.Members, region.MaxMembers)
	case c.Hop < 0 || c.Hop > 1000:
		return fmt.Errorf("hop %g ms: want 0 to 1000", c.Hop)
	case c.Streams < 1 || c.Streams > 64:
		return fmt.Errorf("streams %d: want 1 to 64", c.Streams)
	case c.Runs < 1 || c.Runs > 10000:
		return fmt.Errorf("runs %d: want 1 to 10000", c.Runs)
	case c.Knowledge != "all" && c.Knowledge != "measured":
		return fmt.Errorf("knowledge %q: want all or measured", c.Knowledge)
	}
	for _, name := range c.Algorithms {
		if !slices.Contains(Algorithms(), name) {
			return fmt.Errorf("algorithm %q: want some of %v", name, Algorithms())
		}
	}
	return nil
}

// The two ways in which the product itself builds trees.
const (
	online  = "skein-online"
	planned = "skein-planned"
)

// comparators by name. slots is 1 for those that need room, 0 for those that
// ignore it.
var comparators = []struct {
	name  string
	build func(w *World, origin int, rng *rand.Rand) outcome
}{
	{"ct", func(w *World, o int, _ *rand.Rand) outcome { return treeOf(compactTree(w, o, 0), 0) }},
	{"ctcap", func(w *World, o int, _ *rand.Rand) outcome { return treeOf(compactTree(w, o, favour), 0) }},
	{"ct+ls", func(w *World, o int, _ *rand.Rand) outcome { return searched(compactTree(w, o, 0)) }},
	{"hourly-rebuild", func(w *World, o int, _ *rand.Rand) outcome { return searched(compactTree(w, o, favour)) }},
	{"single-sfu", func(w *World, o int, _ *rand.Rand) outcome { return w.bestServer(o) }},
	{"full-mesh", func(w *World, o int, _ *rand.Rand) outcome { return w.fullMesh(o) }},
	{"random", grown(randomTree)},
	{"nearest", grown(nearestTree)},
	{"min-depth", grown(shallowTree)},
	{"greedy", grown(greedyTree)},
	{"greedy+displacement", grown(displacingTree)},
}

// favour is how much compact trees prefer members with many slots.
const favour = 0.5

func searched(f *forest.Forest) outcome {
	steps := localSearch(f)
	return treeOf(f, steps)
}

func grown(build func(*World, int, *rand.Rand) *forest.Forest) func(*World, int, *rand.Rand) outcome {
	return func(w *World, o int, rng *rand.Rand) outcome { return treeOf(build(w, o, rng), 0) }
}

// Algorithms lists all names that TreeConfig knows.
func Algorithms() []string {
	names := []string{online, planned}
	for _, c := range comparators {
		names = append(names, c.name)
	}
	return names
}

// A TreeRun is one origin of one world, with what each algorithm made of it.
type TreeRun struct {
	N          int               `json:"n"`
	BoundAvg   float64           `json:"bound_avg_ms"`
	BoundMax   float64           `json:"bound_max_ms"`
	BoundRelay float64           `json:"bound_relay_avg_ms"`
	DirectAvg  float64           `json:"direct_avg_ms"`
	Algorithms map[string]Result `json:"algorithms"`
	world      *World
}

// A TreeReport holds the means over all runs, and the runs.
type TreeReport struct {
	TreeRun
	Runs []TreeRun `json:"runs"`
}

// CompareTrees builds the trees that c asks for.
func CompareTrees(c TreeConfig) (*TreeReport, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if len(c.Algorithms) == 0 {
		c.Algorithms = Algorithms()
	}
	report := &TreeReport{}
	for k := range c.Runs {
		run, err := c.run(rand.New(rand.NewPCG(c.Seed, uint64(k))))
		if err != nil {
			return nil, fmt.Errorf("run %d, seed %d: %w", k+1, c.Seed, err)
		}
		report.Runs = append(report.Runs, run)
	}
	report.TreeRun = meanRun(report.Runs, c.Algorithms)
	return report, nil
}

func (c TreeConfig) run(rng *rand.Rand) (TreeRun, error) {
	rtt, err := LoadRTT(c.RTT, c.Members, rng)
	if err != nil {
		return TreeRun{}, err
	}
	w := &World{RTT: rtt, Forward: c.Hop}
	if w.Slots, err = Slots(c.Slots, len(rtt), c.Streams, rng); err != nil {
		return TreeRun{}, err
	}
	if c.Streams > w.Size() {
		return TreeRun{}, fmt.Errorf("%d streams of %d members", c.Streams, w.Size())
	}
	if err := w.check(); err != nil {
		return TreeRun{}, err
	}
	bounds := make([]Bounds, c.Streams)
	run := TreeRun{N: w.Size(), Algorithms: make(map[string]Result), world: w}
	for s := range bounds {
		bounds[s] = w.Bound(s, c.Streams)
		run.BoundAvg += bounds[s].Avg / float64(c.Streams)
		run.BoundMax += bounds[s].Max / float64(c.Streams)
		run.BoundRelay += bounds[s].Relay / float64(c.Streams)
		run.DirectAvg += bounds[s].Direct / float64(c.Streams)
	}
	for _, a := range comparators {
		if slices.Contains(c.Algorithms, a.name) {
			start := time.Now()
			var trees []outcome
			for s := range bounds {
				trees = append(trees, a.build(w, s, rng))
			}
			run.Algorithms[a.name] = w.judgeAll(trees, bounds, time.Since(start))
		}
	}
	if slices.Contains(c.Algorithms, online) || slices.Contains(c.Algorithms, planned) {
		err = c.runLive(w, bounds, rng, run.Algorithms)
	}
	return run, err
}

// judgeAll is the mean over the trees of several streams.
func (w *World) judgeAll(trees []outcome, bounds []Bounds, cpu time.Duration) Result {
	results := make([]Result, len(trees))
	for s, o := range trees {
		results[s] = w.judge(o, s, bounds[s])
	}
	r := meanResult(results)
	r.CPUMS = float64(cpu) / float64(time.Millisecond)
	return r
}

// check says whether a tree over all members is possible at all.
func (w *World) check() error {
	places := 0
	for _, s := range w.Slots {
		places += s
	}
	if places < w.Size()-1 {
		return fmt.Errorf("%d slots for %d members: no tree is possible", places, w.Size())
	}
	return nil
}

func meanResult(results []Result) Result {
	n := float64(len(results))
	mean := Result{parents: results[0].parents}
	for _, r := range results {
		mean.AvgOverBound += r.AvgOverBound / n
		mean.MaxOverBound += r.MaxOverBound / n
		mean.AvgMS += r.AvgMS / n
		mean.P95MS += r.P95MS / n
		mean.MaxMS += r.MaxMS / n
		mean.DepthMax += r.DepthMax / n
		mean.Moves += r.Moves / n
		mean.CPUMS += r.CPUMS / n
		mean.delays = append(mean.delays, r.delays...)
	}
	slices.Sort(mean.delays)
	return mean
}

func meanRun(runs []TreeRun, names []string) TreeRun {
	n := float64(len(runs))
	mean := TreeRun{N: runs[0].N, Algorithms: make(map[string]Result), world: runs[0].world}
	for _, r := range runs {
		mean.BoundAvg += r.BoundAvg / n
		mean.BoundMax += r.BoundMax / n
		mean.BoundRelay += r.BoundRelay / n
		mean.DirectAvg += r.DirectAvg / n
	}
	for _, name := range names {
		results := make([]Result, len(runs))
		for i, r := range runs {
			results[i] = r.Algorithms[name]
		}
		mean.Algorithms[name] = meanResult(results)
	}
	return mean
}

// Pace of a measured world: a member joins every second, gossip goes on for ten
// minutes after the last, then the leader plans, a few rounds, since every edge
// it tries is measured by that.
const (
	secondsPerJoin  = 1
	secondsToPlan   = 600
	planningRounds  = 3
	onlineThreshold = 0
)

// runLive lets members join one by one and improve, then plans.
func (c TreeConfig) runLive(w *World, bounds []Bounds, rng *rand.Rand, results map[string]Result) error {
	var rtt region.RTT = Omniscience{w}
	if c.Knowledge == "measured" {
		m, err := NewMeasurements(w, rng)
		if err != nil {
			return err
		}
		rtt = m
	}
	l := w.live(region.DelayOnly(), rtt)
	l.minGain = onlineThreshold
	start := time.Now()
	streams := make([]region.StreamID, len(bounds))
	for s := range streams {
		streams[s] = region.StreamID(fmt.Sprintf("stream-%02d", s))
	}
	if err := l.joinAll(streams, rng); err != nil {
		return err
	}
	results[online] = w.judgeAll(l.trees(streams), bounds, time.Since(start))
	if !slices.Contains(c.Algorithms, planned) {
		return nil
	}
	if l.measured != nil {
		l.measured.Gossip(secondsToPlan)
	}
	l.relocations = 0
	start = time.Now()
	for range planningRounds {
		done, _, err := l.plan(reorg.Unlimited(), rng)
		if err != nil {
			return err
		}
		if done == 0 || l.measured == nil && len(streams) == 1 {
			break
		}
	}
	results[planned] = w.judgeAll(l.trees(streams), bounds, time.Since(start))
	return nil
}

func (l *live) trees(streams []region.StreamID) []outcome {
	trees := make([]outcome, len(streams))
	for s, stream := range streams {
		trees[s] = l.tree(stream)
	}
	return trees
}

// joinAll lets the origins publish and all others join in random order.
func (l *live) joinAll(streams []region.StreamID, rng *rand.Rand) error {
	for s, stream := range streams {
		if err := l.join(s, len(streams)); err != nil {
			return err
		}
		if err := l.publish(stream, s); err != nil {
			return err
		}
	}
	waiting := make(map[[2]int]bool)
	for _, v := range rng.Perm(l.w.Size()) {
		if v >= len(streams) {
			if err := l.join(v, len(streams)); err != nil {
				return err
			}
		}
		if l.measured != nil {
			l.measured.Gossip(secondsPerJoin)
		}
		l.now = l.now.Add(secondsPerJoin * time.Second)
		for s, stream := range streams {
			if v == s {
				continue
			}
			if err := l.enter(stream, v, s, waiting); err != nil {
				return err
			}
		}
	}
	return l.retry(streams, waiting)
}

// enter admits v, or lets it wait if it is refused.
func (l *live) enter(stream region.StreamID, v, s int, waiting map[[2]int]bool) error {
	d, err := l.admit(stream, v)
	if err != nil {
		return err
	}
	if !d.OK {
		waiting[[2]int{v, s}] = true
		return nil
	}
	return l.improve(stream)
}

// retry admits those who were refused for want of room.
func (l *live) retry(streams []region.StreamID, waiting map[[2]int]bool) error {
	for v := range l.w.Size() {
		for s, stream := range streams {
			if !waiting[[2]int{v, s}] {
				continue
			}
			d, err := l.admit(stream, v)
			if err != nil {
				return err
			}
			if !d.OK {
				return fmt.Errorf("member %d is refused a place in %s: %v", v, stream, d.Refusals)
			}
			if err := l.improve(stream); err != nil {
				return err
			}
		}
	}
	return nil
}
