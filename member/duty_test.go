package member

import (
	"testing"

	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/region"
)

// A gateway is to draw its stream from another region than before: the one before says
// whom to draw it from until the new one does, and what it says then is of no account.
func TestADutyMovesToAnotherRegion(t *testing.T) {
	const id, self = region.StreamID("s"), region.MemberID("gateway")
	x := &duty{away: map[region.ID]*relay.Assignment{}}
	home := func(from region.ID) {
		x.home = &relay.Assignment{Stream: region.Stream{ID: id, Origin: self, From: from}}
	}
	word := func(from region.ID, parent region.MemberID) {
		a := &relay.Assignment{Stream: region.Stream{ID: id}}
		a.Parent.Peer.ID = parent
		x.away[from] = a
	}
	drawn := func(want region.MemberID) {
		t.Helper()
		_, away := x.source()
		x.last = x.together(self, away)
		if x.last.Parent.Peer.ID != want {
			t.Errorf("drawn from %q, want %q", x.last.Parent.Peer.ID, want)
		}
	}
	home("a")
	word("a", "parent-in-a")
	drawn("parent-in-a")
	home("b")
	drawn("parent-in-a")
	word("b", "parent-in-b")
	drawn("parent-in-b")
	word("a", "another-in-a")
	drawn("parent-in-b")
	delete(x.away, "a")
	drawn("parent-in-b")
	delete(x.away, "b")
	drawn("parent-in-b") // nobody says otherwise
}

// Another community says from whom its own streams are drawn, and nothing of others.
func TestAnotherCommunityHasNoSayInStreamsOfThisOne(t *testing.T) {
	theirs := region.ID("r1").Of("community")
	said := &relay.Assignment{Stream: region.Stream{ID: "s"}}
	for from, want := range map[region.ID]*relay.Assignment{"": nil, "r2": nil, theirs: said, region.ID("r2").Of("community"): said, region.ID("r1").Of("other"): nil} {
		x := &duty{
			home: &relay.Assignment{Stream: region.Stream{ID: "s", Origin: "gateway", From: from}},
			away: map[region.ID]*relay.Assignment{theirs: said},
		}
		if _, away := x.source(); away != want {
			t.Errorf("of a stream from %q it says %v", from, away)
		}
	}
}
