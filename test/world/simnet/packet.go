package simnet

import (
	"net"
	"net/netip"
	"time"
)

// Receive buffers. What does not fit is dropped, as a kernel does.
const (
	maxPackets     = 8192
	maxPacketBytes = 4 << 20
	maxBacklog     = 1024
)

type packet struct {
	data []byte
	from netip.AddrPort
}

// A PacketConn is a datagram socket.
type PacketConn struct {
	host  *Host
	local netip.AddrPort
	ready chan struct{} // capacity 1: there may be something to read
	gone  chan struct{}

	// Owned by host.net.mu.
	queue    []packet
	size     int
	closed   bool
	deadline deadline
}

// WriteToAddrPort sends a copy of b.
func (c *PacketConn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return 0, &net.OpError{Op: "write", Net: "udp", Addr: c.LocalAddr(), Err: net.ErrClosed}
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	var delays []time.Duration
	if !c.host.paused {
		delays = n.route(c.local, to, len(b), false)
	}
	if len(delays) == 0 {
		n.note(Drop, c.local, to, len(b))
		return len(b), nil
	}
	data := append([]byte(nil), b...)
	for _, d := range delays {
		n.after(d, func() { n.deliver(packet{data, c.local}, to) })
	}
	return len(b), nil
}

// deliver puts p into the receiver's buffer; called with mu held.
func (n *Net) deliver(p packet, to netip.AddrPort) {
	h := n.hosts[to.Addr()]
	if h == nil || h.down || len(h.held) >= maxPackets {
		n.note(Drop, p.from, to, len(p.data))
		return
	}
	h.do(func() { h.deliver(p, to) })
}

func (h *Host) deliver(p packet, to netip.AddrPort) {
	n := h.net
	c := h.packets[to.Port()]
	if c == nil || len(c.queue) >= maxPackets || c.size+len(p.data) > maxPacketBytes {
		n.note(Drop, p.from, to, len(p.data))
		return
	}
	n.note(Deliver, p.from, to, len(p.data))
	c.queue = append(c.queue, p)
	c.size += len(p.data)
	c.wake()
}

func (c *PacketConn) wake() {
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// ReadFromAddrPort blocks until a datagram is there, the deadline has passed or
// the socket is closed.
func (c *PacketConn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	mu := &c.host.net.mu
	for {
		mu.Lock()
		if c.closed {
			mu.Unlock()
			c.wake() // another reader may wait
			return 0, netip.AddrPort{}, &net.OpError{Op: "read", Net: "udp", Addr: c.LocalAddr(), Err: net.ErrClosed}
		}
		if len(c.queue) > 0 {
			p := c.queue[0]
			c.queue[0] = packet{}
			c.queue = c.queue[1:]
			c.size -= len(p.data)
			more := len(c.queue) > 0
			mu.Unlock()
			if more {
				c.wake()
			}
			return copy(b, p.data), p.from, nil
		}
		expired, changed := c.deadline.state()
		mu.Unlock()
		if err := c.deadline.wait(expired, changed, c.ready, c.gone); err != nil {
			return 0, netip.AddrPort{}, &net.OpError{Op: "read", Net: "udp", Addr: c.LocalAddr(), Err: err}
		}
	}
}

// ReadFrom is ReadFromAddrPort for net.PacketConn.
func (c *PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	k, from, err := c.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return k, net.UDPAddrFromAddrPort(from), nil
}

// WriteTo is WriteToAddrPort for net.PacketConn; to must be a *net.UDPAddr or
// print as ip:port.
func (c *PacketConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if u, ok := to.(*net.UDPAddr); ok {
		return c.WriteToAddrPort(b, u.AddrPort())
	}
	ap, err := parse(to.String())
	if err != nil {
		return 0, err
	}
	return c.WriteToAddrPort(b, ap)
}

// Close ends the socket.
func (c *PacketConn) Close() error {
	mu := &c.host.net.mu
	mu.Lock()
	defer mu.Unlock()
	if c.closed {
		return &net.OpError{Op: "close", Net: "udp", Addr: c.LocalAddr(), Err: net.ErrClosed}
	}
	delete(c.host.packets, c.local.Port())
	c.close()
	return nil
}

func (c *PacketConn) close() {
	if !c.closed {
		c.closed = true
		close(c.gone)
	}
}

// LocalAddr is the socket's address.
func (c *PacketConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.local) }

// SetDeadline sets the deadline for reading; writing never waits.
func (c *PacketConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline sets the deadline for reading.
func (c *PacketConn) SetReadDeadline(t time.Time) error {
	mu := &c.host.net.mu
	mu.Lock()
	defer mu.Unlock()
	c.deadline.set(t)
	return nil
}

// SetWriteDeadline does nothing: writing never waits.
func (c *PacketConn) SetWriteDeadline(time.Time) error { return nil }
