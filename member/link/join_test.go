package link

import (
	"testing"

	"github.com/pion/rtp"
)

func packetOf(t testing.TB, ssrc uint32, index uint64, payload int) []byte {
	t.Helper()
	p := &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96}, Payload: make([]byte, payload)}
	b, err := AppendPacket(nil, p, ssrc, Stamp{Index: index, Captured: 1})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What goes to a peer at the same time goes in as few datagrams as the kernel makes of it,
// and what is of one stream in its order.
func TestStreamsShareATrain(t *testing.T) {
	type small struct {
		ssrc    uint32
		payload int
	}
	for name, c := range map[string]struct {
		packets []small
		trains  int
	}{
		"whereabouts before a voice":       {[]small{{8, 20}, {16, 120}}, 1},
		"whereabouts behind a voice":       {[]small{{16, 120}, {8, 20}}, 1},
		"behind a picture":                 {[]small{{8, 800}, {8, 800}, {8, 800}, {16, 120}}, 1},
		"three sizes":                      {[]small{{8, 20}, {16, 120}, {24, 800}}, 2},
		"a stream whose packets grow":      {[]small{{8, 20}, {8, 120}}, 2},
		"large ones of two streams":        {[]small{{8, 900}, {16, 800}}, 2},
		"behind one that is short already": {[]small{{8, 800}, {8, 300}, {16, 120}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			a, b, other := newEnd(t, nil), newEnd(t, nil), newEnd(t, nil)
			ab, _ := join(t, a, b)
			ao, _ := join(t, a, other)
			for from, i := 0, 1; from < len(c.packets); i++ { // stream by stream, peer by peer
				if i < len(c.packets) && c.packets[i].ssrc == c.packets[from].ssrc {
					continue
				}
				for _, l := range []*Link{ab, ao} {
					for k, p := range c.packets[from:i] {
						add(t, a.Batch(), l, packetOf(t, p.ssrc, 1<<16+uint64(from+k), p.payload))
					}
				}
				from = i
			}
			a.Batch().join()
			if n := len(a.Batch().trains); n != 2*c.trains {
				t.Errorf("%d trains to two peers, want %d to each", n, c.trains)
			}
			a.Batch().Flush()
			for _, e := range []*end{b, other} {
				e.until(func() bool { return len(e.packets) == len(c.packets) })
				last := make(map[uint32]uint64)
				for _, p := range e.packets {
					h, ok := ParseHeader(p)
					if !ok || h.Index < last[h.SSRC] {
						t.Errorf("%+v after index %d", h, last[h.SSRC])
					}
					last[h.SSRC] = h.Index
				}
			}
		})
	}
}
