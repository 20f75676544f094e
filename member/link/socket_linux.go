package link

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A udpSocket reads several trains of datagrams with one call (recvmmsg with UDP_GRO) and
// writes many with one (sendmmsg with UDP_SEGMENT): on the wire that is nearly the whole
// cost of forwarding.
//
// Its calls never wait, so they are made without telling Go's scheduler (kernel_linux.go).
// Otherwise every one of them may wake the runtime's monitor thread, which at voice
// and video rates costs as much as the forwarding itself.
type udpSocket struct {
	*trainSender
	conn *net.UDPConn
	in   reception
	left inquiry
	// single are for those who do not own the sender.
	single emissions
}

// newSystemSocket returns the best socket there is for one of the system's.
func newSystemSocket(conn *net.UDPConn) socket {
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	sender, err := newTrainSender(conn)
	if err != nil {
		return &packetSocket{conn: conn}
	}
	s := &udpSocket{trainSender: sender, conn: conn}
	size := maxDatagram
	_ = sender.raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil {
			size = 64 << 10
		}
	})
	s.in.prepare(size)
	s.left.prepare()
	return s
}

func (s *udpSocket) unread() bool { return s.left.waits(s.raw, &s.in) }

func (s *udpSocket) receive(to taker) error { return s.in.receive(s.raw, to) }

// groSize is the size of the datagrams in a train, 0 if there is only one.
func groSize(oob []byte) int {
	for len(oob) >= unix.CmsgLen(2) {
		header, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return 0
		}
		if header.Level == unix.IPPROTO_UDP && header.Type == unix.UDP_GRO && len(data) >= 2 {
			return int(binary.NativeEndian.Uint16(data))
		}
		oob = rest
	}
	return 0
}

func (s *udpSocket) writeTo(b []byte, to netip.AddrPort) error {
	if to.Addr().Zone() != "" {
		_, err := s.conn.WriteToUDPAddrPort(b, to)
		return err
	}
	e := s.single.get()
	defer s.single.put(e)
	e.add(b, to, s.six, 0)
	if e.send(s.raw) > 0 {
		return e.err
	}
	return nil
}

func (s *udpSocket) close() error { return s.conn.Close() }

func (s *udpSocket) writeTrains(trains []train) (failed int) {
	for i := range trains {
		t := &trains[i]
		failed += s.Add(t.data, t.size, t.to.addr)
	}
	return failed + s.Flush()
}
