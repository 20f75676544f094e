package latency

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/member/link"
)

// MaxQueued bounds the datagrams that wait in one socket. At 10 Mbit/s and 1 kB
// each, it holds more than 6 s.
const MaxQueued = 8192

// A Distance tells the round-trip time to the site of an address; ok is false
// if the address belongs to no site.
type Distance func(to netip.Addr) (rtt time.Duration, ok bool)

// A Conn is a socket that sends late. Reading is not delayed: the other side
// has already been.
type Conn struct {
	net.PacketConn
	rtt     Distance
	hand    *hand
	dropped atomic.Uint64
	queued  atomic.Int64
	closed  atomic.Bool

	// Of the hand.
	sender  link.Sender
	touched bool
}

var _ link.Carrier = (*Conn)(nil)

func delay(c net.PacketConn, rtt Distance, clock *Clock) *Conn {
	return &Conn{PacketConn: c, rtt: rtt, hand: clock.open(), sender: link.NewSender(c)}
}

// System is the socket underneath, if it is one of the system's.
func (c *Conn) System() *net.UDPConn {
	udp, _ := c.PacketConn.(*net.UDPConn)
	return udp
}

// WriteTo sends b to addr after half the round-trip time. It does not block,
// and keeps no reference to b.
func (c *Conn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to, ok := addrPort(addr)
	if !ok || len(b) == 0 {
		return c.PacketConn.WriteTo(b, addr)
	}
	if err := c.Carry(b, len(b), to); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Carry does the same for a run of datagrams of size bytes, of which only the last may
// be shorter.
func (c *Conn) Carry(data []byte, size int, to netip.AddrPort) error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	// Those who are at no distance wait for the next tick only.
	rtt, _ := c.rtt(to.Addr())
	n := int64(pieces(len(data), size))
	if c.queued.Add(n) > MaxQueued {
		c.queued.Add(-n)
		c.dropped.Add(uint64(n))
		return nil
	}
	c.hand.post(c, data, size, to, max(rtt, 0)/2)
	return nil
}

// Dropped counts the datagrams that found the queue full.
func (c *Conn) Dropped() uint64 { return c.dropped.Load() }

// Close closes the socket; what waits is lost, as it would be in a process that
// was killed.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	c.hand.leave()
	return c.PacketConn.Close()
}
