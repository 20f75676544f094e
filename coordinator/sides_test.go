package coordinator

import (
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A flat world: everybody is as far from everybody.
type flat struct{}

func (flat) RTT(a, b region.MemberID) (time.Duration, bool) { return 10 * time.Millisecond, true }

// fan is a region in which a publisher feeds all others.
func fan(t *testing.T, now time.Time, members ...region.MemberID) *region.Region {
	t.Helper()
	r, revision := region.New("r1", 16), region.Revision(0)
	apply := func(edits []region.Edit, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		revision++
		if r, err = r.After(revision, region.Change{Time: now, Base: r.Revision(), Edits: edits}); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range members {
		edits, _, err := r.Join(region.Member{ID: m, Uplink: 9000}, now, flat{})
		apply(edits, err)
	}
	edits, _, err := r.Publish(region.Stream{ID: "stage", Origin: members[0], Kind: region.Video, Layers: []region.Rate{1000}}, 0, now)
	apply(edits, err)
	for _, m := range members[1:] {
		edits, _, err := r.Admit(region.Admission{
			Stream: "stage", Child: m, Cause: region.Joining, Proposals: []region.Proposal{{Parent: members[0]}},
		}, now, time.Second, flat{})
		apply(edits, err)
		apply(r.Confirmed("stage", m, members[0]), nil)
	}
	return r
}

// Who is not moved for a while stays with those who feed it, but not while it is being asked.
func TestWhoDoesNotMoveChangesSides(t *testing.T) {
	now := time.Unix(1000, 0).UTC()
	r := fan(t, now, "a", "b", "c", "d")
	goes := []region.MemberID{"c", "d"}
	div := newDivision(r, r.Divide("r1-2", goes, flat{}))
	stuck := goes[0]
	if len(div.Gateways) != 1 || div.Gateways[0].Member == stuck {
		stuck = goes[1]
	}
	look := func(at time.Time, x region.Untangling) int {
		t.Helper()
		div.adapt(r, flat{})
		list, err := r.Crossings(div.Division)
		if err != nil {
			t.Fatal(err)
		}
		x.Now, x.Hold, x.RTT = now, time.Second, flat{}
		// It agrees to nothing.
		x.Most, x.Each, x.Avoid = 8, 8, func(member, _ region.MemberID) bool { return member == stuck }
		div.yield(r, list, x, at)
		after, _ := r.Crossings(div.Division)
		return len(after)
	}
	asked := region.Untangling{Asked: [][]region.Step{{{Stream: "stage", Member: stuck, From: "a", To: div.Gateways[0].Member}}}}
	for _, c := range []struct {
		after time.Duration
		x     region.Untangling
		left  int
	}{{0, region.Untangling{}, 1}, {yieldAfter / 2, region.Untangling{}, 1}, {yieldAfter, asked, 1}, {yieldAfter, region.Untangling{}, 0}} {
		if left := look(now.Add(c.after), c.x); left != c.left {
			t.Errorf("after %v, with %d moves asked about, %d edges cross, want %d", c.after, len(c.x.Asked), left, c.left)
		}
	}
	if len(div.Members) != 1 || div.goes[stuck] {
		t.Errorf("%v go, and %s is not to", div.Members, stuck)
	}
}

// Newcomers go with those who feed them, and who leaves is forgotten.
func TestADivisionFollowsWhoComesAndGoes(t *testing.T) {
	now := time.Unix(1000, 0).UTC()
	r := fan(t, now, "a", "b", "c")
	div := newDivision(r, r.Divide("r1-2", []region.MemberID{"b", "x"}, flat{}))
	div.adapt(fan(t, now, "a", "c", "n"), flat{})
	if len(div.Members) != 0 || len(div.Gateways) != 0 || div.goes["n"] {
		t.Errorf("%v go with gateways %v after b has left", div.Members, div.Gateways)
	}
	if _, known := div.goes["n"]; !known {
		t.Error("n is fed by a, and on no side")
	}
}
