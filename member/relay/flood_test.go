package relay

import (
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// An origin sends a hundred times what it promised: its child takes a few times that,
// names it, and feeds the others from another origin as if nothing were.
func TestAFloodEndsAtTheFirstHop(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		quiet(w)
		w.kind = region.Audio
		honest, flooder, middle, leaf := w.node(), w.node(), w.node(), w.node()
		good, bad := w.stream(honest), w.stream(flooder)
		good.Layers, bad.Layers = []region.Rate{100}, []region.Rate{100}
		bad.ID, bad.SSRC = "plaza/noise", 16000
		w.assign(good, role{n: honest}, role{n: middle, parent: honest}, role{n: leaf, parent: middle})
		w.assign(bad, role{n: flooder}, role{n: middle, parent: flooder}, role{n: leaf, parent: middle})
		c := clock(t, leaf, good.ID, 300*time.Millisecond)
		p := w.play(honest, good, 20*time.Millisecond)
		src, err := flooder.Publish(bad)
		if err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			for i := uint16(0); ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
				_ = src.WriteRTP(0, &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: i}, Payload: make([]byte, 1200)}, time.Time{})
			}
		}()
		// What is dropped is missed, asked for and sent again: that may be named first.
		e := await(middle, func(e Offended) bool { return e.Offence == link.Flood })
		if e.Peer != flooder.identity.ID() {
			t.Errorf("named is %+v", e)
		}
		c.forget()
		before, bytes := p.sent.Load(), streamOf(leaf, bad.ID).PacketsReceived
		time.Sleep(10 * time.Second)
		if n := streamOf(leaf, bad.ID).PacketsReceived - bytes; n > 10*2_500_000/8/1200 {
			t.Errorf("%d packets of the flood came through in 10 s", n)
		}
		if got, want := c.within(0, 100*time.Millisecond), int(p.sent.Load()-before); got < want-5 {
			t.Errorf("%d of %d packets of the other stream in time", got, want)
		}
	})
}

func streamOf(n *node, id region.StreamID) StreamStats {
	for _, s := range n.Stats().Streams {
		if s.Stream.ID == id {
			return s
		}
	}
	return StreamStats{}
}
