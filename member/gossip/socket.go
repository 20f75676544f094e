package gossip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// Bounds on what a peer can make us hold. memberlist v0.6.0 has none of its own.
const (
	// maxPacket: UDPBufferSize plus label, nonce and tag, with room to spare.
	maxPacket = 2 << 10
	// maxStream bounds what one connection may send: the state of the largest
	// pool (8192 members of about 250 bytes), doubled.
	maxStream = 4 << 20
	// maxStreams bounds the connections that are open at the same time.
	maxStreams = 64
	// maxQueue bounds the packets that wait for memberlist.
	maxQueue = 1024
)

// A Network opens sockets; see member.Network.
type Network interface {
	ListenPacket(ctx context.Context, addr string) (net.PacketConn, error)
	Listen(ctx context.Context, addr string) (net.Listener, error)
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// A Socket is one port for UDP and TCP. It carries one Pool, which closes it.
type Socket struct {
	network Network
	udp     net.PacketConn
	tcp     net.Listener
	addr    netip.AddrPort

	ctx     context.Context // ends with Shutdown
	cancel  context.CancelFunc
	packets chan *memberlist.Packet // never closed: memberlist selects on its own end
	streams chan net.Conn
	slots   chan struct{}
	dropped atomic.Uint64
	bytes   atomic.Uint64 // either way
	wg      sync.WaitGroup
	once    sync.Once
}

// Listen opens a Socket on addr (ip:port). With port 0 it takes a port that is
// free for both UDP and TCP.
func Listen(ctx context.Context, network Network, addr string) (*Socket, error) {
	want, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("gossip: address %q: %w", addr, err)
	}
	// With port 0 the port TCP was given may be taken for UDP by somebody else.
	for attempt := 0; ; attempt++ {
		s, err := listen(ctx, network, want)
		if err == nil || want.Port() != 0 || attempt == 9 {
			return s, err
		}
	}
}

func listen(ctx context.Context, network Network, want netip.AddrPort) (*Socket, error) {
	tcp, err := network.Listen(ctx, want.String())
	if err != nil {
		return nil, fmt.Errorf("gossip: listen on %s (TCP): %w", want, err)
	}
	got, err := netip.ParseAddrPort(tcp.Addr().String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gossip: address of listener: %w", err), tcp.Close())
	}
	addr := netip.AddrPortFrom(want.Addr(), got.Port())
	udp, err := network.ListenPacket(ctx, addr.String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gossip: listen on %s (UDP): %w", addr, err), tcp.Close())
	}
	s := &Socket{
		network: network, udp: udp, tcp: tcp, addr: addr,
		packets: make(chan *memberlist.Packet, maxQueue),
		streams: make(chan net.Conn),
		slots:   make(chan struct{}, maxStreams),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.readPackets)
	s.wg.Go(s.acceptStreams)
	return s, nil
}

// Addr is the address listened on; its IP may be unspecified.
func (s *Socket) Addr() netip.AddrPort { return s.addr }

func (s *Socket) readPackets() {
	buf := make([]byte, maxPacket+1)
	for {
		n, from, err := s.udp.ReadFrom(buf)
		s.bytes.Add(uint64(max(n, 0)))
		now := time.Now()
		if s.ctx.Err() != nil {
			return
		}
		if err != nil {
			// ICMP errors of earlier packets surface here; a closed socket
			// ends the loop.
			if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
				return
			}
			continue
		}
		if n == 0 || n > maxPacket {
			s.dropped.Add(1)
			continue
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: now}
		select {
		case s.packets <- p:
		default:
			s.dropped.Add(1)
		}
	}
}

func (s *Socket) acceptStreams() {
	for {
		conn, err := s.tcp.Accept()
		if err != nil {
			return
		}
		select {
		case s.slots <- struct{}{}:
		default:
			_ = conn.Close()
			s.dropped.Add(1)
			continue
		}
		select {
		case s.streams <- s.bounded(conn, func() { <-s.slots }):
		case <-s.ctx.Done():
			_ = conn.Close()
			return
		}
	}
}

// bounded limits what may be read from conn and closes it with the socket.
func (s *Socket) bounded(conn net.Conn, release func()) net.Conn {
	c := &boundedConn{Conn: conn, left: maxStream, release: release, bytes: &s.bytes}
	c.detach = context.AfterFunc(s.ctx, func() { _ = conn.Close() })
	return c
}

type boundedConn struct {
	net.Conn
	left    int // bytes that may still be read
	bytes   *atomic.Uint64
	detach  func() bool
	release func()
	once    sync.Once
}

func (c *boundedConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("gossip: peer sent more than %d bytes on one connection", maxStream)
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	c.bytes.Add(uint64(n))
	return n, err
}

func (c *boundedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.bytes.Add(uint64(n))
	return n, err
}

func (c *boundedConn) Close() error {
	c.once.Do(func() {
		c.detach()
		c.release()
	})
	return c.Conn.Close()
}

// transport lets memberlist use a Socket.
type transport struct {
	*Socket
	advertise netip.AddrPort
}

var _ memberlist.Transport = transport{}

func (t transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.advertise.Addr().AsSlice(), int(t.advertise.Port()), nil
}

func (t transport) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, err
	}
	t.bytes.Add(uint64(len(b)))
	_, err = t.udp.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return time.Now(), err
}

func (t transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

func (t transport) StreamCh() <-chan net.Conn { return t.streams }

func (t transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	conn, err := t.network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return t.bounded(conn, func() {}), nil
}

// Shutdown implements memberlist.Transport; see Close.
func (t transport) Shutdown() error { return t.Close() }

// Close closes the port and every connection, and waits for the readers.
func (s *Socket) Close() error {
	var err error
	s.once.Do(func() {
		s.cancel()
		err = errors.Join(s.udp.Close(), s.tcp.Close())
	})
	s.wg.Wait()
	return err
}
