package link

import (
	"net"
	"net/netip"
)

// A Sender sends datagrams, and runs of them, with as few system calls as the
// socket allows. It is for one goroutine at a time.
type Sender interface {
	// Add takes a run of datagrams for one address: data is cut into pieces of size
	// bytes, of which only the last may be shorter. It may send what was added before,
	// and reports how many runs could not be sent. data must stay as it is until Flush.
	Add(data []byte, size int, to netip.AddrPort) (failed int)
	// Flush sends what was added, and reports the same.
	Flush() (failed int)
}

// A Carrier is a socket that sends by way of something else than the system, or later,
// and receives by one of the system's: an emulator of distances, for instance.
// Links read from that one as if there was nothing in between.
type Carrier interface {
	net.PacketConn
	// System is the socket to read from; nil if it is none of the system's.
	System() *net.UDPConn
	// Carry sends a run of datagrams, see Sender. It keeps no reference to data.
	Carry(data []byte, size int, to netip.AddrPort) error
}

// A packetSender makes a call for each datagram.
type packetSender struct{ conn net.PacketConn }

func (s packetSender) Add(data []byte, size int, to netip.AddrPort) (failed int) {
	addr := net.UDPAddrFromAddrPort(to)
	for len(data) > 0 {
		n := min(size, len(data))
		if _, err := s.conn.WriteTo(data[:n], addr); err != nil {
			failed++
		}
		data = data[n:]
	}
	return failed
}

func (s packetSender) Flush() int { return 0 }

// A carried socket reads from the system's and has its datagrams carried.
type carried struct {
	socket
	carrier Carrier
}

func (c *carried) writeTo(b []byte, to netip.AddrPort) error { return c.carrier.Carry(b, len(b), to) }

func (c *carried) writeTrains(trains []train) (failed int) {
	for _, t := range trains {
		if c.carrier.Carry(t.data, t.size, t.to.addr) != nil {
			failed++
		}
	}
	return failed
}

func (c *carried) close() error { return c.carrier.Close() }

// newSocket returns the best socket there is for conn.
func newSocket(conn net.PacketConn) socket {
	switch c := conn.(type) {
	case *net.UDPConn:
		return newSystemSocket(c)
	case Carrier:
		if system := c.System(); system != nil {
			return &carried{newSystemSocket(system), c}
		}
	}
	return &packetSocket{conn: conn}
}
