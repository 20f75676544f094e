package relay

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// permit gives a node a permit for streams that a pattern names.
func (w *world) permit(n *node, pattern region.StreamID, change ...func(*trust.Grant)) {
	w.t.Helper()
	g := trust.Grant{Region: "r1", Stream: pattern, Child: n.identity.ID(), Lease: n.lease, Expires: time.Now().Add(time.Hour)}
	for _, f := range change {
		f(&g)
	}
	n.SetPermits([]Permit{{g, trust.SignGrant(w.key, g)}})
}

// A quarter is an origin, two that relay its voice and its music, and a leaf that has
// links with those two: it draws the music from one, and the other stands by.
type quarter struct {
	*world
	origin, one, two, leaf *node
	voice, music           region.Stream
}

func inQuarter(t *testing.T, story func(*testing.T, *quarter)) {
	onNetwork(t, func(t *testing.T, w *world) {
		quiet(w)
		w.kind = region.Audio
		c := &quarter{world: w, origin: w.node(), one: w.node(), two: w.node(), leaf: w.node()}
		c.voice, c.music = w.stream(c.origin), w.stream(c.origin)
		c.music.ID, c.music.SSRC = "plaza/music", 16000
		w.assign(c.music, role{n: c.origin}, role{n: c.one, parent: c.origin}, role{n: c.two, parent: c.origin},
			role{n: c.leaf, parent: c.one, standbys: []*node{c.two}})
		w.assign(c.voice, role{n: c.origin}, role{n: c.one, parent: c.origin}, role{n: c.two, parent: c.origin})
		listen(t, c.leaf, c.music.ID)
		w.play(c.origin, c.music, 20*time.Millisecond)
		w.play(c.origin, c.voice, 20*time.Millisecond)
		w.permit(c.leaf, "plaza/*")
		time.Sleep(3 * time.Second)
		story(t, c)
	})
}

// afford gives relays what they want of their uplink.
func afford(budget region.Rate, list ...*node) {
	for _, n := range list {
		n.keeper.leaf.want.Store(uint32(budget)) // as if it had been asked for
		n.SetLeafBudget(budget)
	}
	time.Sleep(2 * time.Second)
}

// seek asks neighbours for the voice.
func (c *quarter) seek() (region.MemberID, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return c.leaf.Seek(ctx, c.voice.ID)
}

// With a budget a neighbour feeds whoever has a permit at once; without one it refuses,
// and wants one of its coordinators.
func TestANeighbourFeedsALeafByItself(t *testing.T) {
	inQuarter(t, func(t *testing.T, c *quarter) {
		l := listen(t, c.leaf, c.voice.ID)
		if _, err := c.seek(); !errors.Is(err, region.ErrUnreachable) {
			t.Fatalf("nobody has a budget, and yet: %v", err)
		}
		if want := await(c.one, func(LeafWanted) bool { return true }).Want; want < c.voice.Rate(region.AllLayers) {
			t.Errorf("it refused a stream of %d and wants %d", c.voice.Rate(region.AllLayers), want)
		}
		c.one.SetLeafBudget(6250)
		time.Sleep(2 * time.Second)
		began := time.Now()
		parent, err := c.seek()
		if err != nil || parent != c.one.identity.ID() {
			t.Fatalf("%s, %v; want the one that it has a stream from already", parent, err)
		}
		l.more(1)
		if took := time.Since(began); took > 20*time.Millisecond+20*time.Millisecond+5*time.Millisecond {
			t.Errorf("the first packet took %v, a round trip is 20 ms and a packet comes every 20 ms", took)
		}
		l.more(500)
		l.whole()
		if s := c.leaf.Leaf(); s.Places != 1 {
			t.Errorf("the leaf: %+v", s)
		}
		if s := c.one.Leaf(); s.Children != 1 || s.Used != 1000 || s.Admitted != 1 {
			t.Errorf("its parent: %+v", s)
		}
		c.leaf.Abandon(c.voice.ID)
		time.Sleep(time.Second)
		if s := c.one.Leaf(); s.Children != 0 || s.Used != 0 {
			t.Errorf("its parent, when it wants no more: %+v", s)
		}
	})
}

