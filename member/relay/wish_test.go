package relay

import (
	"net/netip"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/world/simnet"
)

func TestWishesBecomeLayers(t *testing.T) {
	for _, c := range []struct {
		wish     Wish
		n        int
		mask     region.LayerMask
		scalable region.LayerMask
	}{
		{Wish{}, 3, 0b111, 0b111},
		{Wish{}, 0, region.AllLayers, region.AllLayers},
		{Wish{Paused: true}, 3, 0, 0},
		{Wish{Layers: 0b011}, 3, 0b011, 0b011},
		{Wish{Layers: 0b101}, 3, 0b101, 0b111},
		{Wish{Size: 1}, 3, 0b100, 0b111},
		{Wish{Size: 0.6}, 3, 0b100, 0b111},
		{Wish{Size: 0.5}, 3, 0b010, 0b011},
		{Wish{Size: 0.1}, 3, 0b001, 0b001},
		{Wish{Size: 1}, 1, 0b001, 0b001},
		{Wish{Size: 1, Layers: 0b011}, 3, 0b010, 0b011},
		{Wish{Size: 0.2, Layers: 0b100}, 3, 0b100, 0b111},
	} {
		s := region.Stream{Layers: make([]region.Rate, c.n)}
		if got := c.wish.mask(s); got != c.mask {
			t.Errorf("%+v of %d layers: %03b, want %03b", c.wish, c.n, got, c.mask)
		}
		s.Scalable = true
		if got := c.wish.mask(s); got != c.scalable {
			t.Errorf("%+v of %d layers that build upon one another: %03b, want %03b", c.wish, c.n, got, c.scalable)
		}
	}
}

// quiet is a network whose links are good.
func quiet(w *world) {
	w.net.Profile(func(_, _ netip.Addr) simnet.Link { return simnet.Link{Latency: 10 * time.Millisecond} })
}

// A stream of one layer that its only reader has paused is sent nowhere, and its
// publisher is told; when it goes on nothing counts as lost.
func TestAPausedStreamIsNotSent(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		quiet(w)
		w.kind = region.Audio
		origin, middle, leaf := w.node(), w.node(), w.node()
		s := w.stream(origin)
		w.assign(s, role{n: origin}, role{n: middle, parent: origin}, role{n: leaf, parent: middle})
		c := clock(t, leaf, s.ID, 300*time.Millisecond)
		p := w.play(origin, s, 20*time.Millisecond)
		time.Sleep(3 * time.Second)
		c.sink.Want(Wish{Paused: true})
		if e := await(origin, func(LayersWanted) bool { return true }); e.Layers != 0 {
			t.Errorf("wanted are %b", e.Layers)
		}
		time.Sleep(time.Second)
		before := middle.stats(t).PacketsReceived
		c.forget()
		time.Sleep(10 * time.Second)
		if n := middle.stats(t).PacketsReceived - before; n != 0 || c.within(0, time.Hour) != 0 {
			t.Errorf("while it was paused %d packets were sent, %d read", n, c.within(0, time.Hour))
		}
		sent := p.sent.Load()
		c.sink.Want(Wish{})
		time.Sleep(3 * time.Second)
		if got, want := c.within(0, 100*time.Millisecond), int(p.sent.Load()-sent); got < want-10 {
			t.Errorf("%d of %d packets after the pause", got, want)
		}
		if st := leaf.stats(t); st.Lost > 0 || st.GapMax > time.Second {
			t.Errorf("the pause counts as a loss of %d packets and a gap of %v", st.Lost, st.GapMax)
		}
	})
}

// While others read the stream, one that has paused it for long keeps its parent, who
// need not tell it that it is alive; when it goes on the first packet comes at once.
func TestALongPauseCostsNothing(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		quiet(w)
		w.kind = region.Audio
		origin, other, leaf, standby := w.node(), w.node(), w.node(), w.node()
		s := w.stream(origin)
		w.assign(s, role{n: origin}, role{n: other, parent: origin}, role{n: standby, parent: origin},
			role{n: leaf, parent: origin, standbys: []*node{standby}})
		clock(t, other, s.ID, 300*time.Millisecond)
		c := clock(t, leaf, s.ID, 300*time.Millisecond)
		w.play(origin, s, 20*time.Millisecond)
		time.Sleep(3 * time.Second)
		c.sink.Want(Wish{Paused: true})
		time.Sleep(5 * time.Second)
		parent, before := leaf.stats(t).Parent, leaf.cfg.Transport.Control().Sum()
		time.Sleep(time.Minute)
		if spent := leaf.cfg.Transport.Control().Sum() - before; spent > 60*150 {
			t.Errorf("a minute of pause took %d bytes of control", spent)
		}
		for range 3 {
			c.forget()
			c.sink.Want(Wish{})
			time.Sleep(60 * time.Millisecond) // a round trip is 20 ms
			if c.within(0, time.Hour) == 0 {
				t.Error("nothing came a round trip after the pause")
			}
			time.Sleep(5 * time.Second)
			c.sink.Want(Wish{Paused: true})
			time.Sleep(20 * time.Second)
		}
		if st := leaf.stats(t); st.Parent != parent || st.Lost > 0 {
			t.Errorf("parent %s, was %s; %d lost", st.Parent, parent, st.Lost)
		}
	})
}

