package region

import (
	"errors"
	"testing"
	"time"
)

// Two regions that draw a stream from a third one become one: a gateway hangs under a
// member of the other's tree, and who stood by in both has one place.
func TestRegionsThatDrawFromAThirdBecomeOne(t *testing.T) {
	now := time.Unix(1000, 0)
	rtt := equal(20 * time.Millisecond)
	build := func(id ID, first int, from ID) *Region {
		r := New(id, 100)
		var edits []Edit
		for i := range 3 {
			edits = append(edits, PutMember{Member{ID: memberID(first + i), Lease: Lease(i + 1), Uplink: 3000, Joined: now}})
		}
		edits = append(edits, PutStream{Stream{ID: "s", Origin: memberID(first), Kind: Video, Layers: []Rate{1000}, SSRC: 8, Codec: "VP8", From: from}})
		for i := 1; i < 3; i++ {
			edits = append(edits, SetNode{"s", Node{Member: memberID(first + i), Parent: memberID(first), Layers: 1, Hop: time.Millisecond, State: Standing}})
		}
		if err := r.Apply(1, Change{Time: now, Edits: edits}); err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range []struct {
		name         string
		mine, others ID // where the two draw the stream from
		gate         int
		source       ID
		published    ID
	}{
		{name: "both from a third", mine: "x", others: "x", gate: 10, source: "x"},
		{name: "from different ones", mine: "x", others: "y", gate: 10, source: "x", published: "x"},
		{name: "from different ones, which perhaps draw it from one of the two", mine: "x", others: "y", gate: 0, source: "y", published: "y"},
		{name: "the absorbing one by a detour", mine: "x", others: "", gate: 0, source: ""},
		{name: "the absorbed one by a detour", mine: "", others: "x", gate: 10, source: ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			into, other := build("a", 0, c.mine), build("b", 10, c.others)
			if err := other.Apply(2, Change{Time: now, Edits: []Edit{SetFate{Fate{Into: "a", Attempt: 1}}}}); err != nil {
				t.Fatal(err)
			}
			joints, err := into.Joints(other.Snapshot(), func(StreamID) ID { return c.published }, now, time.Minute, rtt)
			if err != nil {
				t.Fatal(err)
			}
			if len(joints) != 1 || joints[0].Node.Member != memberID(c.gate) {
				t.Fatalf("joints %v, want one of %s", joints, memberID(c.gate))
			}
			if err := into.Apply(2, Change{Time: now, Edits: []Edit{Absorb{Region: other.Snapshot(), Joints: joints}}}); err != nil {
				t.Fatal(err)
			}
			if err := into.Check(); err != nil {
				t.Fatal(err)
			}
			if s, _ := into.Stream("s"); s.From != c.source || into.NodeCount("s") != 6 {
				t.Errorf("it is drawn from %q by %d, want from %q by 6", s.From, into.NodeCount("s"), c.source)
			}
		})
	}
	t.Run("two streams of one name", func(t *testing.T) {
		into, other := build("a", 0, ""), build("b", 10, "")
		if _, err := into.Joints(other.Snapshot(), nil, now, time.Minute, rtt); !errors.Is(err, ErrExists) {
			t.Errorf("%v, want ErrExists", err)
		}
	})
	t.Run("nobody knows which of the two is nearer to where it is published", func(t *testing.T) {
		into, other := build("a", 0, "x"), build("b", 10, "y")
		if _, err := into.Joints(other.Snapshot(), func(StreamID) ID { return "z" }, now, time.Minute, rtt); !errors.Is(err, ErrUncut) {
			t.Errorf("%v, want ErrUncut", err)
		}
	})
}

// A stream of another region follows its source.
func TestASourceMoves(t *testing.T) {
	r := New("a", 10)
	change := Change{Edits: []Edit{
		PutMember{Member{ID: "m", Lease: 1, Uplink: 1000}},
		PutStream{Stream{ID: "s", Origin: "m", Kind: Audio, Layers: []Rate{40}, SSRC: 8, Codec: "opus", From: "b"}},
	}}
	if err := r.Apply(1, change); err != nil {
		t.Fatal(err)
	}
	for _, same := range []ID{"b", "a"} {
		if edits := r.Resource("s", same); len(edits) > 0 {
			t.Errorf("from %s: %v", same, edits)
		}
	}
	if err := r.Apply(2, Change{Edits: r.Resource("s", "c")}); err != nil {
		t.Fatal(err)
	}
	if s, _ := r.Stream("s"); s.From != "c" || s.Origin != "m" {
		t.Errorf("drawn from %s by %s", s.From, s.Origin)
	}
}
