package link

import (
	"net/netip"
	"testing"
	"time"

	"github.com/skein-mesh/skein/test/world"
	"github.com/skein-mesh/skein/test/world/simnet"
)

// onHosts is two ends on a simulated network with a link between them, in virtual time.
func onHosts(t *testing.T, story func(a, b *end, ab, ba *Link)) {
	world.Bubble(t, 30*time.Second, func(t *testing.T) {
		n := simnet.New(1)
		defer n.Close()
		n.Profile(func(_, _ netip.Addr) simnet.Link { return simnet.Link{Latency: 10 * time.Millisecond} })
		on := func(host string) *end {
			return newEnd(t, func(c *Config) { c.Network, c.Listen = n.Host(host), host+":7500" })
		}
		a, b := on("10.0.0.1"), on("10.0.0.2")
		ab, ba := join(t, a, b)
		story(a, b, ab, ba)
		for _, e := range []*end{a, b} {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Minute) // what pion has begun ends
	})
}

// A session lives on without what made it, and ends by the peer's word, not by silence.
func TestASettledSession(t *testing.T) {
	onHosts(t, func(a, b *end, ab, ba *Link) {
		time.Sleep(time.Minute)
		for _, l := range []*Link{ab, ba} {
			s := l.session.Load()
			if s == nil || l.Session() != 1 || l.State() != Up {
				t.Fatalf("session %d is %v", l.Session(), l.State())
			}
			s.freed.Do(func() { t.Error("the session keeps what made it") })
		}
		batch := a.Batch()
		add(t, batch, ab, packet(t, 1))
		batch.Flush()
		b.until(func() bool { return len(b.packets) == 1 })
		a.Forget(b.identity.ID())
		began := time.Now()
		b.until(func() bool { return ba.State() == Connecting })
		if took := time.Since(began); took > 15*time.Millisecond {
			t.Errorf("the end was noticed after %v", took)
		}
		ab = a.expect(t, b)
		b.until(func() bool { return ba.State() == Up })
		a.until(func() bool { return ab.State() == Up })
	})
}

// A peer that crashed is met again.
func TestASettledSessionAfterACrash(t *testing.T) {
	world.Bubble(t, 30*time.Second, func(t *testing.T) {
		n := simnet.New(1)
		defer n.Close()
		n.Profile(func(_, _ netip.Addr) simnet.Link { return simnet.Link{Latency: 10 * time.Millisecond} })
		host := n.Host("10.0.0.2")
		on := func(h *simnet.Host) func(*Config) {
			return func(c *Config) { c.Network, c.Listen = h, netip.AddrPortFrom(h.Addr(), 7500).String() }
		}
		a, b := newEnd(t, on(n.Host("10.0.0.1"))), newEnd(t, on(host))
		ab, _ := join(t, a, b)
		time.Sleep(time.Minute)
		host.Kill()
		_ = b.Close() // its socket is gone
		a.until(func() bool { return ab.State() == Connecting })
		host.PowerOn()
		again := newEndOf(t, b.identity, 2, on(host))
		ab = a.expect(t, again)
		again.expect(t, a)
		a.until(func() bool { return ab.State() == Up })
		for _, e := range []*end{a, again} {
			_ = e.Close()
		}
		time.Sleep(time.Minute)
	})
}

// A link that nobody relies on is pinged more seldom, whichever end says so first, and its end
// is noticed all the same.
func TestAnEasedLink(t *testing.T) {
	onHosts(t, func(a, b *end, ab, ba *Link) {
		pings := func() uint64 {
			before := a.Control().Pings
			for range 60 {
				time.Sleep(time.Second)
				if ab.State() != Up || ba.State() != Up {
					t.Errorf("it is %v and %v", ab.State(), ba.State())
				}
			}
			return a.Control().Pings - before
		}
		tense := pings()
		ab.Ease(true)
		pings()
		ab.Ease(false)
		ba.Ease(true)
		pings()
		ab.Ease(true)
		if eased := pings(); eased*3 > tense*2 || eased == 0 {
			t.Errorf("%d bytes of pings a minute, %d when somebody relies on it", eased, tense)
		}
		if ab.RTT() == 0 || ba.RTT() == 0 {
			t.Error("it is not measured")
		}
		_ = b.socket.close() // it crashes
		began := time.Now()
		a.until(func() bool { return ab.State() == Silent })
		if took := time.Since(began); took > 14*time.Second {
			t.Errorf("the end was noticed after %v", took)
		}
	})
}
