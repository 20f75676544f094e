package region

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// testimony is what an honest member of r holds, as r has it.
func testimony(r *Region, id MemberID) Testimony {
	m, _ := r.Member(id)
	t := Testimony{Member: m, Generation: r.Generation(), Revision: r.Revision()}
	for s, n := range r.Places(id) {
		stream, _ := r.Stream(s)
		t.Holdings = append(t.Holdings, Holding{Stream: stream, Parent: n.Parent, Layers: n.Layers, Hop: n.Hop, Standbys: n.Standbys})
	}
	return t
}

func testimonies(r *Region) []Testimony {
	var list []Testimony
	for m := range r.Members() {
		list = append(list, testimony(r, m.ID))
	}
	return list
}

// same says whether two regions have the same members and, edge by edge, trees.
func same(t *testing.T, was, is *Region) {
	t.Helper()
	a, b := was.Snapshot(), is.Snapshot()
	if len(a.Members) != len(b.Members) || len(a.Trees) != len(b.Trees) {
		t.Fatalf("%d members and %d streams, were %d and %d", len(b.Members), len(b.Trees), len(a.Members), len(a.Trees))
	}
	for i := range a.Members {
		if !a.Members[i].equal(b.Members[i]) {
			t.Errorf("member %+v, was %+v", b.Members[i], a.Members[i])
		}
	}
	for i := range a.Trees {
		if x, y := a.Trees[i].Stream, b.Trees[i].Stream; x.ID != y.ID || x.Origin != y.Origin || x.Standby != y.Standby || x.SSRC != y.SSRC {
			t.Errorf("stream %+v, was %+v", y, x)
		}
		for k, n := range a.Trees[i].Nodes {
			o := b.Trees[i].Nodes[k]
			if n.Member != o.Member || n.Parent != o.Parent || n.Layers != o.Layers || n.Hop != o.Hop || !slices.Equal(n.Standbys, o.Standbys) {
				t.Errorf("node %+v, was %+v", o, n)
			}
		}
	}
}

func TestMembersAreTheStructure(t *testing.T) {
	r := imported(t, 24, 4000)
	heard := testimonies(r)
	again, err := Reform("r2", r.Generation()+ReformJump, 64, heard)
	if err != nil {
		t.Fatal(err)
	}
	same(t, r, again)
	if again.Revision() <= r.Revision() || again.LastLease() <= r.LastLease() || again.Generation() <= r.Generation() {
		t.Errorf("revision %d, lease %d, generation %d do not go on from %d, %d, %d",
			again.Revision(), again.LastLease(), again.Generation(), r.Revision(), r.LastLease(), r.Generation())
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(heard), func(i, j int) { heard[i], heard[j] = heard[j], heard[i] })
	other, err := Reform("r2", r.Generation()+ReformJump, 64, heard)
	if err != nil || other.Hash() != again.Hash() {
		t.Errorf("the order in which members testify matters: %v", err)
	}
	if _, err := Reform("r2", r.Generation()+1, 64, heard); !errors.Is(err, ErrInvalid) {
		t.Errorf("formed with a generation that a split may have: %v", err)
	}
}

// Whatever members are missing, or lie, what is formed keeps the invariants, and
// who is left has the place it says if its parents testify, too.
func TestWhoDoesNotTestifyIsLeftOut(t *testing.T) {
	r := imported(t, 24, 4000)
	for seed := range uint64(200) {
		chance := rand.New(rand.NewPCG(seed, 7))
		said := map[MemberID]Testimony{}
		for _, x := range testimonies(r) {
			if chance.IntN(5) > 0 {
				said[x.Member.ID] = x
			}
		}
		lies := chance.IntN(4)
		for id, x := range said {
			if lies--; lies < 0 {
				break
			}
			x.Holdings = slices.Clone(x.Holdings)
			for i := range x.Holdings {
				x.Holdings[i].Parent = MemberID([]string{"", "m1", "m2", "m3", string(id), "nobody"}[chance.IntN(6)])
				x.Holdings[i].Standbys = []MemberID{id, "m4", "nobody"}
				x.Holdings[i].Layers = LayerMask(chance.IntN(4))
			}
			said[id] = x
		}
		again, err := Reform("r2", ReformJump, 64, slices.Collect(maps.Values(said)))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if again.MemberCount() != len(said) {
			t.Errorf("seed %d: %d members of %d who testified", seed, again.MemberCount(), len(said))
		}
	}
}

// The gateway died when nobody could be told: its standby draws the stream.
func TestTheStandbyGatewayIsTheRoot(t *testing.T) {
	r := imported(t, 12, 20000)
	s, _ := r.Stream("s")
	var heard []Testimony
	for m := range r.Members() {
		x := testimony(r, m.ID)
		for i := range x.Holdings {
			switch h := &x.Holdings[i]; {
			case m.ID == s.Standby:
				h.Parent = ""
			case h.Parent == s.Origin:
				h.Parent, h.Standbys = s.Standby, nil
			}
		}
		if m.ID != s.Origin {
			heard = append(heard, x)
		}
	}
	again, err := Reform("r2", ReformJump, 64, heard)
	if err != nil {
		t.Fatal(err)
	}
	if now, _ := again.Stream("s"); now.Origin != s.Standby || again.NodeCount("s") != r.NodeCount("s")-1 {
		t.Errorf("%s draws the stream for %d, should be %s for %d", now.Origin, again.NodeCount("s"), s.Standby, r.NodeCount("s")-1)
	}
}

// Two who both say that they publish a stream, or draw it, leave one tree.
func TestOneOfTwoRootsCounts(t *testing.T) {
	a := Testimony{Member: Member{ID: "a", Lease: 3, Uplink: 5000}, Holdings: []Holding{{Stream: Stream{
		ID: "s", Origin: "a", Kind: Video, Layers: []Rate{1000}, SSRC: 8, Codec: "VP8",
	}}}}
	b := a
	b.Member.ID, b.Member.Lease = "b", 1
	again, err := Reform("r1", ReformJump, 8, []Testimony{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := again.Stream("s"); !ok || s.Origin != "a" || again.NodeCount("s") != 1 || again.MemberCount() != 2 {
		t.Errorf("%+v of %v, %d nodes", s, ok, again.NodeCount("s"))
	}
}