// A permit is good for the stay it names, the streams it names, and its time.
func TestWithoutAPermitNobodyIsFed(t *testing.T) {
	for name, spoil := range map[string]func(*trust.Grant){
		"another's":          func(g *trust.Grant) { g.Child = "somebody" },
		"an old stay":        func(g *trust.Grant) { g.Lease-- },
		"expired":            func(g *trust.Grant) { g.Expires = time.Now().Add(-time.Second) },
		"a grant, no permit": func(g *trust.Grant) { g.Parent, g.Stream = "somebody", "plaza/camera-1" },
	} {
		t.Run(name, func(t *testing.T) {
			inQuarter(t, func(t *testing.T, c *quarter) {
				afford(5000, c.one, c.two)
				listen(t, c.leaf, c.voice.ID)
				c.permit(c.leaf, "plaza/*", spoil)
				if parent, err := c.seek(); err == nil {
					t.Errorf("%s fed it all the same", parent)
				}
				if c.one.Leaf().Children+c.two.Leaf().Children > 0 {
					t.Error("somebody feeds it")
				}
			})
		})
	}
	t.Run("for other streams", func(t *testing.T) {
		inQuarter(t, func(t *testing.T, c *quarter) {
			afford(5000, c.one, c.two)
			listen(t, c.leaf, c.voice.ID)
			c.permit(c.leaf, "stage/*")
			if _, err := c.seek(); !errors.Is(err, region.ErrForbidden) {
				t.Errorf("it does not even know: %v", err)
			}
			// It lies to itself, and asks; the neighbour reads what was signed.
			g := trust.Grant{Region: "r1", Stream: "stage/*", Child: c.leaf.identity.ID(), Lease: 1, Expires: time.Now().Add(time.Hour)}
			raw := trust.SignGrant(c.key, g)
			g.Stream = "*"
			c.leaf.SetPermits([]Permit{{g, raw}})
			if parent, err := c.seek(); err == nil {
				t.Errorf("%s fed it all the same", parent)
			}
		})
	})
}

// A permit is shown once, and judged each time: when it has ended it is of no use, and
// the next one is.
func TestAPermitIsJudgedEachTime(t *testing.T) {
	inQuarter(t, func(t *testing.T, c *quarter) {
		afford(5000, c.one)
		listen(t, c.leaf, c.voice.ID)
		for range 2 {
			c.permit(c.leaf, "plaza/*", func(g *trust.Grant) { g.Expires = time.Now().Add(10 * time.Second) })
			for range 3 {
				if _, err := c.seek(); err != nil {
					t.Fatal(err)
				}
				c.leaf.Abandon(c.voice.ID)
				time.Sleep(time.Second)
			}
			time.Sleep(10 * time.Second)
			if parent, err := c.seek(); err == nil {
				t.Errorf("%s feeds it though its permit has ended", parent)
			}
			time.Sleep(2 * time.Second)
		}
	})
}

// A leaf whose parent dies goes on with another neighbour, without a gap.
func TestALeafHealsAmongItsNeighbours(t *testing.T) {
	inQuarter(t, func(t *testing.T, c *quarter) {
		afford(5000, c.one, c.two)
		l := listen(t, c.leaf, c.voice.ID)
		if parent, err := c.seek(); err != nil || parent != c.one.identity.ID() {
			t.Fatal(parent, err)
		}
		l.more(100)
		c.one.host.Kill()
		e := await(c.leaf, func(Settled) bool { return true })
		if e.Parent != c.two.identity.ID() || e.From != c.one.identity.ID() {
			t.Errorf("it goes on with %s for %s", e.Parent, e.From)
		}
		l.more(200)
		l.whole()
		for _, s := range c.leaf.Stats().Streams {
			if s.GapMax > 300*time.Millisecond || s.Lost > 0 {
				t.Errorf("%s: a gap of %v, %d lost", s.Stream.ID, s.GapMax, s.Lost)
			}
		}
		// With the last neighbour the stream is gone, which is said once.
		c.two.host.Kill()
		await(c.leaf, func(e Forsaken) bool { return e.Stream == c.voice.ID })
	})
}

