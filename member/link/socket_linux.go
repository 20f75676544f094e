package link

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync/atomic"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// A udpSocket reads trains of datagrams with one call (UDP_GRO) and writes many
// trains with one call (sendmmsg with UDP_SEGMENT): on the wire that is nearly
// the whole cost of forwarding.
type udpSocket struct {
	conn  *net.UDPConn
	batch interface {
		WriteBatch(ms []ipv4.Message, flags int) (int, error)
	}
	buf  []byte
	oob  []byte
	rest []byte // of the train read last
	size int
	from netip.AddrPort

	// segment is whether the kernel cuts trains; cleared by the first refusal.
	segment  atomic.Bool
	messages []ipv4.Message
	control  []byte // one control message per element of messages
}

// newSocket returns the best socket there is for conn.
func newSocket(conn net.PacketConn) socket {
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return &packetSocket{conn: conn}
	}
	_ = udp.SetReadBuffer(socketBuffer)
	_ = udp.SetWriteBuffer(socketBuffer)
	s := &udpSocket{conn: udp, buf: make([]byte, maxDatagram), oob: make([]byte, 64)}
	if local, ok := udp.LocalAddr().(*net.UDPAddr); ok && local.IP.To4() != nil {
		s.batch = ipv4.NewPacketConn(udp)
	} else {
		s.batch = ipv6.NewPacketConn(udp)
	}
	raw, err := udp.SyscallConn()
	if err != nil {
		return s
	}
	_ = raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil {
			s.buf = make([]byte, 64<<10)
		}
		_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		s.segment.Store(err == nil)
	})
	return s
}

func (s *udpSocket) idle() bool { return len(s.rest) == 0 }

func (s *udpSocket) read() ([]byte, netip.AddrPort, error) {
	if len(s.rest) == 0 {
		n, oobn, _, from, err := s.conn.ReadMsgUDPAddrPort(s.buf, s.oob)
		if err != nil {
			return nil, netip.AddrPort{}, err
		}
		s.rest, s.from, s.size = s.buf[:n], unmap(from), n
		if size := groSize(s.oob[:oobn]); size > 0 {
			s.size = size
		}
		if n == 0 {
			return nil, s.from, nil
		}
	}
	n := min(s.size, len(s.rest))
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b, s.from, nil
}

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
	_, err := s.conn.WriteToUDPAddrPort(b, to)
	return err
}

func (s *udpSocket) close() error { return s.conn.Close() }

func (s *udpSocket) writeTrains(trains []train) (failed int) {
	if !s.segment.Load() {
		return s.writeMessages(s.split(trains))
	}
	s.reserve(len(trains))
	for i, t := range trains {
		m := &s.messages[i]
		m.Buffers[0], m.Addr, m.OOB = t.data, t.to.udp, nil
		if len(t.data) > t.size {
			m.OOB = s.control[i*segmentSpace : (i+1)*segmentSpace]
			putSegment(m.OOB, t.size)
		}
	}
	return s.writeMessages(s.messages)
}

// split prepares one message per packet, for kernels that do not cut trains.
func (s *udpSocket) split(trains []train) []ipv4.Message {
	count := 0
	for _, t := range trains {
		count += (len(t.data) + t.size - 1) / t.size
	}
	s.reserve(count)
	at := 0
	for _, t := range trains {
		for data := t.data; len(data) > 0; at++ {
			n := min(t.size, len(data))
			m := &s.messages[at]
			m.Buffers[0], m.Addr, m.OOB = data[:n], t.to.udp, nil
			data = data[n:]
		}
	}
	return s.messages
}

// reserve makes room for count messages.
func (s *udpSocket) reserve(count int) {
	for cap(s.messages) < count {
		s.messages = append(s.messages[:cap(s.messages)], ipv4.Message{})
	}
	s.messages = s.messages[:count]
	for i := range s.messages {
		if s.messages[i].Buffers == nil {
			s.messages[i].Buffers = make([][]byte, 1)
		}
	}
	if len(s.control) < count*segmentSpace {
		s.control = make([]byte, cap(s.messages)*segmentSpace)
	}
}

func (s *udpSocket) writeMessages(messages []ipv4.Message) (failed int) {
	for len(messages) > 0 {
		n, err := s.batch.WriteBatch(messages, 0)
		if err != nil {
			if m := messages[0]; len(m.OOB) > 0 {
				s.cutHere() // no hardware checksum on the way
			}
			failed++
			n = max(n, 1)
		}
		messages = messages[n:]
	}
	return failed
}

// cutHere makes the socket cut trains itself from now on.
func (s *udpSocket) cutHere() { s.segment.Store(false) }

var segmentSpace = unix.CmsgSpace(2)

// putSegment writes the control message that tells the kernel to cut the train
// into datagrams of size bytes.
func putSegment(b []byte, size int) {
	clear(b)
	order := binary.NativeEndian
	if unix.SizeofPtr == 8 {
		order.PutUint64(b, uint64(unix.CmsgLen(2)))
	} else {
		order.PutUint32(b, uint32(unix.CmsgLen(2)))
	}
	order.PutUint32(b[unix.SizeofPtr:], unix.IPPROTO_UDP)
	order.PutUint32(b[unix.SizeofPtr+4:], unix.UDP_SEGMENT)
	order.PutUint16(b[unix.CmsgLen(0):], uint16(size))
}
