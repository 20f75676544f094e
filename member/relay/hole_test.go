package relay

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/test/world/simnet"
)

// pour publishes 50 packets of 1000 bytes a second until the story ends.
func pour(t *testing.T, src *Source) {
	t.Helper()
	untilTheEnd(t, 20*time.Millisecond, func(n uint16) {
		p := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: n, Timestamp: uint32(n) * 1800, Marker: true}, Payload: make([]byte, 1000)}
		if err := src.WriteRTP(0, p, time.Time{}); err != nil {
			t.Error(err)
		}
	})
}

// untilTheEnd does something again and again, and counts, until the test ends.
func untilTheEnd(t *testing.T, every time.Duration, do func(n uint16)) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := uint16(0); ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			do(n)
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
}

// A link that was found to be narrow loses 0.4 s of a stream: that is more than may be sent
// again at once, and comes nevertheless.
func TestAHoleIsFilledOverANarrowLink(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		wide := simnet.Link{Latency: 20 * time.Millisecond}
		w.net.Profile(func(_, _ netip.Addr) simnet.Link { return wide })
		origin, child := w.node(), w.node()
		s := w.stream(origin)
		w.assign(s, role{n: origin}, role{n: child, parent: origin})
		clock(t, child, s.ID, 2*time.Second)
		src, err := origin.Publish(s)
		if err != nil {
			t.Fatal(err)
		}
		pour(t, src)
		time.Sleep(3 * time.Second)
		way := func(link simnet.Link) { w.net.SetLink(origin.host.Addr(), child.host.Addr(), link) }
		narrow, broken := wide, wide
		narrow.Bandwidth, broken.Loss = 200_000/8, 1
		way(narrow)
		time.Sleep(2 * time.Second)
		way(wide)
		time.Sleep(3 * time.Second)
		if origin.tr.Link(child.identity.ID()).Room() == 0 {
			t.Fatal("the link was not found to be narrow")
		}
		before := child.stats(t).Lost
		way(broken)
		time.Sleep(400 * time.Millisecond)
		way(wide)
		time.Sleep(5 * time.Second)
		if lost := child.stats(t).Lost - before; lost != 0 {
			t.Errorf("%d packets of the hole did not come", lost)
		}
	})
}
