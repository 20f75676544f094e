package link

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// nat is a network behind which a socket is seen at another address after each move;
// what is sent to an old one is lost.
type nat struct {
	mu      sync.Mutex
	outside net.PacketConn
	inward  chan datagram
	stolen  chan []byte // if set, datagrams go here instead
}

type datagram struct {
	data []byte
	from net.Addr
}

func (n *nat) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	n.inward = make(chan datagram, 1000)
	inside, err := new(net.ListenConfig).ListenPacket(ctx, "udp", addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.outside = inside
	n.mu.Unlock()
	go n.pump(inside)
	return &natConn{inside, n, make(chan struct{}), sync.Once{}}, nil
}

func (n *nat) pump(c net.PacketConn) {
	for {
		buf := make([]byte, 2000)
		size, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		select {
		case n.inward <- datagram{buf[:size], from}:
		default:
		}
	}
}

// move gives the socket another address.
func (n *nat) move(t *testing.T) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	n.mu.Lock()
	old := n.outside
	n.outside = c
	n.mu.Unlock()
	old.Close()
	go n.pump(c)
}

type natConn struct {
	net.PacketConn // for its address
	n              *nat
	closed         chan struct{}
	once           sync.Once
}

func (c *natConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-c.n.inward:
		return copy(b, d.data), d.from, nil
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

func (c *natConn) WriteTo(b []byte, to net.Addr) (int, error) {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if c.n.stolen != nil && b[0]&0xC0 == 0x80 {
		select {
		case c.n.stolen <- append([]byte(nil), b...):
		default:
		}
		return len(b), nil
	}
	return c.n.outside.WriteTo(b, to)
}

func (c *natConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	return c.n.outside.Close()
}

// A NAT forgets a socket and gives it another address: the link goes on in the same
// session, both ways, whichever end the stream comes from.
func TestALinkFollowsItsPeer(t *testing.T) {
	for _, feeds := range []bool{true, false} {
		n := &nat{}
		a, b := newEnd(t, func(c *Config) { c.Network, c.GiveUp = n, time.Hour }), newEnd(t, func(c *Config) { c.GiveUp = time.Hour })
		ab, ba := join(t, a, b)
		from, to, there, back := a, b, ab, ba
		if !feeds {
			from, to, there, back = b, a, ba, ab
		}
		there.Carry(Tight, Still)
		back.Carry(Still, Tight)
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			batch := from.Batch()
			for i := uint64(1); ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				add(t, batch, there, packet(t, i))
				batch.Flush()
			}
		}()
		session, at := ba.Session(), ba.session.Load().dest.Load().addr
		for range 3 {
			n.move(t)
			to.recorder.mu.Lock()
			before := len(to.packets)
			to.recorder.mu.Unlock()
			to.until(func() bool { return len(to.packets) > before+50 })
			b.until(func() bool { return ba.State() == Up && ba.session.Load().dest.Load().addr != at })
			at = ba.session.Load().dest.Load().addr
		}
		close(stop)
		<-done
		if ba.Session() != session || ab.Session() != session {
			t.Errorf("sessions %d and %d, want %d", ab.Session(), ba.Session(), session)
		}
	}
}

// Somebody on the way keeps a packet back and sends it from an address of his own:
// nothing is ever sent there but a check, which he cannot answer.
func TestALinkDoesNotFollowAThief(t *testing.T) {
	n := &nat{}
	a, b := newEnd(t, func(c *Config) { c.Network, c.GiveUp = n, time.Hour }), newEnd(t, func(c *Config) { c.GiveUp = time.Hour })
	ab, ba := join(t, a, b)
	at := ba.session.Load().dest.Load().addr
	stolen := make(chan []byte, 1)
	n.mu.Lock()
	n.stolen = stolen
	n.mu.Unlock()
	ba.Carry(Still, Tight)
	b.until(func() bool { return ba.State() == Silent })
	thief, err := net.Dial("udp", b.local.String())
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	_ = ab.Send(&Message{Kind: Keyframe, SSRC: 8})
	if _, err := thief.Write(<-stolen); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2000)
	if _, err := thief.Read(buf); err != nil { // the check
		t.Fatal(err)
	}
	n.mu.Lock()
	n.stolen = nil
	n.mu.Unlock()
	ab.Carry(Tight, Still)
	b.until(func() bool { return ba.State() == Up })
	_ = ba.Send(&Message{Kind: Keyframe, SSRC: 16})
	a.until(func() bool { return len(a.messages) > 0 })
	if now := ba.session.Load().dest.Load().addr; now != at {
		t.Errorf("the link went from %s to %s", at, now)
	}
}
