package link

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// recorder is a Handler that keeps what it gets.
type recorder struct {
	mu       sync.Mutex
	changed  *sync.Cond
	packets  [][]byte
	messages []Message
	offences []Offence
}

func newRecorder() *recorder {
	r := &recorder{}
	r.changed = sync.NewCond(&r.mu)
	return r
}

func (r *recorder) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	r.changed.Broadcast()
}

func (r *recorder) Wanted(uint32) bool { return true }
func (r *recorder) Packet(_ *Link, _ Header, p []byte) {
	r.note(func() { r.packets = append(r.packets, append([]byte(nil), p...)) })
}
func (r *recorder) Drained() {}
func (r *recorder) Message(_ *Link, m *Message) {
	r.note(func() { r.messages = append(r.messages, *m) })
}
func (r *recorder) Changed(*Link) { r.note(func() {}) }
func (r *recorder) Offended(_ *Link, o Offence, _ int) {
	r.note(func() { r.offences = append(r.offences, o) })
}

// until waits for a condition on what was recorded; the test's own timeout is
// the limit.
func (r *recorder) until(cond func() bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !cond() {
		r.changed.Wait()
	}
}

// an end is a transport with its recorder.
type end struct {
	*Transport
	*recorder
	identity *trust.Identity
	lease    region.Lease
}

var authority = sync.OnceValues(func() (*trust.Authority, error) { return trust.NewAuthority(time.Now()) })

func newEnd(t *testing.T, change func(*Config)) *end {
	t.Helper()
	id, err := trust.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return newEndOf(t, id, 1, change)
}

func newEndOf(t *testing.T, id *trust.Identity, lease region.Lease, change func(*Config)) *end {
	t.Helper()
	ca, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	cred, err := ca.Issue(id, trust.RoleMember, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.ID, cfg.Listen = id.ID(), "127.0.0.1:0"
	cfg.Certificate = cred.LinkCertificate()
	if change != nil {
		change(&cfg)
	}
	tr, err := Listen(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	e := &end{Transport: tr, recorder: newRecorder(), identity: id, lease: lease}
	tr.Handle(e.recorder)
	tr.SetLease(lease)
	return e
}

func (e *end) peer() Peer { return Peer{ID: e.identity.ID(), Lease: e.lease, Endpoint: e.Endpoint()} }

func (e *end) expect(t *testing.T, other *end) *Link {
	t.Helper()
	l, err := e.Expect(other.peer())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// join expects both ends of each other and waits until the link is up.
func join(t *testing.T, a, b *end) (ab, ba *Link) {
	t.Helper()
	ab, ba = a.expect(t, b), b.expect(t, a)
	a.until(func() bool { return ab.State() == Up })
	b.until(func() bool { return ba.State() == Up })
	return ab, ba
}

// add adds a packet to a batch, with the header it has.
func add(t testing.TB, b *Batch, l *Link, p []byte) bool {
	t.Helper()
	h, ok := ParseHeader(p)
	if !ok {
		t.Fatal("no header")
	}
	return b.Add(l, h, p)
}

func packet(t testing.TB, index uint64) []byte {
	t.Helper()
	p := &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, Timestamp: uint32(index)}, Payload: []byte("payload")}
	b, err := AppendPacket(nil, p, 8, Stamp{Index: index, Captured: 1})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMediaAndControlCrossALink(t *testing.T) {
	a, b := newEnd(t, nil), newEnd(t, nil)
	ab, ba := join(t, a, b)

	for i := range 10 {
		if !add(t, a.Batch(), ab, packet(t, 1<<16-5+uint64(i))) { // over a wrap of the sequence number
			t.Fatal("no session")
		}
	}
	a.Batch().Flush()
	b.until(func() bool { return len(b.packets) == 10 })

	if err := ba.Send(&Message{Kind: Keyframe, SSRC: 8}); err != nil {
		t.Fatal(err)
	}
	a.until(func() bool { return len(a.messages) == 1 })
	if a.messages[0].Kind != Keyframe || a.messages[0].SSRC != 8 {
		t.Errorf("got %+v", a.messages[0])
	}
	for ab.RTT() == 0 {
		time.Sleep(time.Millisecond)
	}
}

func TestALateEndIsMetByTheEarlyOne(t *testing.T) {
	a, b := newEnd(t, nil), newEnd(t, nil)
	ab := a.expect(t, b)
	time.Sleep(120 * time.Millisecond) // a has knocked in vain a few times
	ba := b.expect(t, a)
	a.until(func() bool { return ab.State() == Up })
	b.until(func() bool { return ba.State() == Up })
}

func TestANewStayReplacesTheOld(t *testing.T) {
	a, b := newEnd(t, nil), newEnd(t, nil)
	join(t, a, b)
	_ = b.Transport.Close()
	again := newEndOf(t, b.identity, 2, nil)
	join(t, a, again)
	if _, err := a.Expect(b.peer()); err == nil {
		t.Error("the old stay was expected again")
	}
}

func TestAForgottenPeerIsMetAgain(t *testing.T) {
	a, b := newEnd(t, nil), newEnd(t, nil)
	ab, _ := join(t, a, b)
	b.Forget(a.identity.ID())
	a.until(func() bool { return ab.State() == Connecting })
	join(t, a, b)
}

func TestAnotherKeyIsNotThePeer(t *testing.T) {
	a, b, liar := newEnd(t, nil), newEnd(t, nil), newEnd(t, nil)
	// a is told that b lives where the liar does.
	claim := Peer{ID: b.identity.ID(), Lease: 1, Endpoint: liar.Endpoint()}
	ab, err := a.Expect(claim)
	if err != nil {
		t.Fatal(err)
	}
	liar.expect(t, a)
	deadline := time.After(300 * time.Millisecond)
	for {
		select {
		case <-deadline:
			return
		case <-time.After(5 * time.Millisecond):
			if ab.State() != Connecting {
				t.Fatal("a talks to the liar")
			}
		}
	}
}

func TestProbe(t *testing.T) {
	a, b := newEnd(t, nil), newEnd(t, nil)
	rtt, err := a.Probe(context.Background(), b.Endpoint().Media[0])
	if err != nil || rtt <= 0 {
		t.Fatalf("got %v, %v", rtt, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.Probe(ctx, netip.MustParseAddrPort("127.0.0.1:9")); err == nil {
		t.Error("nobody answered, and yet")
	}
}

// The way is longer than the first answer is waited for.
func TestProbeOfALongWay(t *testing.T) {
	a := newEnd(t, nil)
	far, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	go func() { // only the first question is answered, after the second has come
		var first [stunHeader]byte
		n, from, err := far.ReadFromUDPAddrPort(first[:])
		if _, _, failed := far.ReadFromUDPAddrPort(make([]byte, stunHeader)); err != nil || failed != nil {
			return
		}
		binary.BigEndian.PutUint16(first[:], bindingSuccess)
		_, _ = far.WriteToUDPAddrPort(first[:n], from)
	}()
	rtt, err := a.Probe(t.Context(), far.LocalAddr().(*net.UDPAddr).AddrPort())
	if err != nil || rtt < probeRetry {
		t.Errorf("got %v, %v; the answer came after %v", rtt, err, probeRetry)
	}
}
