package relay

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

func TestChainOfFour(t *testing.T) {
	w := newWorld(t)
	a, b, c, d := w.node(), w.node(), w.node(), w.node()
	s := w.stream(a)
	w.assign(s, role{n: a}, role{n: b, parent: a}, role{n: c, parent: b}, role{n: d, parent: c})
	ld := listen(t, d, s.ID)
	w.play(a, s, 5*time.Millisecond)
	await(d, func(e Established) bool { return e.Parent == c.identity.ID() && e.Revision == w.rev })
	ld.more(200)
	ld.whole()
	st := d.stats(t)
	if st.DuplicatesDelivered != 0 || st.Lost != 0 {
		t.Errorf("duplicates %d, lost %d", st.DuplicatesDelivered, st.Lost)
	}
	t.Logf("delay over 3 hops: p50 %v, p99 %v", st.DelayP50, st.DelayP99)
}

func TestFanOut(t *testing.T) {
	w := newWorld(t)
	origin := w.node()
	s := w.stream(origin)
	roles := []role{{n: origin}}
	var ls []*listener
	for range 8 {
		n := w.node()
		roles = append(roles, role{n: n, parent: origin})
		ls = append(ls, listen(t, n, s.ID))
	}
	w.assign(s, roles...)
	w.play(origin, s, 5*time.Millisecond)
	for _, l := range ls {
		l.reach(100)
		l.whole()
	}
}

// A household is a child that is fed by its parent, while a standby is ready.
type household struct {
	*world
	stream                         region.Stream
	origin, parent, standby, child *node
	listener                       *listener
}

func newHousehold(t *testing.T) household {
	w := newWorld(t)
	f := household{world: w, origin: w.node(), parent: w.node(), standby: w.node(), child: w.node()}
	f.stream = w.stream(f.origin)
	w.assign(f.stream, role{n: f.origin}, role{n: f.parent, parent: f.origin}, role{n: f.standby, parent: f.origin},
		role{n: f.child, parent: f.parent, standbys: []*node{f.standby}})
	f.listener = listen(t, f.child, f.stream.ID)
	w.play(f.origin, f.stream, 5*time.Millisecond)
	await(f.child, func(Established) bool { return true })
	awaitUp(f.child, f.standby)
	f.listener.more(100)
	return f
}

// A parent dies without a word; the child resumes from its standby where it was.
func TestParentKilled(t *testing.T) {
	f := newHousehold(t)
	w, s, origin, parent, standby, child, l := f.world, f.stream, f.origin, f.parent, f.standby, f.child, f.listener

	parent.kill()
	e := await(child, func(ParentSwitched) bool { return true })
	if e.From != parent.identity.ID() || e.To != standby.identity.ID() || e.Cause != link.SilentPeer {
		t.Errorf("got %+v", e)
	}
	l.more(200)
	l.whole()
	t.Logf("longest gap %v", child.stats(t).GapMax)

	// The coordinators agree: the standby is the parent now.
	w.assign(s, role{n: origin}, role{n: standby, parent: origin}, role{n: child, parent: standby})
	await(child, func(e Established) bool { return e.Parent == standby.identity.ID() && e.Revision == w.rev })
	l.more(50)
	l.whole()
}

// A parent dies before it could be shown the grant that has replaced the one it knows.
func TestParentKilledWhileItsGrantIsRenewed(t *testing.T) {
	f := newHousehold(t)

	f.parent.kill()
	f.assign(f.stream, role{n: f.child, parent: f.parent, standbys: []*node{f.standby}})
	await(f.child, func(ParentSwitched) bool { return true })
	f.listener.more(200)
	f.listener.whole()
}

