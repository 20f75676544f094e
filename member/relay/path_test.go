package relay

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/region"
	bubble "github.com/skein-mesh/skein/test/world"
	"github.com/skein-mesh/skein/test/world/simnet"
)

// onNetwork runs f in virtual time on a simulated network.
func onNetwork(t *testing.T, f func(t *testing.T, w *world)) {
	t.Parallel()
	bubble.Bubble(t, 30*time.Second, func(t *testing.T) {
		n := simnet.New(1)
		w := newWorld(t)
		w.net = n
		t.Cleanup(n.Close)
		f(t, w)
		for _, n := range w.nodes {
			n.end()
		}
		time.Sleep(time.Minute) // what pion has begun ends
	})
}

// stopwatch reads a sink and notes how long after capture each packet was handed out.
type stopwatch struct {
	mu     sync.Mutex
	delays map[int][]time.Duration // by layer
	done   sync.WaitGroup
	sink   *Sink
	from   time.Time     // only what was captured since counts
	gap    time.Duration // the longest between two packets of any layer
}

func clock(t *testing.T, n *node, id region.StreamID, playout time.Duration) *stopwatch {
	t.Helper()
	sink, err := n.Subscribe(id)
	if err != nil {
		t.Fatal(err)
	}
	sink.SetPlayout(playout)
	s := &stopwatch{sink: sink, delays: make(map[int][]time.Duration)}
	ctx, cancel := context.WithCancel(context.Background())
	s.done.Go(func() {
		var at time.Time
		for {
			p, err := sink.ReadRTP(ctx)
			if err != nil {
				return
			}
			now := time.Now()
			s.mu.Lock()
			if !p.Captured.Before(s.from) {
				s.delays[p.Layer] = append(s.delays[p.Layer], now.Sub(p.Captured))
			}
			if !at.IsZero() {
				s.gap = max(s.gap, now.Sub(at))
			}
			at = now
			s.mu.Unlock()
		}
	})
	t.Cleanup(func() { cancel(); s.done.Wait() })
	return s
}

// forget begins to count anew.
func (s *stopwatch) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.delays)
	s.from = time.Now()
	s.gap = 0
}

func (s *stopwatch) longest() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gap
}

// within counts the packets of a layer that came within d.
func (s *stopwatch) within(layer int, d time.Duration) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, delay := range s.delays[layer] {
		if delay <= d {
			n++
		}
	}
	return n
}

// film publishes a video of that many packets per frame and layer, 30 frames per
// second, with a keyframe every second, until the test ends.
func film(t *testing.T, n *node, s region.Stream, packets ...int) (sent func(layer int) int) {
	t.Helper()
	src, err := n.Publish(s)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var done sync.WaitGroup
	counts := make([]int, len(packets))
	stop := make(chan struct{})
	done.Go(func() {
		tick := time.NewTicker(time.Second / 30)
		defer tick.Stop()
		seq := make([]uint16, len(packets))
		for frame := 0; ; frame++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for layer, count := range packets {
				for i := range count {
					p := &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, Timestamp: uint32(frame) * 3000}, Payload: make([]byte, 1000)}
					p.Payload[0], p.Payload[1] = 0x10, 1
					if frame%30 == 0 && i == 0 {
						p.Payload[1] = 0 // a keyframe of VP8
					}
					seq[layer]++
					p.SequenceNumber, p.Marker = seq[layer], i == count-1
					if err := src.WriteRTP(layer, p, time.Now()); err != nil {
						t.Error(err)
						return
					}
				}
				mu.Lock()
				counts[layer] += count
				mu.Unlock()
			}
		}
	})
	t.Cleanup(func() { close(stop); done.Wait() })
	return func(layer int) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[layer]
	}
}

// Four hops of which each loses five packets in a hundred and is late by up to
// 30 ms: of a thousand packets all but one come within 300 ms.
func TestFourBadHops(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		w.net.Profile(func(_, _ netip.Addr) simnet.Link {
			return simnet.Link{Latency: 5 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.05}
		})
		w.kind = region.Audio
		chain := []*node{w.node(), w.node(), w.node(), w.node(), w.node()}
		s := w.stream(chain[0])
		roles := []role{{n: chain[0]}}
		for i, n := range chain[1:] {
			roles = append(roles, role{n: n, parent: chain[i]})
		}
		w.assign(s, roles...)
		last := clock(t, chain[4], s.ID, 300*time.Millisecond)
		p := w.play(chain[0], s, 20*time.Millisecond)
		time.Sleep(10 * time.Second)
		last.forget()
		before := p.sent.Load()
		time.Sleep(10 * time.Minute)
		sent := int(p.sent.Load() - before)
		p.end()
		time.Sleep(300 * time.Millisecond)
		in := last.within(0, 300*time.Millisecond)
		t.Logf("%d of %d packets within 300 ms: %.3f %%", in, sent, 100*float64(in)/float64(sent))
		if float64(in) < 0.999*float64(sent) {
			t.Errorf("%d of %d packets within 300 ms", in, sent)
		}
	})
}