// Two streams share a link that carries one: that of the lower priority gives way,
// though it is the cheaper one.
func TestTheLowerPriorityGivesWay(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		quiet(w)
		origin, leaf := w.node(), w.node()
		face, slides := w.stream(origin), w.stream(origin)
		face.Layers, slides.Layers = []region.Rate{240, 960}, []region.Rate{240, 1200}
		slides.ID, slides.SSRC = "plaza/slides", 16000
		var clocks []*stopwatch
		for i, s := range []region.Stream{face, slides} {
			w.assign(s, role{n: origin}, role{n: leaf, parent: origin})
			clocks = append(clocks, clock(t, leaf, s.ID, 300*time.Millisecond))
			clocks[i].sink.Want(Wish{Priority: uint8(i)})
		}
		film(t, origin, face, 1, 4)
		film(t, origin, slides, 1, 5)
		time.Sleep(5 * time.Second)
		w.net.SetLink(origin.host.Addr(), leaf.host.Addr(), simnet.Link{Latency: 10 * time.Millisecond, Bandwidth: 2_200_000 / 8})
		time.Sleep(5 * time.Second)
		for _, c := range clocks {
			c.forget()
		}
		time.Sleep(time.Minute)
		low, high := clocks[0].within(1, time.Hour), clocks[1].within(1, 300*time.Millisecond)
		t.Logf("%d packets of the upper layer of the face, %d of the slides", low, high)
		if high < 1500 || low > high/4 {
			t.Errorf("%d packets of the upper layer of the face, %d of the slides", low, high)
		}
	})
}

// Of a critical stream a standby sends an extra copy: the loss of the parent leaves no
// gap. Without uplink to spare it does not, and stops when somebody else needs it.
func TestACriticalStreamHasTwoParents(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		quiet(w)
		w.kind = region.Audio
		origin, parent, other, leaf, late := w.node(), w.node(), w.node(), w.node(), w.node()
		other.SetUplink(1500) // one child, and no second
		s := w.stream(origin)
		roles := []role{
			{n: origin}, {n: parent, parent: origin}, {n: other, parent: origin},
			{n: leaf, parent: parent, standbys: []*node{other}},
		}
		w.assign(s, roles...)
		c := clock(t, leaf, s.ID, 300*time.Millisecond)
		c.sink.Want(Wish{Critical: true})
		w.play(origin, s, 20*time.Millisecond)
		time.Sleep(3 * time.Second)
		copies := leaf.stats(t).Duplicates
		time.Sleep(2 * time.Second)
		if n := leaf.stats(t).Duplicates - copies; n < 95 {
			t.Errorf("%d extra copies in 2 s, want 100", n)
		}
		// Somebody else needs the standby's uplink.
		w.assign(s, append(roles, role{n: late, parent: other})...)
		await(other, func(ChildAttached) bool { return len(other.stats(t).Children) == 1 })
		time.Sleep(time.Second)
		copies = leaf.stats(t).Duplicates
		time.Sleep(2 * time.Second)
		if n := leaf.stats(t).Duplicates - copies; n != 0 {
			t.Errorf("%d extra copies though there is no uplink for them", n)
		}
		late.kill()
		time.Sleep(15 * time.Second)
		w.assign(s, roles...)
		time.Sleep(10 * time.Second)
		c.forget()
		parent.host.PowerOff()
		time.Sleep(3 * time.Second)
		if st := leaf.stats(t); c.longest() > 45*time.Millisecond || st.Lost > 0 || st.Parent != other.identity.ID() {
			t.Errorf("the loss of a parent left a gap of %v and %d packets, and %s", c.longest(), st.Lost, st.Parent)
		}
	})
}