func awaitUp(a, b *node) {
	for {
		if l := a.tr.Link(b.identity.ID()); l != nil && l.State() == link.Up {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestPlannedSwitch(t *testing.T) {
	w := newWorld(t)
	origin, old, next, child := w.node(), w.node(), w.node(), w.node()
	s := w.stream(origin)
	tree := []role{{n: origin}, {n: old, parent: origin}, {n: next, parent: origin}}
	w.assign(s, append(tree, role{n: child, parent: old})...)
	l := listen(t, child, s.ID)
	w.play(origin, s, 2*time.Millisecond)
	l.more(50)
	for i := range 10 {
		parent := []*node{next, old}[i%2]
		w.assign(s, append(tree, role{n: child, parent: parent})...)
		await(child, func(e Established) bool { return e.Revision == w.rev })
		l.more(20)
	}
	l.whole()
	st := child.stats(t)
	if st.Lost != 0 || st.DuplicatesDelivered != 0 {
		t.Errorf("lost %d, duplicates delivered %d", st.Lost, st.DuplicatesDelivered)
	}
	t.Logf("duplicates dropped %d, longest gap %v", st.Duplicates, st.GapMax)
}

// A newcomer is put between two nodes: the child must not let go of its parent
// before the newcomer has the stream itself.
func TestDisplacement(t *testing.T) {
	w := newWorld(t)
	origin, child := w.node(), w.node()
	s := w.stream(origin)
	w.assign(s, role{n: origin}, role{n: child, parent: origin})
	l := listen(t, child, s.ID)
	w.play(origin, s, 2*time.Millisecond)
	l.more(50)
	parent := origin
	for range 5 {
		newcomer := w.node()
		ln := listen(t, newcomer, s.ID)
		w.assign(s, role{n: origin}, role{n: parent}, role{n: newcomer, parent: parent}, role{n: child, parent: newcomer})
		await(child, func(e Established) bool { return e.Revision == w.rev })
		l.more(20)
		ln.reach(20)
		ln.whole()
	}
	l.whole()
	if st := child.stats(t); st.Lost != 0 || st.DuplicatesDelivered != 0 {
		t.Errorf("lost %d, duplicates delivered %d", st.Lost, st.DuplicatesDelivered)
	}
}

// Five per cent of the packets are lost on each of three hops.
func TestLossIsRepaired(t *testing.T) {
	w := newWorld(t)
	a, b, c, d := w.node(), w.node(), w.node(), w.node()
	s := w.stream(a)
	w.assign(s, role{n: a}, role{n: b, parent: a}, role{n: c, parent: b}, role{n: d, parent: c})
	l := listen(t, d, s.ID)
	w.play(a, s, 2*time.Millisecond)
	l.more(10)
	for _, n := range []*node{a, b, c} {
		n.net.loss.Store(50)
	}
	l.more(1500)
	l.whole()
	st := d.stats(t)
	if st.PacketsRepaired == 0 || st.Lost != 0 {
		t.Errorf("repaired %d, lost %d", st.PacketsRepaired, st.Lost)
	}
	t.Logf("received %d, repaired %d, delay p50 %v p99 %v", st.PacketsReceived, st.PacketsRepaired, st.DelayP50, st.DelayP99)
}

// The last packet before a pause is lost: nothing follows that would show it.
func TestLossBeforeAPauseIsRepaired(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(), w.node()
	s := w.stream(a)
	w.assign(s, role{n: a}, role{n: b, parent: a})
	l := listen(t, b, s.ID)
	p := w.play(a, s, 2*time.Millisecond)
	l.more(10)
	a.net.loss.Store(1000)
	sent := p.sent.Load()
	for p.sent.Load() < sent+5 {
		time.Sleep(time.Millisecond)
	}
	p.end()
	a.net.loss.Store(0)
	l.mu.Lock()
	count := l.count
	l.mu.Unlock()
	l.more(int(p.sent.Load()) - count - int(l.first-(1<<16|65000)))
	l.whole()
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	origin, other, child := w.node(), w.node(), w.node()
	s := w.stream(origin)
	w.play(origin, s, 5*time.Millisecond)
	refused := func(up Upstream, want Fault) {
		t.Helper()
		w.rev++
		if err := child.Assign(Assignment{Stream: s, Revision: w.rev, Layers: 1, Parent: up}); err != nil {
			t.Fatal(err)
		}
		if e := await(child, func(Refused) bool { return true }); e.Fault != want {
			t.Errorf("refused as %v, want %v", e.Fault, want)
		}
		child.Unassign(s.ID)
	}
	for _, n := range []*node{origin, other} {
		if err := n.Expect(child.peer()); err != nil {
			t.Fatal(err)
		}
	}

	forged := w.upstream(s, origin, child, false)
	forged.Grant[len(forged.Grant)-1] ^= 1
	refused(forged, link.BadGrant)

	expired := w.upstream(s, origin, child, false)
	expired.Grant = trust.SignGrant(w.key, trust.Grant{Region: "r1", Stream: s.ID, Child: child.identity.ID(), Lease: 1,
		Parent: origin.identity.ID(), Expires: time.Now().Add(-time.Second)})
	refused(expired, link.BadGrant)

	someoneElses := w.upstream(s, origin, other, false)
	refused(someoneElses, link.BadGrant)

	refused(w.upstream(s, other, child, false), link.NoStream)

	origin.SetUplink(999) // nobody else counts on that room, so it is not overdrawn
	refused(w.upstream(s, origin, child, true), link.Overloaded)
	origin.SetUplink(499) // whatever the coordinators say
	refused(w.upstream(s, origin, child, false), link.Overloaded)
	origin.SetUplink(10_000)
	origin.Leave()
	refused(w.upstream(s, origin, child, false), link.Leaving)
}

// The parent of a relay wants to draw from it: that would be a loop.
func TestLoopIsRefused(t *testing.T) {
	w := newWorld(t)
	origin, a, b := w.node(), w.node(), w.node()
	s := w.stream(origin)
	w.assign(s, role{n: origin}, role{n: a, parent: origin}, role{n: b, parent: a})
	l := listen(t, b, s.ID)
	w.play(origin, s, 5*time.Millisecond)
	l.more(20)
	w.rev++
	if err := a.Assign(Assignment{Stream: s, Revision: w.rev, Layers: 1, Parent: w.upstream(s, b, a, false)}); err != nil {
		t.Fatal(err)
	}
	if e := await(a, func(Refused) bool { return true }); e.Fault != link.Loop {
		t.Errorf("refused as %v", e.Fault)
	}
	l.more(20) // a still draws from the origin
	l.whole()
}

// The only parent falls silent and comes back: nothing is lost, nobody is condemned.
func TestSilentAndBack(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(), w.node()
	s := w.stream(a)
	w.assign(s, role{n: a}, role{n: b, parent: a})
	l := listen(t, b, s.ID)
	w.play(a, s, 5*time.Millisecond)
	l.more(50)
	a.net.mute.Store(true)
	await(b, func(Orphaned) bool { return true })
	a.net.mute.Store(false)
	l.more(100)
	l.whole()
	if st := b.stats(t); st.Parent != a.identity.ID() {
		t.Errorf("parent is %q", st.Parent)
	}
}

func TestParentRestarts(t *testing.T) {
	w := newWorld(t)
	origin, parent, child := w.node(), w.node(), w.node()
	s := w.stream(origin)
	w.assign(s, role{n: origin}, role{n: parent, parent: origin}, role{n: child, parent: parent})
	l := listen(t, child, s.ID)
	w.play(origin, s, 5*time.Millisecond)
	l.more(50)
	parent.kill()
	again := w.stay(parent.identity, 2)
	w.assign(s, role{n: origin}, role{n: again, parent: origin}, role{n: child, parent: again})
	await(child, func(e Established) bool { return e.Revision == w.rev })
	l.more(50)
	if st := child.stats(t); st.DuplicatesDelivered != 0 {
		t.Errorf("%d duplicates delivered", st.DuplicatesDelivered)
	}
}

// A parent that gives up its place says so: nobody waits for its silence.
func TestParentLeaves(t *testing.T) {
	w := newWorld(t)
	origin, parent, standby, child := w.node(), w.node(), w.node(), w.node()
	s := w.stream(origin)
	w.assign(s, role{n: origin}, role{n: parent, parent: origin}, role{n: standby, parent: origin},
		role{n: child, parent: parent, standbys: []*node{standby}})
	l := listen(t, child, s.ID)
	w.play(origin, s, 2*time.Millisecond)
	l.more(50)
	awaitUp(child, standby)
	parent.Unassign(s.ID)
	if e := await(child, func(ParentSwitched) bool { return true }); e.To != standby.identity.ID() || e.Cause != link.NoStream {
		t.Errorf("got %+v", e)
	}
	l.more(50)
	standby.end()
	await(child, func(e Orphaned) bool { return e.Stream == s.ID })
	l.whole()
}

func TestMessages(t *testing.T) {
	w := newWorld(t)
	w.kind = region.Data
	a, b, c := w.node(), w.node(), w.node()
	s := w.stream(a)
	w.assign(s, role{n: a}, role{n: b, parent: a}, role{n: c, parent: b})
	sink, err := c.Subscribe(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	src, err := a.Publish(s)
	if err != nil {
		t.Fatal(err)
	}
	await(c, func(Established) bool { return true })
	await(b, func(Established) bool { return true })
	a.net.loss.Store(50)
	for i := range 20 {
		want := bytes.Repeat([]byte{byte(i)}, i*3400)
		if err := src.WriteMessage(want); err != nil {
			t.Fatal(err)
		}
		got, err := sink.ReadMessage(context.Background())
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("message %d: %d bytes, want %d, %v", i, len(got), len(want), err)
		}
	}
	if err := src.WriteMessage(make([]byte, MaxMessage+1)); err == nil {
		t.Error("too long a message was taken")
	}
}

func TestKeyframeRequestsAreMerged(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.node(), w.node(), w.node()
	s := w.stream(a)
	w.assign(s, role{n: a}, role{n: b, parent: a}, role{n: c, parent: b})
	sink, err := c.Subscribe(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	await(c, func(Established) bool { return true })
	await(b, func(Established) bool { return true })
	for range 100 {
		sink.RequestKeyframe(0)
	}
	await(a, func(e KeyframeWanted) bool { return e.Stream == s.ID && e.Layer == 0 })
}

// A member that is asked for a stream without having a place in it, and then
// loses interest, is fed again once it wants the stream and has a place.
func TestPlaceDoesNotOutliveItsStream(t *testing.T) {
	w := newWorld(t)
	origin, member, asking := w.node(), w.node(), w.node()
	s := w.stream(origin)
	w.assign(s, role{n: origin})
	w.play(origin, s, 5*time.Millisecond)
	first, err := member.Subscribe(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := member.Expect(asking.peer()); err != nil {
		t.Fatal(err)
	}
	w.assign(s, role{n: asking, parent: member})
	await(asking, func(e Refused) bool { return e.Fault == link.NoStream })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	l := listen(t, member, s.ID)
	w.assign(s, role{n: origin}, role{n: member, parent: origin})
	l.reach(100)
	l.whole()
}

// A grant that ends is renewed by the next assignment, without the child's noticing;
// one that is not renewed ends the feeding as soon as coordinators are heard again.
func TestGrantsEnd(t *testing.T) {
	w := newWorld(t)
	origin, child := w.node(), w.node()
	s := w.stream(origin)
	w.assign(s, role{n: origin})
	w.play(origin, s, 5*time.Millisecond)
	l := listen(t, child, s.ID)
	grant := func(left time.Duration) Assignment {
		up := w.upstream(s, origin, child, false)
		up.Grant = trust.SignGrant(w.key, trust.Grant{
			Region: "r1", Stream: s.ID, Child: child.identity.ID(), Lease: 1, Parent: origin.identity.ID(),
			Revision: w.rev, Expires: time.Now().Add(left),
		})
		return Assignment{Stream: s, Revision: w.rev, Layers: 1, Parent: up}
	}
	if err := origin.Expect(child.peer()); err != nil {
		t.Fatal(err)
	}
	if err := child.Assign(grant(time.Second)); err != nil {
		t.Fatal(err)
	}
	await(child, func(Established) bool { return true })
	renewed := time.Now().Add(1500 * time.Millisecond)
	if err := child.Assign(grant(3 * time.Second)); err != nil { // the same revision
		t.Fatal(err)
	}
	for time.Now().Before(renewed) {
		w.assign(s, role{n: origin})
		l.more(20)
	}
	if len(origin.stats(t).Children) != 1 {
		t.Fatal("the child was dismissed although its grant was renewed")
	}
	for len(origin.stats(t).Children) > 0 {
		origin.Heard() // of nothing new
		time.Sleep(50 * time.Millisecond)
	}
	l.whole()
}
