package relay

import (
	"net/netip"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/world/simnet"
)

// family is an origin that feeds two, one of which feeds a leaf whose standby the other
// is; a stream of 50 packets per second, 20 ms between any two.
func family(t *testing.T, w *world, change ...func(*Config)) (parent, standby, leaf *node, c *stopwatch) {
	t.Helper()
	quiet(w)
	w.kind = region.Audio
	origin := w.node()
	parent, standby, leaf = w.node(), w.node(), w.node(change...)
	s := w.stream(origin)
	w.assign(s, role{n: origin}, role{n: parent, parent: origin}, role{n: standby, parent: origin},
		role{n: leaf, parent: parent, standbys: []*node{standby}})
	c = clock(t, leaf, s.ID, 300*time.Millisecond)
	w.play(origin, s, 20*time.Millisecond)
	time.Sleep(5 * time.Second)
	c.forget()
	return parent, standby, leaf, c
}

// What a parent that died owed is there before its silence is certain: the standby
// was asked as soon as the parent was late.
func TestADoubtedParentIsMadeUpFor(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		parent, standby, leaf, c := family(t, w)
		parent.host.PowerOff()
		time.Sleep(3 * time.Second)
		st := leaf.stats(t)
		t.Logf("gap %v", c.longest())
		if c.longest() >= 100*time.Millisecond || st.Lost > 0 || st.Parent != standby.identity.ID() {
			t.Errorf("a gap of %v, %d packets lost, and %s feeds the leaf", c.longest(), st.Lost, st.Parent)
		}
	})
}

// A parent that was late keeps its child, and the standby sends no longer than it
// is needed.
func TestADoubtedParentIsKept(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		parent, _, leaf, c := family(t, w)
		before := leaf.stats(t)
		from, to := parent.host.Addr(), leaf.host.Addr()
		w.net.Partition(func(src, dst netip.Addr) bool { return src == from && dst == to })
		time.Sleep(200 * time.Millisecond)
		w.net.Partition(nil)
		time.Sleep(time.Second)
		st := leaf.stats(t)
		if c.longest() > 90*time.Millisecond || st.Lost > 0 || st.Parent != parent.identity.ID() {
			t.Errorf("a gap of %v, %d packets lost, and %s feeds the leaf", c.longest(), st.Lost, st.Parent)
		}
		if n := st.Duplicates - before.Duplicates; n > 10 {
			t.Errorf("%d packets came twice", n)
		}
		for {
			select {
			case e := <-leaf.Events():
				if _, ok := e.(ParentSwitched); ok {
					t.Errorf("%+v", e)
				}
				continue
			default:
			}
			break
		}
	})
}

// Who is late with everything asks nobody for copies because his parent seems late.
func TestWhoIsLateDoubtsNobody(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		parent, _, leaf, _ := family(t, w, late(200*time.Millisecond))
		before := leaf.stats(t)
		from, to := parent.host.Addr(), leaf.host.Addr()
		w.net.Partition(func(src, dst netip.Addr) bool { return src == from && dst == to })
		time.Sleep(95 * time.Millisecond)
		w.net.Partition(nil)
		time.Sleep(time.Second)
		if n := leaf.stats(t).Duplicates - before.Duplicates; n > 0 {
			t.Errorf("%d packets came twice", n)
		}
	})
}

func late(by time.Duration) func(*Config) {
	return func(c *Config) { c.Late = func() time.Duration { return by } }
}

// Who is late tells no child of pauses that there may not be, and waits longer for answers.
func TestWhoIsLateTellsOfNoPause(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		w.kind = region.Audio
		told := make(map[time.Duration]uint64)
		for _, by := range []time.Duration{0, 300 * time.Millisecond} {
			origin, child := w.node(late(by)), w.node()
			s := w.stream(origin)
			w.assign(s, role{n: origin}, role{n: child, parent: origin})
			p := w.play(origin, s, 20*time.Millisecond)
			time.Sleep(3 * time.Second)
			p.end()
			before := origin.tr.Control().Tips
			time.Sleep(250 * time.Millisecond)
			told[by] = origin.tr.Control().Tips - before
			time.Sleep(time.Second)
			if origin.tr.Control().Tips == before {
				t.Errorf("late by %v, it does not tell where the stream has ended", by)
			}
			if got, want := origin.keeper.patience(&upstream{link: origin.tr.Link(child.identity.ID())}), answerTime+4*by; got != want {
				t.Errorf("late by %v, it waits %v for an answer, want %v", by, got, want)
			}
		}
		if told[0] == 0 || told[300*time.Millisecond] != 0 {
			t.Errorf("bytes of tips within 250 ms of the end, by how late it is: %v", told)
		}
	})
}

// Two that count on one another lose their parent at the same moment, and each doubts
// it. They do not pass the question to and fro.
func TestTwoThatDoubtDoNotAskOneAnotherForEver(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		w.net.Profile(func(_, _ netip.Addr) simnet.Link { return simnet.Link{Latency: time.Millisecond} })
		w.kind = region.Audio
		origin, left, right := w.node(), w.node(), w.node()
		s := w.stream(origin)
		w.assign(s, role{n: origin}, role{n: left, parent: origin, standbys: []*node{right}},
			role{n: right, parent: origin, standbys: []*node{left}})
		clock(t, left, s.ID, 300*time.Millisecond)
		clock(t, right, s.ID, 300*time.Millisecond)
		w.play(origin, s, 20*time.Millisecond)
		time.Sleep(5 * time.Second)
		origin.host.PowerOff()
		time.Sleep(3 * time.Second)
		asked := 0
		for _, n := range []*node{left, right} {
			for more := true; more; {
				select {
				case e := <-n.Events():
					if _, ok := e.(ChildAttached); ok {
						asked++
					}
				default:
					more = false
				}
			}
		}
		if asked > 8 {
			t.Errorf("they fed one another %d times within 3 s", asked)
		}
	})
}
