package simnet

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Properties of streams.
const (
	window      = 4 << 20 // bytes written and not yet read
	segmentSize = 64 << 10
	minRTO      = 200 * time.Millisecond
	maxRTO      = 2 * time.Minute
	giveUp      = 15 * time.Minute // of unacknowledged data
)

// A Listener accepts streams.
type Listener struct {
	host    *Host
	local   netip.AddrPort
	backlog chan *Conn
	gone    chan struct{}
	once    sync.Once
}

// Accept blocks until a stream or Close comes.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.gone:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
}

// Close ends the listener; streams not yet accepted are reset.
func (l *Listener) Close() error {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	if l.host.listeners[l.local.Port()] == l {
		delete(l.host.listeners, l.local.Port())
	}
	l.close()
	return nil
}

func (l *Listener) close() {
	l.once.Do(func() {
		close(l.gone)
		for len(l.backlog) > 0 {
			c := <-l.backlog
			c.fail(errReset)
			c.sendReset()
			delete(c.host.conns, c.id)
		}
	})
}

// Addr is the listener's address.
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.local) }

// A Conn is one end of a stream.
type Conn struct {
	host          *Host
	id            uint64
	local, remote netip.AddrPort
	peer          *Conn
	readable      chan struct{} // capacity 1
	writable      chan struct{} // capacity 1
	gone          chan struct{}

	// Owned by host.net.mu.
	in            []byte // arrived, not yet read
	eof           bool   // the peer's FIN has arrived
	err           error  // why the stream is over
	out           []segment
	unread        int // bytes of mine that the peer has not read
	closed        bool
	arrival       time.Time // of the last segment sent: order is kept
	rto           time.Duration
	stuckSince    time.Time
	retry         bool // another attempt to send is planned
	readDeadline  deadline
	writeDeadline deadline
}

type segment struct {
	data []byte
	fin  bool
}

