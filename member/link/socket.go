package link

import (
	"fmt"
	"net"
	"net/netip"
)

// A socket is the member's one UDP socket as the rest of the package uses it.
// Reading is for one goroutine, writing for all, batches for the owner of the
// Batch.
type socket interface {
	// receive hands on what comes until that ends it, or with an error.
	receive(to taker) error
	// unread reports whether something waits in the kernel that the reader has not come to
	// since the last call, as far as is known. It is for one goroutine beside the reader.
	unread() bool
	writeTo(b []byte, to netip.AddrPort) error
	// writeTrains sends each train to its destination. It reports how many
	// trains could not be sent.
	writeTrains(trains []train) (failed int)
	close() error
}

// A taker takes what a socket receives, all by the goroutine that receives.
type taker interface {
	// came says that there is something to take.
	came()
	// take takes a datagram, which is valid during the call only. It reports false to end
	// the receiving for now.
	take(b []byte, from netip.AddrPort) (more bool)
	// drained says that all that had come is taken.
	drained()
}

// A train is a run of packets for one destination: all of size bytes, only the
// last may be shorter.
type train struct {
	to   *destination
	data []byte
	size int
}

// A destination is an address in the forms that the system calls need.
type destination struct {
	link *Link
	addr netip.AddrPort
	udp  *net.UDPAddr
	// Of the batch: the train to it in which flush.
	flush uint64
	train int
}

func newDestination(l *Link, addr netip.AddrPort) *destination {
	return &destination{link: l, addr: addr, udp: net.UDPAddrFromAddrPort(addr)}
}

// sent notes when the link said something last.
func (d *destination) sent(now int64) { d.link.sentAt.Store(now) }

const (
	// maxDatagram is more than anything the package sends or a peer may.
	maxDatagram = 2048
	// socketBuffer holds what arrives while the process does not run: 4 MiB are
	// about 30 ms at 1 Gbit/s. The kernel may grant less.
	socketBuffer = 4 << 20
)

// A packetSocket works on any net.PacketConn, one datagram per call.
type packetSocket struct {
	conn net.PacketConn
	buf  [maxDatagram]byte
}

func (s *packetSocket) unread() bool {
	c, ok := s.conn.(interface{ Unread() bool })
	return ok && c.Unread()
}

func (s *packetSocket) receive(to taker) error {
	for {
		to.drained()
		n, from, err := s.conn.ReadFrom(s.buf[:])
		if err != nil {
			return err
		}
		udp, ok := from.(*net.UDPAddr)
		if !ok {
			return fmt.Errorf("address of type %T, want *net.UDPAddr", from)
		}
		to.came()
		if !to.take(s.buf[:n], unmap(udp.AddrPort())) {
			return nil
		}
	}
}

func (s *packetSocket) writeTo(b []byte, to netip.AddrPort) error {
	_, err := s.conn.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return err
}

func (s *packetSocket) writeTrains(trains []train) (failed int) {
	for _, t := range trains {
		for data := t.data; len(data) > 0; {
			n := min(t.size, len(data))
			if _, err := s.conn.WriteTo(data[:n], t.to.udp); err != nil {
				failed++
			}
			data = data[n:]
		}
	}
	return failed
}

func (s *packetSocket) close() error { return s.conn.Close() }

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
