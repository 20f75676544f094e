package region

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestPlaceIsTheBest compares the place that is chosen with every place there
// is, tried one after another with edits that know nothing of the search.
func TestPlaceIsTheBest(t *testing.T) {
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 3))
		w := newWorld(t, 16, newPlane(8, rng, 1))
		w.r.Policy.NewLink, w.r.Policy.Reserved = 0, 0
		for i := range 8 {
			w.join(i, []Rate{0, 1000, 2000, 3000}[rng.IntN(4)]+Rate(b2i(i == 0))*1000, 0)
			w.now = w.now.Add(time.Duration(rng.IntN(1000)) * time.Second)
		}
		w.publish("cam", 0, 1000)
		for i := 1; i < 8; i++ {
			least, found := w.exhaust("cam", memberID(i))
			if d := w.place("cam", i); d.OK != found {
				t.Fatalf("seed %d: a place is there: %v, given: %v\n%s", seed, found, d.OK, w.r.Describe())
			}
			if cost := w.cost("cam"); found && cost > least+time.Duration(w.r.NodeCount("cam"))*time.Microsecond {
				t.Fatalf("seed %d: %v, but another place gives %v\n%s", seed, cost, least, w.r.Describe())
			}
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// exhaust tries all places for m and returns the least cost of the tree.
func (w *world) exhaust(s StreamID, m MemberID) (least time.Duration, found bool) {
	hop := func(a, b MemberID) time.Duration { d, _ := w.rtt.RTT(a, b); return d / 2 }
	for p := range w.r.Nodes(s) {
		for _, displaced := range append([]MemberID{""}, w.r.Children(s, p.Member)...) {
			try := &world{TB: w.TB, r: w.r.Clone(), rtt: w.rtt, now: w.now}
			var edits []Edit
			for n := range w.r.Nodes(s) {
				if n.Parent != "" {
					edits = append(edits, SetStandbys{s, n.Member, nil})
				}
			}
			edits = append(edits, SetNode{s, Node{Member: m, Parent: p.Member, Layers: 1, Hop: hop(m, p.Member), State: Standing}})
			if displaced != "" {
				edits = append(edits, SetNode{s, Node{Member: displaced, Parent: m, Layers: 1, Hop: hop(m, displaced), State: Standing}})
			}
			if try.r.Apply(w.r.Revision()+1, Change{Time: w.now, Edits: edits}) != nil {
				continue
			}
			if cost := try.cost(s); !found || cost < least {
				least, found = cost, true
			}
		}
	}
	return least, found
}

// TestImproveGains checks that every move makes the tree cheaper, and that they
// come to an end.
func TestImproveGains(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 4))
		w := newWorld(t, 64, newPlane(40, rng, 1))
		for i := range 40 {
			w.join(i, []Rate{0, 2000, 4000}[rng.IntN(3)]+Rate(b2i(i == 0))*4000, 0)
		}
		w.publish("cam", 0, 1000)
		for i := 1; i < 40; i++ {
			w.place("cam", i)
		}
		idle := 0
		for moves := 0; idle < 5; moves++ {
			before := w.cost("cam")
			edits := w.r.Improve("cam", 0, w.now, time.Second, w.rtt)
			if edits == nil {
				// Others have their turn at another revision.
				idle++
				w.apply([]Edit{SetGeneration{w.r.Generation() + 1}})
				continue
			}
			idle = 0
			w.apply(edits)
			w.confirm("cam")
			if after := w.cost("cam"); after >= before || moves > 500 {
				t.Fatalf("seed %d, move %d: from %v to %v\n%s", seed, moves, before, after, w.r.Describe())
			}
		}
	}
}

// TestOnlineQuality pins how good the trees are that arise when members come
// one by one: their average delay over that of the shortest paths through any
// number of relays, which no tree can beat.
func TestOnlineQuality(t *testing.T) {
	for _, c := range []struct {
		name  string
		slots func(*rand.Rand) Rate
		most  float64
	}{
		{"4 places", func(*rand.Rand) Rate { return 4 }, 1.25},
		{"2 places", func(*rand.Rand) Rate { return 2 }, 1.45},
		{"mixed places", mixed, 1.34},
	} {
		t.Run(c.name, func(t *testing.T) {
			sum, runs := 0.0, 3
			for run := range runs {
				rng := rand.New(rand.NewPCG(uint64(run), 5))
				sum += onlineRatio(t, rng, 150, c.slots)
			}
			if ratio := sum / float64(runs); ratio > c.most {
				t.Errorf("average delay is %.3f of the bound, want at most %.3f", ratio, c.most)
			} else {
				t.Logf("average delay is %.3f of the bound", ratio)
			}
		})
	}
}

// mixed uplinks: 60 % of the members feed nobody.
func mixed(rng *rand.Rand) Rate {
	switch x := rng.Float64(); {
	case x < 0.6:
		return 0
	case x < 0.85:
		return 2
	case x < 0.95:
		return 6
	}
	return 20
}

func onlineRatio(t *testing.T, rng *rand.Rand, n int, slots func(*rand.Rand) Rate) float64 {
	p := newPlane(n, rng, 0.5)
	w := newWorld(t, n, p)
	w.r.Policy = DelayOnly()
	for i := range n {
		m := Member{ID: memberID(i), Uplink: slots(rng) * 100}
		if i == 0 {
			m.Uplink = max(m.Uplink, 400)
		}
		edits, _, err := w.r.Join(m, w.now, p)
		if err != nil {
			t.Fatal(err)
		}
		w.apply(edits)
	}
	w.publish("cam", 0, 100)
	waiting := []int{}
	arrive := func(i int) bool {
		if !w.place("cam", i).OK {
			return false
		}
		w.apply(w.r.Improve("cam", 0, w.now, time.Second, p))
		w.confirm("cam")
		return true
	}
	for i := 1; i < n; i++ {
		if !arrive(i) {
			waiting = append(waiting, i)
		}
		for len(waiting) > 0 && arrive(waiting[0]) {
			waiting = waiting[1:]
		}
	}
	if len(waiting) > 0 {
		t.Fatalf("%d members found no place", len(waiting))
	}
	var sum time.Duration
	for node := range w.r.Nodes("cam") {
		d, _ := w.r.Delay("cam", node.Member)
		sum += d
	}
	return sum.Seconds() * 1000 / shortest(p, n)
}

// shortest sums up, in ms, the shortest paths from member 0 to all others.
func shortest(p *plane, n int) (sum float64) {
	dist := make([]float64, n)
	for i := range dist {
		dist[i] = math.Inf(1)
	}
	dist[0] = 0
	open := make([]int, n)
	for i := range open {
		open[i] = i
	}
	for len(open) > 0 {
		k := 0
		for i := range open {
			if dist[open[i]] < dist[open[k]] {
				k = i
			}
		}
		u := open[k]
		open = slices.Delete(open, k, k+1)
		sum += dist[u]
		for _, v := range open {
			rtt, _ := p.RTT(memberID(u), memberID(v))
			dist[v] = min(dist[v], dist[u]+rtt.Seconds()*500)
		}
	}
	return sum
}