// connect makes the two ends of a stream; called with mu held.
func (n *Net) connect(a, b *Host, local, remote netip.AddrPort) (*Conn, *Conn) {
	ends := [2]*Conn{}
	for i, h := range []*Host{a, b} {
		n.nextConn++
		c := &Conn{
			host: h, id: n.nextConn, local: local, remote: remote, rto: minRTO,
			readable: make(chan struct{}, 1), writable: make(chan struct{}, 1), gone: make(chan struct{}),
		}
		h.conns[c.id] = c
		ends[i] = c
		local, remote = remote, local
	}
	ends[0].peer, ends[1].peer = ends[1], ends[0]
	return ends[0], ends[1]
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// fail ends the stream for this side; called with mu held.
func (c *Conn) fail(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	c.out = nil
	close(c.gone)
}

// sendReset tells the peer, if the network lets it through; called with mu held.
func (c *Conn) sendReset() {
	n := c.host.net
	for _, d := range n.route(c.local, c.remote, 40, true) {
		n.after(d, func() {
			c.peer.host.do(func() {
				if c.peer.host.conns[c.peer.id] == c.peer {
					c.peer.fail(errReset)
					delete(c.peer.host.conns, c.peer.id)
				}
			})
		})
	}
}

// pump sends what waits, in order. A lost segment holds up those behind it
// until the retransmission timeout. Called with mu held.
func (c *Conn) pump() {
	n := c.host.net
	if c.host.paused {
		if !c.retry {
			c.retry = true
			c.host.do(c.again)
		}
		return
	}
	for len(c.out) > 0 && !c.retry && (c.err == nil || c.closed) {
		s := c.out[0]
		delays := n.route(c.local, c.remote, len(s.data)+40, true)
		dead := c.peer.host.down || (c.peer.host.conns[c.peer.id] != c.peer)
		if len(delays) == 0 || (dead && c.peer.host.down) {
			c.backoff()
			return
		}
		if dead { // a live host without this stream answers with a reset
			n.after(2*delays[0], func() { c.fail(errReset) })
			c.out = nil
			return
		}
		c.rto, c.stuckSince = minRTO, time.Time{}
		c.out[0] = segment{}
		c.out = c.out[1:]
		at := time.Now().Add(delays[0])
		if at.Before(c.arrival) {
			at = c.arrival
		}
		c.arrival = at
		n.after(time.Until(at), func() { c.peer.host.do(func() { c.peer.receive(s) }) })
	}
}

// again tries to send what waits; called with mu held.
func (c *Conn) again() {
	c.retry = false
	c.pump()
}

// backoff plans the next attempt, or gives the stream up.
func (c *Conn) backoff() {
	now := time.Now()
	if c.stuckSince.IsZero() {
		c.stuckSince = now
	}
	if now.Sub(c.stuckSince) > giveUp {
		c.fail(errTimeout)
		return
	}
	c.retry = true
	c.host.net.after(c.rto, c.again)
	c.rto = min(2*c.rto, maxRTO)
}

// receive takes a segment that has arrived; called with mu held.
func (c *Conn) receive(s segment) {
	if c.err != nil || c.host.down || c.host.conns[c.id] != c {
		return
	}
	c.host.net.note(Segment, c.remote, c.local, len(s.data))
	c.in = append(c.in, s.data...)
	c.eof = c.eof || s.fin
	signal(c.readable)
}

// Read blocks until data, the end, a deadline or an error is there.
func (c *Conn) Read(b []byte) (int, error) {
	mu := &c.host.net.mu
	for {
		mu.Lock()
		if len(c.in) > 0 && !c.closed {
			k := copy(b, c.in)
			c.in = c.in[k:]
			if len(c.in) == 0 {
				c.in = nil
			}
			c.peer.unread -= k
			signal(c.peer.writable)
			if len(c.in) > 0 || c.eof {
				signal(c.readable)
			}
			mu.Unlock()
			return k, nil
		}
		if c.closed {
			mu.Unlock()
			return 0, &net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: net.ErrClosed}
		}
		if c.eof {
			mu.Unlock()
			return 0, io.EOF
		}
		if c.err != nil {
			err := c.err
			mu.Unlock()
			return 0, &net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: err}
		}
		at, changed := c.readDeadline.state()
		mu.Unlock()
		if err := c.readDeadline.wait(at, changed, c.readable, c.gone); errors.Is(err, errTimeout) {
			return 0, &net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: err}
		}
	}
}

// Write copies b; it blocks only when the window is full.
func (c *Conn) Write(b []byte) (int, error) {
	mu := &c.host.net.mu
	written := 0
	for {
		mu.Lock()
		if c.closed || c.err != nil {
			err := c.err
			if c.closed {
				err = net.ErrClosed
			}
			mu.Unlock()
			return written, &net.OpError{Op: "write", Net: "tcp", Addr: c.RemoteAddr(), Err: err}
		}
		for written < len(b) && c.unread < window {
			k := min(len(b)-written, segmentSize, window-c.unread)
			c.out = append(c.out, segment{data: append([]byte(nil), b[written:written+k]...)})
			c.unread += k
			written += k
		}
		c.pump()
		if written == len(b) {
			mu.Unlock()
			return written, nil
		}
		at, changed := c.writeDeadline.state()
		mu.Unlock()
		if err := c.writeDeadline.wait(at, changed, c.writable, c.gone); errors.Is(err, errTimeout) {
			return written, &net.OpError{Op: "write", Net: "tcp", Addr: c.RemoteAddr(), Err: err}
		}
	}
}

// Close sends what was written, then the end of the stream.
func (c *Conn) Close() error {
	mu := &c.host.net.mu
	mu.Lock()
	defer mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if c.err == nil {
		c.out = append(c.out, segment{fin: true})
		c.pump()
		c.err = net.ErrClosed
		close(c.gone)
	}
	delete(c.host.conns, c.id)
	return nil
}

// LocalAddr is the address of this end.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr is the address of the other end.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	c.readDeadline.set(t)
	c.writeDeadline.set(t)
	return nil
}

// SetReadDeadline sets the deadline for reading.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	c.readDeadline.set(t)
	return nil
}

// SetWriteDeadline sets the deadline for writing.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	c.writeDeadline.set(t)
	return nil
}