// One link becomes too narrow: that child gets lower layers within two seconds, and
// its siblings notice nothing. When the link is wide again it gets all, by and by.
func TestANarrowLinkGetsLowerLayers(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		wide := simnet.Link{Latency: 10 * time.Millisecond}
		w.net.Profile(func(_, _ netip.Addr) simnet.Link { return wide })
		origin, hub := w.node(), w.node()
		s := w.stream(origin)
		s.Layers = []region.Rate{240, 480, 1440}
		roles := []role{{n: origin}, {n: hub, parent: origin}}
		var children []*node
		for range 4 {
			n := w.node()
			children = append(children, n)
			roles = append(roles, role{n: n, parent: hub})
		}
		w.assign(s, roles...)
		var clocks []*stopwatch
		for _, n := range children {
			clocks = append(clocks, clock(t, n, s.ID, 300*time.Millisecond))
		}
		sent := film(t, origin, s, 1, 2, 6)
		time.Sleep(5 * time.Second)
		for _, c := range clocks {
			c.forget()
		}
		narrow := wide
		narrow.Bandwidth = 500_000 / 8
		w.net.SetLink(hub.host.Addr(), children[0].host.Addr(), narrow)
		time.Sleep(2 * time.Second)
		for _, c := range clocks[1:] {
			if c.longest() > 50*time.Millisecond {
				t.Errorf("a sibling saw a gap of %v", c.longest())
			}
		}
		poor := clocks[0]
		poor.forget()
		before := sent(0)
		time.Sleep(3 * time.Second)
		got, want := poor.within(0, 300*time.Millisecond), sent(0)-before
		t.Logf("layers of the poor child in 3 s: %d of %d, %d, %d; room %d", got, want,
			poor.within(1, time.Hour), poor.within(2, time.Hour), hub.tr.Link(children[0].identity.ID()).Room())
		if got < want*8/10 { // the queue drains for a moment
			t.Errorf("the poor child got %d of %d packets of the lowest layer in time", got, want)
		}
		if n := poor.within(2, time.Hour); n > 0 {
			t.Errorf("the poor child still got %d packets of the highest layer", n)
		}
		w.net.SetLink(hub.host.Addr(), children[0].host.Addr(), wide)
		time.Sleep(time.Minute)
		poor.forget()
		before = sent(2)
		time.Sleep(3 * time.Second)
		if got, want := poor.within(2, 300*time.Millisecond), sent(2)-before; got < want*9/10 {
			t.Errorf("a minute later the child got %d of %d packets of the highest layer", got, want)
		}
		for i, c := range clocks[1:] {
			if st := children[i+1].stats(t); st.Lost != 0 || c.longest() > 50*time.Millisecond {
				t.Errorf("sibling %d lost %d packets, longest gap %v", i, st.Lost, c.longest())
			}
		}
	})
}

// Layers that nobody wants are not drawn, recursively, and the publisher is told.
func TestUnwantedLayersAreNotDrawn(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		w.net.Profile(func(_, _ netip.Addr) simnet.Link { return simnet.Link{Latency: 10 * time.Millisecond} })
		origin, middle, leaf := w.node(), w.node(), w.node()
		s := w.stream(origin)
		s.Layers = []region.Rate{240, 480, 1440}
		w.assign(s, role{n: origin}, role{n: middle, parent: origin}, role{n: leaf, parent: middle})
		c := clock(t, leaf, s.ID, 300*time.Millisecond)
		film(t, origin, s, 1, 2, 6)
		time.Sleep(5 * time.Second)
		c.sink.Want(Wish{Layers: 1 << 1})
		if e := await(origin, func(LayersWanted) bool { return true }); e.Layers != 1<<1 {
			t.Errorf("wanted are %b", e.Layers)
		}
		time.Sleep(time.Second)
		c.forget()
		time.Sleep(2 * time.Second)
		if c.within(1, time.Second) == 0 || c.within(0, time.Hour)+c.within(2, time.Hour) > 0 {
			t.Errorf("got %d, %d, %d packets", c.within(0, time.Hour), c.within(1, time.Hour), c.within(2, time.Hour))
		}
		if st := middle.stats(t); st.Layers != 1<<1 {
			t.Errorf("layers %b are said to come", st.Layers)
		}
		c.sink.Want(Wish{})
		if e := await(origin, func(LayersWanted) bool { return true }); e.Layers != 1<<3-1 {
			t.Errorf("wanted are %b", e.Layers)
		}
		time.Sleep(2 * time.Second)
		c.forget()
		time.Sleep(2 * time.Second)
		t.Logf("rooms %d, %d; drawn %v", origin.tr.Link(middle.identity.ID()).Room(), middle.tr.Link(leaf.identity.ID()).Room(), origin.stats(t).PacketsSent)
		for layer, least := range []int{55, 110, 330} {
			if got := c.within(layer, time.Second); got < least {
				t.Errorf("layer %d: %d packets in 2 s", layer, got)
			}
		}
		if st := leaf.stats(t); st.Lost > 0 {
			t.Errorf("%d packets count as lost", st.Lost)
		}
	})
}
