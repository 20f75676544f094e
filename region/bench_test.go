package region

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// crowd is a region of n members in which streams members publish to audience
// others each.
func crowd(b *testing.B, n, streams, audience int) *world {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	w := newWorld(b, MaxMembers, newPlane(n, rng, 0.3))
	d := w.r.draft()
	for i := range n {
		uplink := []Rate{0, 0, 0, 20_000, 60_000, 200_000}[i%6]
		if i < streams {
			uplink += 5000
		}
		m := Member{ID: memberID(i), Lease: Lease(i + 1), Uplink: uplink, Forward: time.Millisecond, Joined: epoch}
		if err := d.do(PutMember{m}); err != nil {
			b.Fatal(err)
		}
	}
	for s := range streams {
		stream := Stream{ID: crowdStream(s), Origin: memberID(s), Kind: Video, Layers: []Rate{500}, SSRC: uint32(s+1) * MaxLayers}
		if err := d.do(PutStream{stream}); err != nil {
			b.Fatal(err)
		}
	}
	w.r = d.Region
	for s := range streams {
		for _, i := range rng.Perm(n)[:audience] {
			if i == s {
				continue
			}
			a := Admission{Stream: crowdStream(s), Child: memberID(i), Cause: Joining, Place: true}
			edits, decision, err := w.r.Admit(a, epoch, time.Minute, w.rtt)
			if err != nil {
				b.Fatal(err)
			}
			if decision.OK {
				for _, e := range edits {
					if set, ok := e.(SetNode); ok {
						edits = append(edits, Confirm{set.Stream, set.Node.Member})
					}
				}
				w.rev++
				if err := w.r.Apply(w.rev, Change{Time: epoch, Edits: edits}); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	if err := w.r.Check(); err != nil {
		b.Fatal(err)
	}
	return w
}

func crowdStream(s int) StreamID { return StreamID(fmt.Sprintf("stream-%03d", s)) }

// outsider is a member without a place in s.
func (w *world) outsider(s StreamID) Member {
	for m := range w.r.Members() {
		if _, ok := w.r.Node(s, m.ID); !ok && m.Uplink > 0 {
			return m
		}
	}
	w.Fatal("everybody is there")
	return Member{}
}

func BenchmarkRank64(b *testing.B) {
	w := crowd(b, 512, 1, 400)
	self := w.outsider(crowdStream(0))
	v, err := w.r.View(crowdStream(0), self.ID, 0, w.rtt)
	if err != nil || len(v.Candidates) != MaxCandidates {
		b.Fatal(err, len(v.Candidates))
	}
	dst := make([]Proposal, 0, MaxProposals)
	rtt := func(m MemberID) (time.Duration, bool) { return 0, false }
	b.ReportAllocs()
	for b.Loop() {
		dst = Rank(&v, Self{ID: self.ID, Free: self.Uplink}, rtt, dst[:0])
	}
	if len(dst) == 0 {
		b.Fatal("nothing to choose from")
	}
}

func BenchmarkAdmit512x200x100(b *testing.B) {
	w := crowd(b, 512, 200, 100)
	self := w.outsider(crowdStream(7))
	a := Admission{Stream: crowdStream(7), Child: self.ID, Cause: Joining, Place: true}
	b.ReportAllocs()
	for b.Loop() {
		if _, d, err := w.r.Admit(a, epoch, time.Minute, w.rtt); err != nil || !d.OK {
			b.Fatal(err, d)
		}
	}
}

func BenchmarkApplyEdge512x200x100(b *testing.B) {
	w := crowd(b, 512, 200, 100)
	self := w.outsider(crowdStream(7))
	parent, ok := MemberID(""), false
	for n := range w.r.Nodes(crowdStream(7)) {
		if w.r.Free(n.Member) > 1000 && n.Parent != "" {
			parent, ok = n.Member, true
		}
	}
	if !ok {
		b.Fatal("no room")
	}
	edges := [2][]Edit{
		{SetNode{crowdStream(7), Node{Member: self.ID, Parent: parent, Layers: 1, State: Standing}}},
		{DropNode{crowdStream(7), self.ID}},
	}
	rev := w.rev
	b.ReportAllocs()
	for b.Loop() {
		rev++
		if err := w.r.Apply(rev, Change{Time: epoch, Edits: edges[(rev-w.rev+1)%2]}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClone512x200x100(b *testing.B) {
	w := crowd(b, 512, 200, 100)
	b.ReportAllocs()
	for b.Loop() {
		w.r.Clone()
	}
}

// The cost of one tree by its size: no worse than n log n.

func bySize(b *testing.B, run func(b *testing.B, w *world, self Member)) {
	for n := 64; n <= 4096; n *= 4 {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := crowd(b, n+n/8, 1, n)
			b.ReportAllocs()
			run(b, w, w.outsider(crowdStream(0)))
		})
	}
}

func BenchmarkAdmit(b *testing.B) {
	bySize(b, func(b *testing.B, w *world, self Member) {
		a := Admission{Stream: crowdStream(0), Child: self.ID, Cause: Joining, Place: true}
		for b.Loop() {
			if _, d, err := w.r.Admit(a, epoch, time.Minute, w.rtt); err != nil || !d.OK {
				b.Fatal(err, d)
			}
		}
	})
}

func BenchmarkView(b *testing.B) {
	bySize(b, func(b *testing.B, w *world, self Member) {
		for b.Loop() {
			if _, err := w.r.View(crowdStream(0), self.ID, 0, w.rtt); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkImprove(b *testing.B) {
	bySize(b, func(b *testing.B, w *world, self Member) {
		for b.Loop() {
			w.r.Improve(crowdStream(0), 0, epoch, time.Minute, w.rtt)
		}
	})
}

func BenchmarkLeave(b *testing.B) {
	bySize(b, func(b *testing.B, w *world, self Member) {
		relay := w.r.Children(crowdStream(0), memberID(0))[0]
		for b.Loop() {
			if _, err := w.r.Leave(relay, 0, epoch, w.rtt); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCheck512x200x100(b *testing.B) {
	w := crowd(b, 512, 200, 100)
	for b.Loop() {
		if err := w.r.Check(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSnapshotHash512x200x100(b *testing.B) {
	w := crowd(b, 512, 200, 100)
	for b.Loop() {
		w.r.Hash()
	}
}
