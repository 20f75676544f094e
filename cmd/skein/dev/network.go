package dev

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/latency"
)

// A cable is the network of one node: real sockets that are all bound to the
// node's own address, and that can be cut off at a stroke.
type cable struct {
	ip netip.Addr

	mu  sync.Mutex
	cut bool
	// refused are those whose datagrams do not arrive; it is replaced whole.
	refused []netip.Addr
	socks   map[interface{ Close() error }]struct{}
}

func newCable(ip netip.Addr) *cable {
	return &cable{ip: ip, socks: make(map[interface{ Close() error }]struct{})}
}

// unplug closes every socket and lets none be opened again. Peers see what they
// would see of a killed process: connections that end and silence.
func (c *cable) unplug() {
	c.mu.Lock()
	c.cut = true
	socks := c.socks
	c.socks = nil
	c.mu.Unlock()
	for s := range socks {
		// What is closed already is as good.
		_ = s.Close()
	}
}

func (c *cable) isCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}

// refuse drops all datagrams from some addresses from now on, and none from
// others.
func (c *cable) refuse(from []netip.Addr) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = from
	for s := range c.socks {
		if udp, ok := s.(*net.UDPConn); ok {
			if err := refuse(udp, from); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep remembers a socket, or closes it and fails if the cable is cut.
func (c *cable) keep(s interface{ Close() error }) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := net.ErrClosed
	if !c.cut {
		err = nil
		if udp, ok := s.(*net.UDPConn); ok && len(c.refused) > 0 {
			err = refuse(udp, c.refused)
		}
	}
	if err != nil {
		_ = s.Close()
		return err
	}
	c.socks[s] = struct{}{}
	return nil
}

func (c *cable) forget(s interface{ Close() error }) {
	c.mu.Lock()
	delete(c.socks, s)
	c.mu.Unlock()
}

// receiveBuffer is what a member asks for its own sockets. Here it is set for
// it, since the wrapper that adds distance hides the socket.
const receiveBuffer = 4 << 20

// ListenPacket opens a UDP socket. It is not wrapped, so that members find all
// that a socket of the system can do.
func (c *cable) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	p, err := new(net.ListenConfig).ListenPacket(ctx, "udp", addr)
	if err != nil {
		return nil, err
	}
	if udp, ok := p.(*net.UDPConn); ok {
		_ = udp.SetReadBuffer(receiveBuffer) // less than asked for still works
	}
	if err := c.keep(p); err != nil {
		return nil, err
	}
	return p, nil
}

// Listen opens a TCP listener whose connections belong to the cable.
func (c *cable) Listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := c.keep(l); err != nil {
		return nil, err
	}
	return listener{l, c}, nil
}

// Dial connects from the node's own address.
func (c *cable) Dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.ip, 0))}
	s, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return c.wrap(s)
}

func (c *cable) wrap(s net.Conn) (net.Conn, error) {
	w := &conn{Conn: s, cable: c}
	if err := c.keep(w); err != nil {
		return nil, err
	}
	return w, nil
}

type listener struct {
	net.Listener
	cable *cable
}

func (l listener) Accept() (net.Conn, error) {
	s, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.cable.wrap(s)
}

// A conn leaves its cable when it is closed.
type conn struct {
	net.Conn
	cable *cable
}

func (c *conn) Close() error {
	c.cable.forget(c)
	return c.Conn.Close()
}

// A shifting is a matrix that is another one from some time on.
type shifting struct {
	before, after *latency.Matrix
	at            atomic.Pointer[time.Time] // nil: not yet known
}

// RTT is that of now.
func (s *shifting) RTT(a, b int) time.Duration {
	if at := s.at.Load(); at != nil && s.after != nil && !time.Now().Before(*at) {
		return s.after.RTT(a, b)
	}
	return s.before.RTT(a, b)
}

// distant puts the distances of a matrix under a member at one site.
func distant(c *cable, m *shifting, site int, clock *latency.Clock) latency.Opener {
	if m.before == nil {
		return c
	}
	return latency.Network{Opener: c, Clock: clock, RTT: func(to netip.Addr) (time.Duration, bool) {
		other, ok := siteOf(to)
		if !ok {
			return 0, false
		}
		return m.RTT(site, other), true
	}}
}
