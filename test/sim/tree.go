package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
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
	// Bend makes worlds that nobody has seen: the spread of the factors that the
	// RTTs are multiplied by, 0 to 0.7.
	Bend float64
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
	case c.Bend < 0 || c.Bend > mostBent:
		return fmt.Errorf("bend %g: want 0 to %g", c.Bend, mostBent)
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

// comparators are the other algorithms, by name.
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
	w := &World{RTT: bent(rtt, c.Bend, rng), Forward: c.Hop}
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
				if left := trees[s].without(s); left > 0 {
					return TreeRun{}, fmt.Errorf("%s leaves %d members without a place", a.name, left)
				}
			}
			run.Algorithms[a.name] = w.judgeAll(trees, bounds, time.Since(start))
		}
	}
	if slices.Contains(c.Algorithms, online) || slices.Contains(c.Algorithms, planned) {
		err = c.runLive(w, bounds, rng, run.Algorithms)
	}
	return run, err
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
