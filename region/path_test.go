package region

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestMembersChooseAsWell: the place that a member finds by itself, by its view
// and Rank, is as good as the one that coordinators would choose for it, also in
// trees of which it sees only a part.
func TestMembersChooseAsWell(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 12))
		n := 150
		w := newWorld(t, n, newPlane(n, rng, 0.5))
		w.r.Policy.NewLink, w.r.Policy.Reserved = 0, 0 // Rank knows of neither
		for i := range n {
			w.join(i, mixed(rng)*100+Rate(b2i(i == 0))*400, 0)
		}
		w.publish("cam", 0, 100)
		placed := 0
		for i := 1; i < n; i++ {
			own, chosen := w.fork(), w.fork()
			d := own.propose("cam", memberID(i))
			if e := chosen.place("cam", i); e.OK != d.OK {
				t.Fatalf("seed %d: %s finds a place: %v, is given one: %v", seed, memberID(i), d.OK, e.OK)
			} else if !e.OK {
				continue
			}
			placed++
			slack := time.Duration(w.r.NodeCount("cam")+1) * time.Microsecond
			if a, b := own.cost("cam"), chosen.cost("cam"); a > b+slack {
				t.Errorf("seed %d: the tree costs %v where %s finds its place, %v where it is given one", seed, a, memberID(i), b)
			}
			*w = *chosen
		}
		if placed < 2*MaxCandidates {
			t.Errorf("seed %d: only %d members placed, all of them saw the whole tree", seed, placed)
		}
	}
}

// fork is a copy of w that goes its own way.
func (w *world) fork() *world {
	c := *w
	c.r = w.r.Clone()
	return &c
}

// propose lets m ask for a place in s the way members do.
func (w *world) propose(s StreamID, m MemberID) Decision {
	w.Helper()
	v, err := w.r.View(s, m, AllLayers, w.rtt)
	if err != nil {
		w.Fatal(err)
	}
	known := func(other MemberID) (time.Duration, bool) { return w.rtt.RTT(m, other) }
	self := Self{ID: m, Free: w.r.Free(m), Layers: AllLayers, Forward: DefaultForward}
	if x, ok := w.r.Member(m); ok {
		self.Forward = x.Forward
	}
	d := w.admit(Admission{Stream: s, Child: m, Cause: Joining, Proposals: Rank(&v, self, known, nil)})
	w.confirm(s)
	return d
}
