package region

import (
	"slices"
	"testing"
	"time"
)

// While a region is being divided newcomers are given places on their own side, and what
// they are shown is there, too; the other side only if there is no room.
func TestNewcomersStayOnTheirSide(t *testing.T) {
	w, p := crowdOn(t, 1, 42, 2)
	late := memberID(41)
	edits, err := w.r.Leave(late, 0, w.now, p)
	if err != nil {
		t.Fatal(err)
	}
	w.apply(edits)
	goes, err := w.r.Halve(p.at, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	on := map[MemberID]bool{}
	for m := range w.r.Members() {
		on[m.ID] = false
	}
	for _, m := range goes {
		on[m] = true
	}
	sides := NewSides(on)
	w.join(41, 0, 0)
	if sides.Apart(w.r, late) != nil {
		t.Error("who has no place is on a side")
	}
	admit := func(a Admission) Decision {
		t.Helper()
		a.Child, a.Cause, a.Apart = late, Joining, sides.Apart(w.r, late)
		edits, d, err := w.r.Admit(a, w.now, 10*time.Second, p)
		if err != nil {
			t.Fatal(err)
		}
		w.apply(edits)
		return d
	}
	first := admit(Admission{Stream: "s0", Place: true})
	side, known := sides.Of(w.r, late)
	if !first.OK || !known || side != on[first.Accepted.Parent] {
		t.Fatalf("placed %v under %s, on side %v (%v)", first.OK, first.Accepted.Parent, side, known)
	}
	apart := sides.Apart(w.r, late)
	view, err := w.r.ViewFrom("s1", late, AllLayers, apart, p)
	if err != nil || len(view.Candidates) == 0 {
		t.Fatalf("%d candidates: %v", len(view.Candidates), err)
	}
	for _, c := range view.Candidates {
		if apart(c.Member) || c.Weakest != "" && apart(c.Weakest) {
			t.Errorf("is shown %s and %s, one of whom is on the other side", c.Member, c.Weakest)
		}
	}
	all, _ := w.r.View("s1", late, AllLayers, p)
	var strange []Proposal
	for _, x := range Rank(&all, Self{ID: late, Layers: AllLayers}, nil, nil) {
		if apart(x.Parent) {
			strange = append(strange, x)
		}
	}
	if len(strange) == 0 {
		t.Fatal("nobody on the other side has room")
	}
	d := admit(Admission{Stream: "s1", Proposals: strange[:1]})
	if d.OK || d.Refusals[0].Reason != Avoided {
		t.Fatalf("hangs under %s on the other side, refusals %v", d.Accepted.Parent, d.Refusals)
	}
	// An orphan draws over it already.
	if _, orphan, err := w.r.Admit(Admission{Stream: "s1", Child: late, Cause: Orphaned, Proposals: strange[:1], Apart: apart}, w.now, time.Second, p); err != nil || !orphan.OK {
		t.Errorf("an orphan does not get what it draws from: %v, %v", orphan.Refusals, err)
	}
	// Nobody else has room.
	everybody := func(MemberID) bool { return true }
	_, full, err := w.r.Admit(Admission{Stream: "s1", Child: late, Cause: Joining, Proposals: strange[:1], Apart: everybody}, w.now, time.Second, p)
	if err != nil || !full.OK {
		t.Errorf("is refused although only the other side has room: %v, %v", full.Refusals, err)
	}
	if d = admit(Admission{Stream: "s1", Place: true}); !d.OK || apart(d.Accepted.Parent) {
		t.Errorf("is placed under %s on the other side", d.Accepted.Parent)
	}
}

// Newcomers are on the side of those who feed them, be it by other newcomers.
func TestASideIsThatOfThoseWhoFeed(t *testing.T) {
	w, _ := crowdOn(t, 1, 60, 1)
	top := widest(w.r)
	on := map[MemberID]bool{memberID(0): false, top: true}
	sides, deep := NewSides(on), 0
	for n := range w.r.Nodes("s0") {
		want := slices.Contains(w.r.Path("s0", n.Member), top)
		if got, known := sides.Of(w.r, n.Member); !known || got != want {
			t.Errorf("%s is on side %v (%v), want %v", n.Member, got, known, want)
		}
		if _, known := on[n.Parent]; !known && n.Parent != "" {
			deep++
		}
	}
	if deep == 0 {
		t.Fatal("nobody is fed by a newcomer")
	}
	if _, known := sides.Of(w.r, "stranger"); known {
		t.Error("a stranger is on a side")
	}
}

// All on one side hang below one of them that hangs under the other side, and the gateway
// is to be another: it comes up first.
func TestAGatewayComesUpFromBelowItsSide(t *testing.T) {
	w, p := crowdOn(t, 1, 24, 1)
	top := widest(w.r)
	goes := under(w.r, top)
	if len(goes) < 3 {
		t.Fatalf("only %d below", len(goes))
	}
	for _, gateway := range goes {
		if m, _ := w.r.Member(gateway); gateway == top || m.Uplink < 800 {
			continue
		}
		by := Division{Child: "r2", Members: goes, Gateways: []StreamGateway{{"s0", gateway}}}
		list, err := w.r.Crossings(by)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d edges cross, want that to %s: %v", len(list), top, err)
		}
		moves, _, err := w.r.Untangle(by, Untangling{Now: w.now, Hold: time.Second, RTT: p, Most: 32, Each: 6})
		if err != nil || len(moves) == 0 {
			t.Fatalf("gateway %s: %d moves, %v", gateway, len(moves), err)
		}
		w.untangle(by)
		return
	}
	t.Fatal("no gateway to be")
}

// widest is the child of the root of s0 with most below it.
func widest(r *Region) (top MemberID) {
	for n := range r.Nodes("s0") {
		if n.Parent == memberID(0) && (top == "" || len(under(r, n.Member)) > len(under(r, top))) {
			top = n.Member
		}
	}
	return top
}

// under lists those below m in s0, itself among them.
func under(r *Region, m MemberID) (list []MemberID) {
	for x := range r.Members() {
		for _, p := range r.Path("s0", x.ID) {
			if p == m {
				list = append(list, x.ID)
			}
		}
	}
	return list
}

// What is being asked about is not proposed again, and counts.
func TestUntanglingForeseesWhatIsAsked(t *testing.T) {
	w, p := crowdOn(t, 1, 60, 3)
	by := w.halved(p)
	w.apply(w.r.Complete(by))
	x := Untangling{Now: w.now, Hold: 10 * time.Second, RTT: p, Most: 8, Each: 6}
	var asked [][]Step
	for range 20 {
		x.Asked = asked
		moves, _, err := w.r.Untangle(by, x)
		if err != nil {
			t.Fatal(err)
		}
		asked = append(asked, moves...)
	}
	if len(asked) < 10 {
		t.Fatalf("%d moves", len(asked))
	}
	touched := map[MemberID]int{}
	moved := map[Step]bool{}
	for _, steps := range asked {
		edits, err := w.r.Move(steps, w.now, x.Hold, p)
		if err != nil {
			t.Fatalf("%v is not possible after those that were asked about before: %v", steps, err)
		}
		w.apply(edits)
		for _, s := range steps {
			touched[s.Member]++
			touched[s.To]++
			if key := (Step{Stream: s.Stream, Member: s.Member}); moved[key] {
				t.Errorf("%s is asked twice about %s", s.Member, s.Stream)
			} else {
				moved[key] = true
			}
		}
	}
	for m, n := range touched {
		if n > 7 {
			t.Errorf("%d moves touch %s", n, m)
		}
	}
}
