package simnet

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// A Host is a machine on the network. It offers the verbs that coordinators
// and members take as their Network.
type Host struct {
	net  *Net
	addr netip.Addr

	// Owned by net.mu.
	down      bool
	paused    bool
	held      []func() // what happens when the pause ends, in order
	packets   map[uint16]*PacketConn
	listeners map[uint16]*Listener
	conns     map[uint64]*Conn
	nextPort  uint16
}

func newHost(n *Net, a netip.Addr) *Host {
	return &Host{
		net: n, addr: a, nextPort: 40000,
		packets:   make(map[uint16]*PacketConn),
		listeners: make(map[uint16]*Listener),
		conns:     make(map[uint64]*Conn),
	}
}

// Addr is the host's address.
func (h *Host) Addr() netip.Addr { return h.addr }

// Kill is the death of the process: sockets vanish at once, and peers get a
// reset if the network lets it through.
func (h *Host) Kill() { h.drop(true) }

// PowerOff is silence: sockets vanish, nobody is told, and nothing can be
// opened until PowerOn.
func (h *Host) PowerOff() {
	h.drop(false)
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.down = true
}

// PowerOn ends PowerOff. What was open stays closed.
func (h *Host) PowerOn() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.down = false
}

// Pause is what others see of a stopped process: until Resume the host sends no
// datagrams and nothing on its streams, and what arrives waits. The program on it
// is not stopped; to itself it looks as if everybody else had been.
func (h *Host) Pause() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.paused = true
}

// Resume ends Pause. What waited happens at once.
func (h *Host) Resume() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.paused = false
	for _, f := range h.held {
		f()
	}
	h.held = nil
}

// do lets f happen to the host, after its pause if there is one; called with mu
// held.
func (h *Host) do(f func()) {
	if h.paused {
		h.held = append(h.held, f)
		return
	}
	f()
}

// drop closes every socket. Sockets are walked by port and id, never in map
// order, so that equal runs stay equal.
func (h *Host) drop(reset bool) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, port := range sortedKeys(h.packets) {
		h.packets[port].close()
	}
	for _, port := range sortedKeys(h.listeners) {
		h.listeners[port].close()
	}
	for _, id := range sortedKeys(h.conns) {
		c := h.conns[id]
		c.fail(errReset)
		if reset {
			c.sendReset()
		}
	}
	clear(h.packets)
	clear(h.listeners)
	clear(h.conns)
	h.paused, h.held = false, nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// freePort picks a port used by neither kind of socket; called with mu held.
func (h *Host) freePort() uint16 {
	for {
		h.nextPort++
		if h.nextPort < 40000 {
			h.nextPort = 40000
		}
		if h.packets[h.nextPort] == nil && h.listeners[h.nextPort] == nil {
			return h.nextPort
		}
	}
}

// bind checks the wish for an own address; called with mu held.
func (h *Host) bind(op, network, addr string, taken func(uint16) bool) (netip.AddrPort, error) {
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("simnet: port of %q: %w", addr, err)
	}
	local := netip.AddrPortFrom(h.addr, uint16(port))
	if h.down {
		return local, &net.OpError{Op: op, Net: network, Err: errDown}
	}
	if local.Port() == 0 {
		local = netip.AddrPortFrom(h.addr, h.freePort())
	} else if taken(local.Port()) {
		return local, &net.OpError{Op: op, Net: network, Addr: net.UDPAddrFromAddrPort(local), Err: errInUse}
	}
	return local, nil
}

// ListenPacket opens a datagram socket. The host part of addr is ignored: a
// host has one address.
func (h *Host) ListenPacket(_ context.Context, addr string) (net.PacketConn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	local, err := h.bind("listen", "udp", addr, func(p uint16) bool { return h.packets[p] != nil })
	if err != nil {
		return nil, err
	}
	c := &PacketConn{host: h, local: local, ready: make(chan struct{}, 1), gone: make(chan struct{})}
	h.packets[local.Port()] = c
	return c, nil
}

// Listen opens a stream listener.
func (h *Host) Listen(_ context.Context, addr string) (net.Listener, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	local, err := h.bind("listen", "tcp", addr, func(p uint16) bool { return h.listeners[p] != nil })
	if err != nil {
		return nil, err
	}
	l := &Listener{host: h, local: local, backlog: make(chan *Conn, maxBacklog), gone: make(chan struct{})}
	h.listeners[local.Port()] = l
	return l, nil
}

// dialRetries are the pauses between attempts to connect.
var dialRetries = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}

// Dial opens a stream. It blocks for at least one round trip.
func (h *Host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	dst, err := parse(addr)
	if err != nil {
		return nil, err
	}
	n := h.net
	n.mu.Lock()
	if h.down || n.closed {
		n.mu.Unlock()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(dst), Err: errDown}
	}
	local := netip.AddrPortFrom(h.addr, h.freePort())
	n.mu.Unlock()
	a := &attempt{result: make(chan dialResult, 1)}
	defer func() {
		n.mu.Lock()
		a.over = true
		n.mu.Unlock()
	}()
	for _, pause := range append(slices.Clone(dialRetries), time.Minute) {
		n.mu.Lock()
		h.do(func() { h.syn(local, dst, a) })
		n.mu.Unlock()
		timer := time.NewTimer(pause)
		select {
		case r := <-a.result:
			timer.Stop()
			if r.err != nil {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(dst), Err: r.err}
			}
			return r.conn, nil
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(dst), Err: ctx.Err()}
		case <-n.done:
			timer.Stop()
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(dst), Err: errDown}
		}
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(dst), Err: errTimeout}
}

// An attempt is a dial under way.
type attempt struct {
	result chan dialResult // capacity 1: only the first answer counts
	over   bool            // owned by net.mu: answered, or nobody waits any more
}

type dialResult struct {
	conn *Conn
	err  error
}

// answer is called with mu held.
func (a *attempt) answer(r dialResult) {
	if !a.over {
		a.over = true
		a.result <- r
	}
}

// syn sends one attempt to connect on its way; called with mu held.
func (h *Host) syn(local, dst netip.AddrPort, a *attempt) {
	n := h.net
	for _, d := range n.route(local, dst, 60, true) {
		n.after(d, func() {
			peer := n.hosts[dst.Addr()]
			if peer == nil || peer.down {
				return
			}
			back := n.route(dst, local, 60, true)
			l := peer.listeners[dst.Port()]
			if l == nil || len(l.backlog) == cap(l.backlog) {
				for _, d := range back {
					n.after(d, func() { a.answer(dialResult{err: errRefused}) })
				}
				return
			}
			for _, d := range back {
				n.after(d, func() {
					if h.down || a.over || len(l.backlog) == cap(l.backlog) || peer.listeners[dst.Port()] != l {
						return
					}
					mine, theirs := n.connect(h, peer, local, dst)
					l.backlog <- theirs
					a.answer(dialResult{conn: mine})
				})
			}
		})
	}
}
