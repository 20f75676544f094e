package directory

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/skein-mesh/skein/region"
)

const (
	// The first byte on a connection says what it carries.
	carriesPackets = 'p'
	carriesStream  = 's'
	// kindTimeout bounds the wait for that byte.
	kindTimeout = 10 * time.Second
	// dialTimeout and writeTimeout bound what a packet may take.
	dialTimeout  = 5 * time.Second
	writeTimeout = 5 * time.Second
	// idleTimeout is when a connection for packets that carries none is closed.
	idleTimeout = time.Minute
	// maxPeers bounds the connections for packets, maxQueued the packets that wait
	// for one of them, maxPackets those that wait for memberlist. Beyond them
	// packets are lost, which memberlist expects of packets.
	maxPeers   = 1024
	maxQueued  = 64
	maxPackets = 1024
)

// A transport carries memberlist's packets over connections that stay open.
type transport struct {
	channel Channel
	ip      net.IP
	port    int
	ctx     context.Context
	cancel  context.CancelFunc
	packets chan *memberlist.Packet
	streams chan net.Conn
	wg      sync.WaitGroup

	mu    sync.Mutex
	peers map[string]chan []byte // by address
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

func newTransport(c Channel, ip net.IP, port int) *transport {
	t := &transport{
		channel: c, ip: ip, port: port,
		packets: make(chan *memberlist.Packet, maxPackets), streams: make(chan net.Conn, 16),
		peers: map[string]chan []byte{},
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.wg.Go(t.accept)
	return t
}

func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) { return t.ip, t.port, nil }
func (t *transport) PacketCh() <-chan *memberlist.Packet                 { return t.packets }
func (t *transport) StreamCh() <-chan net.Conn                           { return t.streams }

// Shutdown is part of memberlist.Transport; end waits.
func (t *transport) Shutdown() error {
	t.stop()
	return nil
}

// stop ends all that goes on.
func (t *transport) stop() {
	t.cancel()
	_ = t.channel.Close() // and with it all connections
}

// end is stop, and waits.
func (t *transport) end() {
	t.stop()
	t.wg.Wait()
	for {
		select {
		case conn := <-t.streams:
			conn.Close()
		default:
			return
		}
	}
}

func (t *transport) accept() {
	for {
		conn, err := t.channel.Accept()
		if err != nil {
			return
		}
		t.wg.Go(func() { t.welcome(conn) })
	}
}

// welcome finds out what a connection carries. Packets are read here, a stream is
// handed to memberlist, which closes it.
func (t *transport) welcome(conn net.Conn) {
	var kind [1]byte
	err := conn.SetReadDeadline(time.Now().Add(kindTimeout))
	if err == nil {
		_, err = io.ReadFull(conn, kind[:])
	}
	if err == nil && kind[0] == carriesStream {
		if conn.SetReadDeadline(time.Time{}) == nil {
			select {
			case t.streams <- conn:
				return
			case <-t.ctx.Done():
			}
		}
	}
	if err == nil && kind[0] == carriesPackets {
		t.read(conn)
	}
	conn.Close()
}

func (t *transport) read(conn net.Conn) {
	in := bufio.NewReaderSize(conn, packetSize)
	for {
		if conn.SetReadDeadline(time.Now().Add(2*idleTimeout)) != nil {
			return
		}
		var size [4]byte
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(size[:])
		if n > 2*packetSize {
			return
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(in, data); err != nil {
			return
		}
		select {
		case t.packets <- &memberlist.Packet{Buf: data, From: conn.RemoteAddr(), Timestamp: time.Now()}:
		default:
		}
	}
}

// WriteTo is part of memberlist.Transport.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress is part of memberlist.NodeAwareTransport. It does not block.
func (t *transport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	frame := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b))), b...)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		return time.Time{}, net.ErrClosed
	}
	queue := t.peers[to.Addr]
	if queue == nil {
		if len(t.peers) >= maxPeers {
			return time.Time{}, fmt.Errorf("packets to %d coordinators: %w", maxPeers, region.ErrLimit)
		}
		queue = make(chan []byte, maxQueued)
		t.peers[to.Addr] = queue
		t.wg.Go(func() { t.write(queue, to) })
	}
	select {
	case queue <- frame:
	default:
	}
	return time.Now(), nil
}

// write carries the packets to one peer until none come any more or the
// connection breaks; the next packet begins a new one.
func (t *transport) write(queue chan []byte, to memberlist.Address) {
	conn, err := t.dial(to, dialTimeout, carriesPackets)
	for err == nil {
		select {
		case frame := <-queue:
			if err = conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err == nil {
				_, err = conn.Write(frame)
			}
		case <-time.After(idleTimeout):
			err = errIdle
		case <-t.ctx.Done():
			err = net.ErrClosed
		}
	}
	if conn != nil {
		conn.Close()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.peers, to.Addr)
}

var errIdle = errors.New("idle")

// DialTimeout is part of memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout is part of memberlist.NodeAwareTransport.
func (t *transport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.dial(to, timeout, carriesStream)
}

func (t *transport) dial(to memberlist.Address, timeout time.Duration, kind byte) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	conn, err := t.channel.Dial(ctx, region.MemberID(to.Name), to.Addr)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte{kind}); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}
