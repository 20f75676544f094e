package link

import (
	"net/netip"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxTrains is how many trains one call receives. Their buffers are as large as trains may
// be, but touched only as far as they are filled.
const maxTrains = 4

// A reception is what receiving trains needs, made once. One goroutine owns it.
type reception struct {
	places  [maxTrains]place
	vectors [maxTrains]vector
	try     func(fd uintptr) bool

	to    taker
	came  int // how many trains came last
	at    int // the first of them that is not handed on
	rest  []byte
	size  int // of the datagrams in rest
	from  netip.AddrPort
	empty bool // there were no more
	over  bool
	err   error
	dry   atomic.Uint32 // counts how often there was nothing left
}

// A place is where the kernel puts a train.
type place struct {
	buf  []byte
	oob  [64]byte
	name unix.RawSockaddrAny
	iov  unix.Iovec
}

func (r *reception) prepare(size int) {
	for i := range r.places {
		p, m := &r.places[i], &r.vectors[i].msg
		p.buf = make([]byte, size)
		p.iov.Base = &p.buf[0]
		p.iov.SetLen(size)
		m.Name = (*byte)(unsafe.Pointer(&p.name))
		m.Iov = &p.iov
		m.SetIovlen(1)
		m.Control = &p.oob[0]
	}
	r.try = r.once
}

// receive hands on what comes until to has had enough.
func (r *reception) receive(conn syscall.RawConn, to taker) error {
	r.to, r.over, r.empty, r.err = to, false, false, nil
	for !r.over && r.err == nil {
		if err := conn.Read(r.try); err != nil {
			return err
		}
	}
	return r.err
}

// once hands on what has come. It reports false when nothing is left: Read calls it again
// when something has come, so the kernel is not asked in vain as long as it stays in there.
func (r *reception) once(fd uintptr) bool {
	for {
		if r.over = !r.handOn(); r.over {
			return true
		}
		r.to.drained()
		if r.empty {
			r.empty = false
			r.dry.Add(1)
			return false
		}
		switch errno := r.ask(fd); errno {
		case 0:
			r.to.came()
		case unix.EAGAIN:
			r.dry.Add(1)
			return false
		case unix.EINTR:
		default:
			r.err = errno
			return true
		}
		if r.came == maxTrains {
			return true // so that the socket can be closed although there always is more
		}
	}
}

// ask takes what the kernel has.
func (r *reception) ask(fd uintptr) syscall.Errno {
	for i := range r.vectors {
		m := &r.vectors[i].msg
		m.Namelen = unix.SizeofSockaddrAny
		m.SetControllen(len(r.places[i].oob))
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.vectors[0])), maxTrains, 0, 0, 0)
	r.came, r.at = 0, 0
	if errno == 0 {
		r.came, r.empty = int(n), n < maxTrains
	}
	return errno
}

// handOn hands on what was taken, datagram by datagram; false if to has had enough.
func (r *reception) handOn() bool {
	for {
		for len(r.rest) > 0 {
			n := min(r.size, len(r.rest))
			b := r.rest[:n]
			r.rest = r.rest[n:]
			if !r.to.take(b, r.from) {
				return false
			}
		}
		if r.at == r.came {
			return true
		}
		p, v := &r.places[r.at], &r.vectors[r.at]
		r.at++
		r.rest, r.from, r.size = p.buf[:v.n], p.source(), int(v.n)
		if size := groSize(p.oob[:v.msg.Controllen]); size > 0 {
			r.size = size
		}
	}
}

func (p *place) source() netip.AddrPort {
	switch p.name.Addr.Family {
	case unix.AF_INET:
		a := (*unix.RawSockaddrInet4)(unsafe.Pointer(&p.name))
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), swap(a.Port))
	case unix.AF_INET6:
		a := (*unix.RawSockaddrInet6)(unsafe.Pointer(&p.name))
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), swap(a.Port))
	default:
		return netip.AddrPort{}
	}
}
