package coordinator

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	"github.com/skein-mesh/skein/region"
)

// A way is news when it is another one than trees were made for, not because it was
// heard of again, nor for what queues do to it.
func TestWhatAWayAlwaysDoesIsNoNews(t *testing.T) {
	r, now := newRTTs(), time.UnixMilli(1e12)
	learn := func(rtt time.Duration, want int) {
		t.Helper()
		for range 2 {
			r.observe("a", "b", rtt, now)
			r.observe("b", "a", rtt, now)
		}
		if n := r.learnt(); n != want {
			t.Errorf("%v make %d news, want %d", rtt, n, want)
		}
	}
	learn(50*time.Millisecond, 1)
	r.heed(now)
	learn(55*time.Millisecond, 0)
	learn(49*time.Millisecond, 0)
	now = now.Add(2 * freshRTT) // nothing was heard for long
	learn(52*time.Millisecond, 0)
	learn(150*time.Millisecond, 1)
	learn(50*time.Millisecond, 0) // it has passed
	// What comes little by little is news in the end, whatever was planned meanwhile.
	learn(58*time.Millisecond, 0)
	r.heed(now)
	learn(64*time.Millisecond, 1)
	r.forget(func(m region.MemberID) bool { return m == "b" })
	if n := r.learnt(); n != 0 {
		t.Errorf("%d news of a member that is gone", n)
	}
}

// Much news at a time wakes the trees; as much of it that comes one by one does not.
func TestNewsThatTrickleInWakeNobody(t *testing.T) {
	now := time.UnixMilli(1e12)
	o := newReorganiser(&leadership{cfg: &Config{}, rtts: newRTTs()})
	learn := func(n int) {
		o.rtts.observe("a", region.MemberID(fmt.Sprint(n)), 50*time.Millisecond, now)
		o.stir(10, 10, now)
	}
	for n := range 20 {
		learn(n)
		now = now.Add(trickle / 3)
	}
	if o.awake {
		t.Error("what came one by one woke the trees")
	}
	for n := range 5 {
		learn(100 + n)
	}
	if !o.awake {
		t.Error("nothing wakes the trees")
	}
}

// What the leader does to trees is no reason for it to do more; what members do, or
// what happens to them, is.
func TestOwnMovesWakeNobody(t *testing.T) {
	r := region.New("r1", 8)
	o := newReorganiser(&leadership{cfg: &Config{}})
	apply := func(edits ...region.Edit) (changes int, touched bool) {
		t.Helper()
		before, change := r.Clone(), region.Change{Base: r.Revision(), Edits: edits}
		if err := r.Apply(r.Revision()+1, change); err != nil {
			t.Fatal(err)
		}
		o.changes, o.touched = 0, map[region.StreamID]bool{}
		o.noticed(before, group.Applied{Region: r.Clone(), Change: change})
		return o.changes, o.touched["s"]
	}
	want := func(changes int, touched bool, wantChanges int, wantTouched bool) {
		t.Helper()
		if changes != wantChanges || touched != wantTouched {
			t.Errorf("%d changes, touched is %v; want %d, %v", changes, touched, wantChanges, wantTouched)
		}
	}
	for i, id := range []region.MemberID{"o", "a", "b"} {
		apply(region.PutMember{Member: region.Member{ID: id, Lease: region.Lease(i + 1), Uplink: 5000}})
	}
	apply(region.PutStream{Stream: region.Stream{ID: "s", Origin: "o", Kind: region.Data, Layers: []region.Rate{100}, Codec: "x"}})
	node := func(m, parent region.MemberID, state region.State) region.SetNode {
		n := region.Node{Member: m, Parent: parent, Layers: 1, Hop: time.Millisecond, State: state}
		if state == region.Reserved {
			n.Deadline = time.UnixMilli(1e12)
			if was, ok := r.Node("s", m); ok {
				n.Old, n.OldHop = was.Parent, was.Hop
			}
		}
		return region.SetNode{Stream: "s", Node: n}
	}
	confirm := region.Confirm{Stream: "s", Member: "b"}
	step := []region.Step{{Stream: "s", Member: "b", From: "o", To: "a"}}
	decided := func() error { return nil }

	for _, m := range []region.MemberID{"a", "b"} {
		changes, touched := apply(node(m, "o", region.Standing))
		want(changes, touched, 1, true)
	}
	// Its own move, which is confirmed.
	if err := o.owns(step, decided); err != nil {
		t.Fatal(err)
	}
	changes, touched := apply(node("b", "a", region.Reserved))
	want(changes, touched, 0, false)
	changes, touched = apply(confirm)
	want(changes, touched, 0, false)
	// The same by somebody else.
	changes, touched = apply(node("b", "o", region.Reserved))
	want(changes, touched, 1, false)
	changes, touched = apply(confirm)
	want(changes, touched, 0, true)
	// Its own move, which is reversed.
	if err := o.owns(step, decided); err != nil {
		t.Fatal(err)
	}
	apply(node("b", "a", region.Reserved))
	changes, touched = apply(node("b", "o", region.Standing))
	want(changes, touched, 0, false)
	// One that is refused is nobody's.
	if err := o.owns(step, func() error { return errors.New("no") }); err == nil {
		t.Error("a refusal was lost")
	}
	changes, touched = apply(node("b", "a", region.Standing))
	want(changes, touched, 1, true)
	changes, touched = apply(region.DropNode{Stream: "s", Member: "b"})
	want(changes, touched, 1, true)
	if len(o.own) != 0 {
		t.Errorf("%v is left", o.own)
	}
}
