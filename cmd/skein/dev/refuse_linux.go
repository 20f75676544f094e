package dev

import (
	"errors"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// canRefuse says whether this system can keep members apart.
const canRefuse = true

const (
	// networkHeader is where the kernel lets a socket's filter see the IP header,
	// and source the place of the sender's address in one of IPv4.
	networkHeader = 0xfff00000
	source        = 12
	wholePacket   = 0xffffffff
)

// refuse has the kernel drop what comes to a socket from some IPv4 addresses, and
// nothing else; it replaces what was refused before. The senders notice nothing.
func refuse(c *net.UDPConn, from []netip.Addr) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: networkHeader + source}}
	for _, a := range from {
		b := a.As4()
		ip := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: ip},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0})
	}
	program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: wholePacket})
	failed := raw.Control(func(fd uintptr) {
		if len(from) > 0 {
			err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
				&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
			return
		}
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); errors.Is(err, syscall.ENOENT) {
			err = nil // nothing was refused
		}
	})
	if failed != nil {
		return failed
	}
	return err
}