// A budget is never overdrawn: who comes too late is refused and told who else may
// have the stream; what the coordinators take back is let go.
func TestALeafBudgetIsALimit(t *testing.T) {
	inQuarter(t, func(t *testing.T, c *quarter) {
		afford(1500, c.one)
		var late *node
		for range 3 {
			n := c.node()
			c.permit(n, "*")
			c.assign(c.music, role{n: c.origin}, role{n: c.one, parent: c.origin}, role{n: c.two, parent: c.origin},
				role{n: c.leaf, parent: c.one}, role{n: n, parent: c.one})
			listen(t, n, c.voice.ID)
			time.Sleep(3 * time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := n.Seek(ctx, c.voice.ID)
			cancel()
			if (err == nil) != (late == nil) {
				t.Errorf("asked by %s: %v", n.identity.ID(), err)
			}
			late = n
			if s := c.one.Leaf(); s.Used > 1500 || s.Children != 1 {
				t.Errorf("%+v of 1500", s)
			}
		}
		if s := c.one.Leaf(); s.Refused == 0 || s.Want < 2000 {
			t.Errorf("%+v: it should want more", s)
		}
		// What it has use for it gets, and the one who was late is fed.
		c.one.SetLeafBudget(6250)
		time.Sleep(3 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := late.Seek(ctx, c.voice.ID); err != nil {
			t.Error(err)
		}
		c.one.Spare()
		time.Sleep(3 * time.Second)
		if s := c.one.Leaf(); s.Want != s.Used || s.Used != 2000 {
			t.Errorf("%+v: what is not used is wanted back", s)
		}
		c.one.SetLeafBudget(1000)
		time.Sleep(2 * shedAfter)
		if s := c.one.Leaf(); s.Used != 1000 {
			t.Errorf("%+v: half of it was taken away", s)
		}
	})
}

// When coordinators place a leaf it goes over without a gap, and the neighbour that fed
// it counts it no more; and back.
func TestALeafBecomesANodeOfATree(t *testing.T) {
	inQuarter(t, func(t *testing.T, c *quarter) {
		afford(5000, c.one, c.two)
		l := listen(t, c.leaf, c.voice.ID)
		if _, err := c.seek(); err != nil {
			t.Fatal(err)
		}
		l.more(50)
		for _, parent := range []*node{c.one, c.two} {
			c.assign(c.voice, role{n: c.origin}, role{n: c.one, parent: c.origin}, role{n: c.two, parent: c.origin}, role{n: c.leaf, parent: parent})
			await(c.leaf, func(e Established) bool { return e.Stream == c.voice.ID && e.Parent == parent.identity.ID() })
			l.more(100)
			if c.leaf.Leaf().Places+c.one.Leaf().Children+c.two.Leaf().Children > 0 {
				t.Error("it counts as a leaf still")
			}
		}
		c.leaf.Unassign(c.voice.ID)
		time.Sleep(time.Second)
		if _, err := c.seek(); err != nil {
			t.Fatal(err)
		}
		l.more(100)
		if c.leaf.Leaf().Places != 1 {
			t.Error("it is no leaf again")
		}
	})
}

// A leaf that wants more of a stream than the neighbour's budget has room for keeps what
// it has, and says so.
func TestALeafWantsMore(t *testing.T) {
	inQuarter(t, func(t *testing.T, c *quarter) {
		face := region.Stream{
			ID: "plaza/face", Origin: c.origin.identity.ID(), Kind: region.Video, Layers: []region.Rate{500, 1500}, SSRC: 32000, Codec: "VP8",
		}
		c.assign(face, role{n: c.origin}, role{n: c.one, parent: c.origin})
		film(t, c.origin, face, 1, 2)
		afford(600, c.one)
		k := clock(t, c.leaf, face.ID, 300*time.Millisecond)
		if err := c.leaf.Assign(Assignment{Stream: face, Revision: 1}); err != nil { // what it is, it has known before
			t.Fatal(err)
		}
		c.leaf.Unassign(face.ID)
		k.sink.Want(Wish{Layers: 1})
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.leaf.Seek(ctx, face.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		k.sink.Want(Wish{})
		await(c.leaf, func(e Cramped) bool { return e.Stream == face.ID })
		k.forget()
		time.Sleep(5 * time.Second)
		if low, high := k.within(0, time.Second), k.within(1, time.Second); low < 100 || high > 0 {
			t.Errorf("%d packets of the lower layer, %d of the upper", low, high)
		}
		if s := c.one.Leaf(); s.Used != 500 || s.Want < 2000 {
			t.Errorf("the neighbour: %+v", s)
		}
		c.one.SetLeafBudget(6250)
		time.Sleep(3 * time.Second)
		k.forget()
		time.Sleep(5 * time.Second)
		if high := k.within(1, time.Second); high < 100 {
			t.Errorf("with a budget %d packets of the upper layer", high)
		}
	})
}

// A stream that ends, or begins anew under the same name, takes its leaves along.
func TestALeafHearsThatAStreamBeginsAnew(t *testing.T) {
	inQuarter(t, func(t *testing.T, c *quarter) {
		afford(5000, c.one, c.two)
		l := listen(t, c.leaf, c.voice.ID)
		if _, err := c.seek(); err != nil {
			t.Fatal(err)
		}
		l.more(50)
		for _, n := range []*node{c.one, c.two} {
			n.Unassign(c.voice.ID)
		}
		await(c.leaf, func(e Forsaken) bool { return e.Stream == c.voice.ID })
		anew := c.voice
		anew.SSRC, anew.Origin = 24000, c.two.identity.ID()
		c.play(c.two, anew, 20*time.Millisecond)
		c.assign(anew, role{n: c.two})
		time.Sleep(3 * time.Second)
		if parent, err := c.seek(); err != nil || parent != c.two.identity.ID() {
			t.Fatal(parent, err)
		}
		l.more(50)
	})
}

// What is wanted of an uplink: at least a sixteenth, doubled as need be.
func TestLeafStep(t *testing.T) {
	for _, c := range []struct{ need, uplink, step region.Rate }{
		{0, 1600, 0}, {1, 1600, 100}, {100, 1600, 100}, {101, 1600, 200}, {900, 1600, 1600}, {9000, 1600, 1600}, {5, 0, 0}, {1, 3, 1},
	} {
		if got := leafStep(c.need, c.uplink); got != c.step {
			t.Errorf("%d of %d: %d, want %d", c.need, c.uplink, got, c.step)
		}
	}
}

// A budget grows as neighbours are refused, goes back when less has done for a minute
// or when it is wanted back, and who holds none can be refused nothing.
func TestALeafBudgetGoesBack(t *testing.T) {
	var b leafBudget
	const uplink = 400
	now := int64(time.Second)
	wants := func(after time.Duration, used, want region.Rate) {
		t.Helper()
		for end := now + int64(after); now < end; now += int64(tendInterval) {
			b.revise(used, uplink, now)
		}
		if got := region.Rate(b.want.Load()); got != want {
			t.Errorf("after %v with %d in use it wants %d, not %d", time.Duration(now), used, got, want)
		}
	}
	b.recalled.Store(true)
	wants(time.Second, 0, 0)
	b.miss(beliefKey{"talk", "child"}, 40, now)
	wants(time.Second, 0, 50)
	wants(missedFor+lowerAfter-10*time.Second, 0, 50)
	wants(20*time.Second, 0, 0)

	b.miss(beliefKey{"talk", "child"}, 40, now)
	wants(time.Second, 0, 50)
	wants(time.Hour, 40, 50)
	b.recalled.Store(true)
	wants(time.Second, 40, 40)
	b.miss(beliefKey{"talk", "another"}, 40, now)
	wants(time.Second, 40, 40)
	wants(sparingFor, 40, 50)
}

// A neighbour is asked once for a stream that is wanted as a voice: what is wanted of it is
// known before its layers are.
func TestALeafAsksOnce(t *testing.T) {
	inQuarter(t, func(t *testing.T, c *quarter) {
		afford(5000, c.one, c.two)
		sink, err := c.leaf.Subscribe(c.voice.ID)
		if err != nil {
			t.Fatal(err)
		}
		defer sink.Close()
		sink.Want(Wish{Voice: true, Priority: 250})
		before := c.leaf.tr.Control().Draws
		if _, err := c.seek(); err != nil {
			t.Fatal(err)
		}
		atOnce := c.leaf.tr.Control().Draws - before
		time.Sleep(3 * time.Second)
		if all := c.leaf.tr.Control().Draws - before; all != atOnce {
			t.Errorf("%d bytes of Draws and answers until it was fed, %d more afterwards", atOnce, all-atOnce)
		}
		c.one.mu.Lock()
		children := *c.one.streams[c.voice.ID].children.Load()
		c.one.mu.Unlock()
		if len(children) != 1 || !children[0].voice.Load() {
			t.Errorf("it is not fed as somebody who hears a voice: %d children", len(children))
		}
	})
}
