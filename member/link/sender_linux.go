package link

import (
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// NewSender returns the best sender there is for conn. It does not close it.
func NewSender(conn net.PacketConn) Sender {
	if udp, ok := conn.(*net.UDPConn); ok {
		if s, err := newTrainSender(udp); err == nil {
			return s
		}
	}
	return packetSender{conn}
}

// A trainSender sends many trains with one call (sendmmsg with UDP_SEGMENT).
type trainSender struct {
	raw syscall.RawConn
	six bool // the socket's addresses are IPv6
	// segment is whether the kernel cuts trains; cleared by the first refusal.
	segment atomic.Bool
	out     emission
	again   emission
}

func newTrainSender(conn *net.UDPConn) (*trainSender, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &trainSender{raw: raw}
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	s.six = !ok || local.IP.To4() == nil
	_ = raw.Control(func(fd uintptr) {
		_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		s.segment.Store(err == nil)
	})
	return s, nil
}

// Add is Sender's.
func (s *trainSender) Add(data []byte, size int, to netip.AddrPort) (failed int) {
	if s.segment.Load() && len(data) > size {
		s.out.add(data, to, s.six, size)
	} else {
		addSingly(&s.out, data, size, to, s.six)
	}
	if s.out.full() {
		return s.Flush()
	}
	return 0
}

// addSingly adds the packets of a train one by one.
func addSingly(e *emission, data []byte, size int, to netip.AddrPort, six bool) {
	for len(data) > 0 {
		n := min(size, len(data))
		e.add(data[:n], to, six, 0)
		data = data[n:]
	}
}

// Flush sends what was added. Trains that the kernel would not cut are sent
// packet by packet: there may be no hardware checksum on the way, or packets do
// not fit the path unless they are fragmented.
func (s *trainSender) Flush() (failed int) {
	failed = s.out.send(s.raw)
	for _, r := range s.out.refused {
		if r.errno == unix.EIO {
			s.cutHere()
		}
		addSingly(&s.again, r.data, r.size, r.to, s.six)
		failed += s.again.send(s.raw) - 1
		s.again.reset()
	}
	s.out.reset()
	return failed
}

// cutHere makes the sender cut trains itself from now on.
func (s *trainSender) cutHere() { s.segment.Store(false) }
