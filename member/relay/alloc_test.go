package relay

import (
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

func newPacket(size int) *rtp.Packet {
	return &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96}, Payload: make([]byte, size)}
}

// The whole way of a packet, from an application over a relay to a child's ring, on
// the kernel's sockets: what is allocated meanwhile (by pings, timers) is less than
// one allocation per packet.
func TestAPacketAllocatesNothing(t *testing.T) {
	w := newWorld(t)
	w.plain = true
	origin, middle, child := w.node(), w.node(), w.node()
	s := w.stream(origin)
	s.Layers = []region.Rate{region.MaxRate} // as fast as it can
	for _, n := range w.nodes {
		n.SetUplink(region.MaxRate)
	}
	w.assign(s, role{n: origin}, role{n: middle, parent: origin}, role{n: child, parent: middle})
	src, err := origin.Publish(s)
	if err != nil {
		t.Fatal(err)
	}
	await(middle, func(Established) bool { return true })
	await(child, func(Established) bool { return true })
	p := newPacket(1000)
	received := func() uint64 { return (*child.list.Load())[0].received() }
	const burst = 20
	sent := uint64(0)
	write := func() {
		for range burst {
			p.SequenceNumber++
			sent++
			if err := src.WriteRTP(0, p, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		for received() < sent {
			time.Sleep(50 * time.Microsecond)
		}
	}
	for range 400 { // fills rings and buffers
		write()
	}
	n := testing.AllocsPerRun(200, write) / burst
	t.Logf("%.2f allocations per packet", n)
	if n >= 1 {
		t.Errorf("%v allocations per packet", n)
	}
}

func (s *stream) received() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats.PacketsReceived
}

// The parts of the way that a packet takes in a relay, each on its own: exactly none.
func TestInsertAndForwardAllocateNothing(t *testing.T) {
	w := newWorld(t)
	w.plain = true
	a, b := w.node(), w.node()
	s := w.stream(a)
	w.assign(s, role{n: a}, role{n: b, parent: a})
	if _, err := a.Publish(s); err != nil {
		t.Fatal(err)
	}
	await(a, func(ChildAttached) bool { return true })

	st := (*a.list.Load())[0]
	p := newPacket(1000)
	var buf []byte
	index := uint64(1 << 16)
	insert := func() {
		index++
		var err error
		if buf, err = link.AppendPacket(buf[:0], p, s.SSRC, link.Stamp{Index: index, Captured: 1}); err != nil {
			t.Fatal(err)
		}
		h, _ := link.ParseHeader(buf)
		st.insert(nil, h, buf, a.now())
	}
	for range maxRing + 100 {
		insert()
	}
	if n := testing.AllocsPerRun(1000, insert); n > 0 {
		t.Errorf("insert: %v allocations", n)
	}
}

// Relays on sockets with batches carry what relays on plain ones do.
func TestBurstsCrossBatchedSockets(t *testing.T) {
	w := newWorld(t)
	w.plain = true
	a, b, c := w.node(), w.node(), w.node()
	s := w.stream(a)
	w.assign(s, role{n: a}, role{n: b, parent: a}, role{n: c, parent: b})
	l := listen(t, c, s.ID)
	src, err := a.Publish(s)
	if err != nil {
		t.Fatal(err)
	}
	await(b, func(Established) bool { return true })
	await(c, func(Established) bool { return true })
	p := newPacket(0)
	sent := 0
	for frame := range 60 {
		for i := range 20 { // packets of a frame: equal but the last
			p.SequenceNumber++
			p.Timestamp = uint32(frame)
			p.Payload = p.Payload[:0]
			p.Payload = append(p.Payload, make([]byte, 1000-500*(i/19))...)
			if err := src.WriteRTP(0, p, time.Now()); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		l.reach(sent)
	}
	l.whole()
}

func BenchmarkInsert(b *testing.B) {
	r := &Relay{cfg: DefaultConfig(), start: time.Now(), kicked: make(chan struct{}, 1)}
	s := &stream{r: r, info: region.Stream{ID: "s", Kind: region.Video, Layers: []region.Rate{1000}, SSRC: 8, Codec: "VP8"}}
	p, err := link.AppendPacket(nil, newPacket(1000), 8, link.Stamp{Index: 1 << 16})
	if err != nil {
		b.Fatal(err)
	}
	h, _ := link.ParseHeader(p)
	b.ReportAllocs()
	for b.Loop() {
		h.Index++
		s.insert(nil, h, p, int64(h.Index)*1e6)
	}
}
