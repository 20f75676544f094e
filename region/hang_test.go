package region

import (
	"testing"
	"time"
)

// Siblings may be standbys of one another. When their parent leaves and there is
// no place for either, they leave the tree with it all the same.
func TestSiblingsThatLeaveTogether(t *testing.T) {
	now := time.Unix(1_000_000_000, 0)
	r := New("r", 8)
	edits := []Edit{
		PutMember{Member{ID: "origin", Lease: 1, Uplink: 500, Joined: now}},
		PutMember{Member{ID: "parent", Lease: 2, Uplink: 1000, Joined: now}},
		PutMember{Member{ID: "one", Lease: 3, Uplink: 500, Joined: now}},
		PutMember{Member{ID: "other", Lease: 4, Uplink: 500, Joined: now}},
		PutStream{Stream{ID: "s", Origin: "origin", Kind: Video, Layers: []Rate{500}, SSRC: MaxLayers}},
		SetNode{"s", Node{Member: "parent", Parent: "origin", Layers: 1, State: Standing}},
		SetNode{"s", Node{Member: "one", Parent: "parent", Layers: 1, State: Standing}},
		SetNode{"s", Node{Member: "other", Parent: "parent", Layers: 1, State: Standing}},
		SetStandbys{"s", "one", []MemberID{"other"}},
	}
	if err := r.Apply(1, Change{Time: now, Edits: edits}); err != nil {
		t.Fatal(err)
	}
	d := r.draft()
	tree := d.streamIDs.slot("s")
	all := []slot{d.memberIDs.slot("parent"), d.memberIDs.slot("one"), d.memberIDs.slot("other")}
	if err := d.unseat(tree, all, now, nowhere{}); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
}

// nowhere knows no round-trip times.
type nowhere struct{}

func (nowhere) RTT(a, b MemberID) (time.Duration, bool) { return 0, false }
