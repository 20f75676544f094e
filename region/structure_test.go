package region

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// small is a region with a tree of four: 0 feeds 1 and 2, 1 feeds 3.
func small(t testing.TB) *world {
	w := newWorld(t, 8, newPlane(8, rand.New(rand.NewPCG(1, 2)), 0))
	for i := range 5 {
		w.join(i, 2000, 0)
	}
	w.publish("cam", 0, 1000)
	for _, edge := range [][2]int{{1, 0}, {2, 0}, {3, 1}} {
		p := Proposal{Parent: memberID(edge[1]), ParentDelay: time.Second}
		w.admit(Admission{Stream: "cam", Child: memberID(edge[0]), Cause: Joining, Proposals: []Proposal{p}})
		w.confirm("cam")
	}
	return w
}

func TestClonesAreIndependent(t *testing.T) {
	w := small(t)
	before := w.r.Describe()
	var wg sync.WaitGroup
	for i := range 4 {
		c := w.r.Clone()
		wg.Go(func() {
			for range 50 {
				edits, err := c.Leave(memberID(1+i%3), 0, w.now, w.rtt)
				if err == nil {
					err = c.Apply(c.Revision()+1, Change{Edits: edits})
				}
				if err == nil {
					edits, _, err = c.Join(Member{ID: memberID(1 + i%3), Uplink: 2000}, w.now, w.rtt)
				}
				if err == nil {
					err = c.Apply(c.Revision()+1, Change{Edits: edits})
				}
				if err == nil {
					err = c.Check()
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if w.r.Describe() != before {
		t.Errorf("the original has changed:\n%s", w.r.Describe())
	}
}

func TestApplyIsAllOrNothing(t *testing.T) {
	w := small(t)
	hash := w.r.Hash()
	good := []Edit{DropNode{"cam", memberID(3)}, PutMember{Member{ID: "late", Lease: 99, Uplink: 1}}}
	for name, bad := range map[string]Edit{
		"a loop":         SetNode{"cam", Node{Member: memberID(1), Parent: memberID(1), Layers: 1, State: Standing}},
		"too much":       SetNode{"cam", Node{Member: memberID(4), Parent: "late", Layers: 1, State: Standing}},
		"an old lease":   PutMember{Member{ID: memberID(4), Lease: 1}},
		"no such stream": DropStream{"none"},
		"an odd edit":    nil,
	} {
		clear := SetStandbys{"cam", memberID(2), nil}
		err := w.r.Apply(w.r.Revision()+1, Change{Edits: append(slices.Clone([]Edit{clear, SetStandbys{"cam", memberID(1), nil}}), append(good, bad)...)})
		if err == nil {
			t.Errorf("%s was applied", name)
		}
		if w.r.Hash() != hash {
			t.Fatalf("%s: refused (%v), but something has changed:\n%s", name, err, w.r.Describe())
		}
	}
	if err := w.r.Apply(w.r.Revision(), Change{}); !errors.Is(err, ErrRevision) {
		t.Errorf("the same revision again: %v", err)
	}
}

func TestLoadRefusesWhatIsBroken(t *testing.T) {
	w := small(t)
	for name, spoil := range map[string]func(*Snapshot){
		"generation":     func(s *Snapshot) { s.Generation = 0 },
		"limit":          func(s *Snapshot) { s.MaxMembers = 2 },
		"no limit":       func(s *Snapshot) { s.MaxMembers = 0 },
		"member twice":   func(s *Snapshot) { s.Members[1] = s.Members[0] },
		"lease":          func(s *Snapshot) { s.LastLease = 1 },
		"no lease":       func(s *Snapshot) { s.Members[0].Lease = 0 },
		"uplink":         func(s *Snapshot) { s.Members[0].Uplink = 1 },
		"origin":         func(s *Snapshot) { s.Trees[0].Stream.Origin = "nobody" },
		"node twice":     func(s *Snapshot) { s.Trees[0].Nodes = append(s.Trees[0].Nodes, s.Trees[0].Nodes[1]) },
		"no parent":      func(s *Snapshot) { s.Trees[0].Nodes[1].Parent = "" },
		"foreign parent": func(s *Snapshot) { s.Trees[0].Nodes[1].Parent = memberID(4) },
		"loop":           func(s *Snapshot) { s.Trees[0].Nodes[1].Parent = s.Trees[0].Nodes[2].Member },
		"standby":        func(s *Snapshot) { s.Trees[0].Nodes[1].Standbys = []MemberID{memberID(0)} },
		"stream twice":   func(s *Snapshot) { s.Trees = append(s.Trees, s.Trees[0]) },
	} {
		s := w.r.Snapshot()
		s.Members = slices.Clone(s.Members)
		s.Trees = slices.Clone(s.Trees)
		s.Trees[0].Nodes = slices.Clone(s.Trees[0].Nodes)
		spoil(&s)
		if r, err := Load(s); err == nil {
			t.Errorf("%s: loaded\n%s", name, r.Describe())
		} else if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, which is not ErrInvalid", name, err)
		}
	}
}

func TestAccessors(t *testing.T) {
	w := small(t)
	m := memberID
	if got := w.r.Path("cam", m(3)); !slices.Equal(got, []MemberID{m(0), m(1), m(3)}) {
		t.Errorf("path %v", got)
	}
	if got := w.r.Children("cam", m(0)); !slices.Equal(got, []MemberID{m(1), m(2)}) {
		t.Errorf("children %v", got)
	}
	for n := range w.r.Nodes("cam") {
		for _, s := range n.Standbys {
			if !slices.Contains(w.r.Dependents("cam", s), n.Member) {
				t.Errorf("%s is no dependent of %s", n.Member, s)
			}
		}
	}
	var sum time.Duration
	for _, id := range w.r.Path("cam", m(3))[1:] {
		n, _ := w.r.Node("cam", id)
		sum += n.Hop + time.Millisecond
	}
	if d, ok := w.r.Delay("cam", m(3)); !ok || d != sum {
		t.Errorf("delay %v, the path adds up to %v", d, sum)
	}
	if w.r.Sending(m(0)) != 2000 || w.r.Free(m(0)) != 0 || w.r.Free(m(4)) != 2000 || w.r.Free("nobody") != 0 {
		t.Errorf("uplinks:\n%s", w.r.Describe())
	}
	for s, n := range w.r.Places(m(1)) {
		if s != "cam" || n.Parent != m(0) {
			t.Errorf("place %s %+v", s, n)
		}
	}
	if w.r.NodeCount("cam") != 4 || w.r.MemberCount() != 5 || w.r.StreamCount() != 1 || w.r.NodeCount("none") != 0 {
		t.Error("counts")
	}
	if !strings.Contains(w.r.DescribeTree("none"), "no stream") {
		t.Error("a tree that is not there")
	}
}

func TestStreamsHaveTheirOwnSSRCs(t *testing.T) {
	w := newWorld(t, 4, newPlane(4, rand.New(rand.NewPCG(1, 2)), 0))
	w.join(0, 1, 0)
	for i := range 200 {
		w.publish(crowdStream(i), 0, 1)
	}
	for s := range w.r.Streams() {
		if s.SSRC == 0 || s.SSRC%MaxLayers != 0 {
			t.Errorf("%s: %d", s.ID, s.SSRC)
		}
	}
}

func TestHazardFallsWithAge(t *testing.T) {
	for age := -time.Hour; age < 100*time.Hour; age += time.Hour {
		if a, b := Hazard(age), Hazard(age+time.Hour); b > a || b <= 0 {
			t.Errorf("after %v %g, an hour later %g", age, a, b)
		}
	}
	// DESIGN: an ancestor expected to stay 10 minutes costs about 17 ms.
	if toll := DefaultPolicy().Toll(0, Hazard(0)).Round(time.Millisecond); toll != 17*time.Millisecond {
		t.Errorf("a newcomer as ancestor costs %v", toll)
	}
}

func TestRankDoesNotAllocate(t *testing.T) {
	w := small(t)
	v, err := w.r.View("cam", memberID(4), 0, w.rtt)
	if err != nil {
		t.Fatal(err)
	}
	self := memberID(4)
	rtt := func(m MemberID) (time.Duration, bool) { return w.rtt.RTT(self, m) }
	dst := make([]Proposal, 0, MaxProposals)
	allocs := testing.AllocsPerRun(100, func() {
		dst = Rank(&v, Self{ID: self, Free: 2000, Forward: time.Millisecond}, rtt, dst[:0])
	})
	if allocs != 0 || len(dst) == 0 {
		t.Errorf("%v allocations for %v", allocs, dst)
	}
}

// TestRankAgrees checks that what a member ranks first is what the coordinators
// would choose, when both know the same.
func TestRankAgrees(t *testing.T) {
	agreed, all := 0, 0
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 8))
		w := newWorld(t, 64, newPlane(40, rng, 0.5))
		w.r.Policy.NewLink, w.r.Policy.Reserved = 0, 0
		for i := range 40 {
			w.join(i, []Rate{0, 2000, 4000}[rng.IntN(3)]+Rate(b2i(i == 0))*4000, 0)
		}
		w.publish("cam", 0, 1000)
		for i := 1; i < 40; i++ {
			v, err := w.r.View("cam", memberID(i), 0, w.rtt)
			if err != nil {
				t.Fatal(err)
			}
			m, _ := w.r.Member(memberID(i))
			ranked := Rank(&v, Self{ID: m.ID, Free: w.r.Free(m.ID), Forward: m.Forward}, nil, nil)
			_, placed, _ := w.r.Clone().Admit(Admission{Stream: "cam", Child: m.ID, Cause: Joining, Place: true}, w.now, time.Second, w.rtt)
			d := w.admit(Admission{Stream: "cam", Child: m.ID, Cause: Joining, Proposals: ranked})
			w.confirm("cam")
			if d.OK && len(d.Refusals) > 0 || d.OK != placed.OK {
				t.Fatalf("seed %d: refused %v of %v, placed %+v", seed, d.Refusals, ranked, placed.Accepted)
			}
			if d.OK {
				all++
				agreed += b2i(d.Accepted.Parent == placed.Accepted.Parent)
			}
		}
	}
	if agreed*100 < all*99 {
		t.Errorf("%d of %d agree", agreed, all)
	}
}
