package link

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxVector is how many trains go into one system call. The call holds a
// processor of Go's: on loopback about 5 us per train.
const maxVector = 64

// An inquiry asks whether what has arrived waits to be received. It is for one goroutine.
type inquiry struct {
	bytes int32
	dry   uint32
	ask   func(fd uintptr)
}

func (i *inquiry) prepare() {
	i.ask = func(fd uintptr) {
		_, _, _ = unix.RawSyscall(unix.SYS_IOCTL, fd, unix.TIOCINQ, uintptr(unsafe.Pointer(&i.bytes)))
	}
}

// waits says whether something does, and all that the last time anybody asked: r has not
// found nothing since.
func (i *inquiry) waits(conn syscall.RawConn, r *reception) bool {
	i.bytes = 0
	if err := conn.Control(i.ask); err != nil || i.bytes == 0 {
		return false
	}
	dry := r.dry.Load()
	same := dry == i.dry
	i.dry = dry
	return same
}

// swap turns a port from the network's byte order into this machine's, or back.
func swap(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}

// a vector is struct mmsghdr.
type vector struct {
	msg unix.Msghdr
	n   uint32
}

// A refusal is a train that the kernel would not cut.
type refusal struct {
	data  []byte
	size  int
	to    netip.AddrPort
	errno syscall.Errno
}

// An emission is a list of datagrams and trains to be sent, with all that the
// kernel wants to be told of them. It is for one goroutine at a time.
type emission struct {
	vectors []vector
	iovs    []unix.Iovec
	names   []unix.RawSockaddrInet6 // large enough for IPv4, too
	control []byte
	data    [][]byte
	sizes   []int // of a packet in a train; 0: no train
	to      []netip.AddrPort
	refused []refusal
	at      int // the first that is not yet sent
	failed  int
	err     error
	try     func(fd uintptr) bool
}

func (e *emission) full() bool { return len(e.data) == maxVector }

func (e *emission) reset() {
	clear(e.data)
	e.data, e.sizes, e.to, e.refused = e.data[:0], e.sizes[:0], e.to[:0], e.refused[:0]
}

// add appends a datagram, or a train of datagrams of size bytes.
func (e *emission) add(b []byte, to netip.AddrPort, six bool, size int) {
	e.data, e.sizes, e.to = append(e.data, b), append(e.sizes, size), append(e.to, to)
	i := len(e.data) - 1
	if i >= len(e.names) {
		e.names = append(e.names, unix.RawSockaddrInet6{})
	}
	if name := &e.names[i]; six {
		*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: swap(to.Port()), Addr: to.Addr().As16()}
	} else {
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(name)) = unix.RawSockaddrInet4{
			Family: unix.AF_INET, Port: swap(to.Port()), Addr: to.Addr().Unmap().As4(),
		}
	}
}

// send sends what was added and reports how many of them failed; err is the last
// reason. What the kernel would not cut is in refused, and counts as failed.
func (e *emission) send(conn syscall.RawConn) (failed int) {
	if len(e.data) == 0 {
		return 0
	}
	e.link()
	e.at, e.failed, e.err = 0, 0, nil
	if e.try == nil {
		e.try = e.once
	}
	if err := conn.Write(e.try); err != nil {
		e.err = err
		e.failed += len(e.data) - e.at
	}
	return e.failed
}

// link makes the vectors point to what was added, now that nothing moves any more.
func (e *emission) link() {
	n := len(e.data)
	if len(e.vectors) < n {
		e.vectors, e.iovs = make([]vector, n), make([]unix.Iovec, n)
		e.control = make([]byte, n*segmentSpace)
	}
	for i, b := range e.data {
		iov, m := &e.iovs[i], &e.vectors[i].msg
		iov.Base = unsafe.SliceData(b)
		iov.SetLen(len(b))
		m.Iov = iov
		m.SetIovlen(1)
		m.Name, m.Namelen = (*byte)(unsafe.Pointer(&e.names[i])), unix.SizeofSockaddrInet6
		if e.names[i].Family == unix.AF_INET {
			m.Namelen = unix.SizeofSockaddrInet4
		}
		m.Control = nil
		m.SetControllen(0)
		if e.sizes[i] > 0 {
			control := e.control[i*segmentSpace : (i+1)*segmentSpace]
			putSegment(control, e.sizes[i])
			m.Control = &control[0]
			m.SetControllen(segmentSpace)
		}
	}
}

// once hands to the kernel what it takes now; it reports false if it takes no more.
func (e *emission) once(fd uintptr) bool {
	for e.at < len(e.data) {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&e.vectors[e.at])),
			uintptr(len(e.data)-e.at), 0, 0, 0)
		switch errno {
		case 0:
			e.at += int(n)
		case unix.EAGAIN:
			return false
		case unix.EINTR:
		default:
			e.refuse(errno)
			e.at++
		}
	}
	return true
}

// refuse notes that the next datagram or train cannot be sent.
func (e *emission) refuse(errno syscall.Errno) {
	e.failed++
	e.err = errno
	uncut := errno == unix.EIO || errno == unix.EINVAL || errno == unix.EMSGSIZE
	if i := e.at; uncut && e.sizes[i] > 0 {
		e.refused = append(e.refused, refusal{e.data[i], e.sizes[i], e.to[i], errno})
	}
}

// emissions lends emissions to those who send single datagrams.
type emissions struct{ pool sync.Pool }

func (p *emissions) get() *emission {
	if e, ok := p.pool.Get().(*emission); ok {
		return e
	}
	return &emission{}
}

func (p *emissions) put(e *emission) {
	e.reset()
	p.pool.Put(e)
}

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
