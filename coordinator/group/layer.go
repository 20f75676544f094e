package group

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// A layer is the raft.StreamLayer of one group: connections in from the
// listener, connections out by dialling. It keeps all of them, so that Close
// leaves none behind.
type layer struct {
	listener *Listener
	id       region.ID
	room     int // for accepted connections
	allowed  func(region.MemberID) bool
	incoming chan net.Conn
	done     chan struct{}
	wg       sync.WaitGroup
	// refused is when a peer last said that this node is not in the group, as Unix
	// time in nanoseconds; 0: never.
	refused atomic.Int64

	mu       sync.Mutex
	conns    map[*layerConn]bool
	spare    map[raft.ServerAddress]net.Conn // opened ahead, see reach
	accepted int
	closed   bool
}

var _ raft.StreamLayer = (*layer)(nil)

func newLayer(l *Listener, id region.ID, allowed func(region.MemberID) bool) *layer {
	room := maxConns
	if strings.HasPrefix(string(id), channelMark) {
		room = maxChannelConns
	}
	return &layer{
		listener: l, id: id, allowed: allowed, room: room,
		incoming: make(chan net.Conn, room),
		done:     make(chan struct{}),
		conns:    map[*layerConn]bool{},
		spare:    map[raft.ServerAddress]net.Conn{},
	}
}

// A layerConn leaves the layer's books when it is closed.
type layerConn struct {
	net.Conn
	layer    *layer
	accepted bool
}

func (c *layerConn) Close() error {
	l := c.layer
	l.mu.Lock()
	if l.conns[c] {
		delete(l.conns, c)
		if c.accepted {
			l.accepted--
		}
	}
	l.mu.Unlock()
	return c.Conn.Close()
}

// keep enters a connection into the books, or reports why not.
func (l *layer) keep(conn net.Conn, accepted bool) (*layerConn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, net.ErrClosed
	}
	if accepted {
		if l.accepted >= l.room {
			return nil, region.ErrLimit
		}
		l.accepted++
	}
	c := &layerConn{Conn: conn, layer: l, accepted: accepted}
	l.conns[c] = true
	return c, nil
}

// deliver takes over a connection from the listener. It does not block:
// incoming has room for all that keep admits.
func (l *layer) deliver(conn net.Conn) {
	c, err := l.keep(conn, true)
	if err != nil {
		conn.Close()
		return
	}
	select {
	case l.incoming <- c:
	default:
		c.Close()
	}
}

// Accept is part of net.Listener.
func (l *layer) Accept() (net.Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close is part of net.Listener. It ends all connections of the group, in and
// out, and waits for dials to return.
func (l *layer) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.done)
	var open []*layerConn
	for c := range l.conns {
		open = append(open, c)
	}
	l.mu.Unlock()
	l.listener.forget(l)
	for _, c := range open {
		c.Close()
	}
	l.wg.Wait()
	return nil
}

// Addr is part of net.Listener: the advertised address.
func (l *layer) Addr() net.Addr { return address(l.listener.Addr()) }

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

// Addresses that Raft passes to Dial name the node, too, so that a stranger at
// an old address is not mistaken for it.
func nodeAddress(node region.MemberID, addr string) raft.ServerAddress {
	return raft.ServerAddress(string(node) + "@" + addr)
}

// reach makes sure that the group is hosted at an address. The connection is kept for
// whoever dials next: to open one takes three round trips.
func (l *layer) reach(to raft.ServerAddress, timeout time.Duration) error {
	conn := l.takeSpare(to)
	if conn == nil {
		var err error
		if conn, err = l.Dial(to, timeout); err != nil {
			return err
		}
	}
	l.mu.Lock()
	another := l.spare[to]
	l.spare[to] = conn
	l.mu.Unlock()
	if another != nil {
		return another.Close()
	}
	return nil
}

func (l *layer) takeSpare(to raft.ServerAddress) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	conn := l.spare[to]
	delete(l.spare, to)
	return conn
}

// Dial is part of raft.StreamLayer.
func (l *layer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	if conn := l.takeSpare(to); conn != nil {
		return conn, nil
	}
	return l.dialAnew(to, timeout)
}

func (l *layer) dialAnew(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	node, addr, ok := strings.Cut(string(to), "@")
	if !ok {
		return nil, fmt.Errorf("dial %s: the address of no known node", to)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if !l.watch(ctx, cancel) {
		return nil, net.ErrClosed
	}
	conn, err := l.dial(ctx, region.MemberID(node), addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s at %s: %w", node, addr, err)
	}
	return conn, nil
}

// watch lets Close cut a dial short, unless the layer is closed already.
func (l *layer) watch(ctx context.Context, cancel func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.wg.Go(func() {
		select {
		case <-l.done:
			cancel()
		case <-ctx.Done():
		}
	})
	return true
}

func (l *layer) dial(ctx context.Context, node region.MemberID, addr string) (net.Conn, error) {
	raw, err := l.listener.cfg.Network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, l.listener.cfg.Credentials.ClientTLS())
	if err := l.introduce(ctx, conn, node); err != nil {
		conn.Close()
		return nil, err
	}
	c, err := l.keep(conn, false)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// introduce does the handshake and asks for the group.
func (l *layer) introduce(ctx context.Context, conn *tls.Conn, node region.MemberID) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	peer, err := trust.PeerIdentity(conn.ConnectionState())
	if err != nil {
		return err
	}
	if peer.ID != node && node != "" {
		return fmt.Errorf("there is %s: %w", peer.ID, trust.ErrPeer)
	}
	if _, err := conn.Write(appendHeader(nil, l.id)); err != nil {
		return err
	}
	var reply [1]byte
	if _, err := io.ReadFull(conn, reply[:]); err != nil {
		return err
	}
	if v := verdict(reply[0]); v != welcome {
		if v == notConfigured {
			l.refused.Store(time.Now().UnixNano())
		}
		return fmt.Errorf("refused: %v: %w", v, trust.ErrPeer)
	}
	return conn.SetDeadline(time.Time{})
}
