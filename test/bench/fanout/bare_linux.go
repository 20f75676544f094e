package fanout

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	header   = 12 // of RTP
	overhead = 16 // of AEAD_AES_128_GCM
	sockBuf  = 4 << 20
	maxTrain = 58 // packets of 1100 bytes in 64 KiB
)

func listen() (*net.UDPConn, netip.AddrPort, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	_ = conn.SetReadBuffer(sockBuf)
	_ = conn.SetWriteBuffer(sockBuf)
	addr, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil, netip.AddrPort{}, fmt.Errorf("address of type %T", conn.LocalAddr())
	}
	return conn, addr.AddrPort(), nil
}

// gather makes the kernel join datagrams that follow one another.
func gather(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) }); err != nil {
		return err
	}
	return failed
}

// readTrain reads datagrams of one size, the last of which may be shorter.
func readTrain(conn *net.UDPConn, buf, oob []byte) (data []byte, size int, err error) {
	n, oobn, _, _, err := conn.ReadMsgUDPAddrPort(buf, oob)
	if err != nil {
		return nil, 0, err
	}
	size = n
	if oobn < unix.CmsgLen(2) {
		return buf[:n], size, nil
	}
	if h, d, _, err := unix.ParseOneSocketControlMessage(oob[:oobn]); err == nil && h.Type == unix.UDP_GRO && len(d) >= 2 {
		size = int(binary.NativeEndian.Uint16(d))
	}
	return buf[:n], size, nil
}

// cut is the control message that makes the kernel cut a train.
func cut(size int) []byte {
	b := make([]byte, unix.CmsgSpace(2))
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(2)))
	binary.NativeEndian.PutUint32(b[8:], unix.IPPROTO_UDP)
	binary.NativeEndian.PutUint32(b[12:], unix.UDP_SEGMENT)
	binary.NativeEndian.PutUint16(b[unix.CmsgLen(0):], uint16(size))
	return b
}

// fixedKey is the same everywhere: only the work counts.
func fixedKey() (*srtp.Context, error) {
	return srtp.CreateContext(make([]byte, 16), make([]byte, 12), srtp.ProtectionProfileAeadAes128Gcm)
}

// A bareServer is a hub that forwards and does nothing else.
type bareServer struct {
	conn  *net.UDPConn
	limit bool
	done  sync.WaitGroup

	mu       sync.Mutex
	children []bareChild
}

type bareChild struct {
	addr netip.AddrPort
	udp  *net.UDPAddr
	out  *srtp.Context
	buf  []byte
}

func newBareServer(limit bool) (server, netip.AddrPort, error) {
	conn, addr, err := listen()
	if err != nil {
		return nil, addr, err
	}
	s := &bareServer{conn: conn, limit: limit}
	run := s.runPlain
	if limit {
		if err := gather(conn); err != nil {
			return nil, addr, err
		}
		run = s.runLimit
	}
	s.done.Go(run)
	return s, addr, nil
}

func (s *bareServer) order(o order) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, addr := range o.Children {
		key, err := fixedKey()
		if err != nil {
			return err
		}
		s.children = append(s.children, bareChild{addr: addr, udp: net.UDPAddrFromAddrPort(addr), out: key, buf: make([]byte, 0, 64<<10)})
	}
	return nil
}

func (s *bareServer) close() {
	_ = s.conn.Close()
	s.done.Wait()
}

func (s *bareServer) runPlain() {
	buf := make([]byte, 2048)
	for {
		n, _, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		s.mu.Lock()
		for i := range s.children {
			_, _ = s.conn.WriteToUDPAddrPort(buf[:n], s.children[i].addr)
		}
		s.mu.Unlock()
	}
}

func (s *bareServer) runLimit() {
	in, err := fixedKey()
	if err != nil {
		return
	}
	batch := ipv4.NewPacketConn(s.conn)
	buf, oob, plain := make([]byte, 64<<10), make([]byte, 64), make([]byte, 0, 64<<10)
	var h rtp.Header
	var messages []ipv4.Message
	for {
		data, size, err := readTrain(s.conn, buf, oob)
		if err != nil {
			return
		}
		var packets [][]byte
		plain = plain[:0]
		for len(data) > 0 {
			n := min(size, len(data))
			p, err := in.DecryptRTP(plain[len(plain):len(plain):cap(plain)], data[:n], &h)
			if err != nil {
				return
			}
			plain = plain[:len(plain)+len(p)]
			packets = append(packets, p)
			data = data[n:]
		}
		control := cut(size)
		s.mu.Lock()
		messages = messages[:0]
		for i := range s.children {
			c := &s.children[i]
			c.buf = c.buf[:0]
			for _, p := range packets {
				out, err := c.out.EncryptRTP(c.buf[len(c.buf):len(c.buf):cap(c.buf)], p, &h)
				if err != nil {
					continue
				}
				c.buf = c.buf[:len(c.buf)+len(out)]
			}
			messages = append(messages, ipv4.Message{Buffers: [][]byte{c.buf}, OOB: control, Addr: c.udp})
		}
		s.mu.Unlock()
		for rest := messages; len(rest) > 0; {
			n, err := batch.WriteBatch(rest, 0)
			if err != nil {
				n = max(n, 1)
			}
			rest = rest[n:]
		}
	}
}

// A bare arm feeds a bare hub and counts at plain sockets.
type bare struct {
	h      *process
	to     netip.AddrPort
	conn   *net.UDPConn
	out    *srtp.Context // limit only
	batch  []byte
	packet []byte
	seq    uint16
	ends   []*net.UDPConn
	done   sync.WaitGroup
}

func newBare(ctx context.Context, cfg Config, kind string, c *counts) (arm, error) {
	b := &bare{packet: make([]byte, cfg.Packet)}
	var first answer
	var err error
	if b.h, first, err = startHub(ctx, cfg, setup{Kind: kind}); err != nil {
		return nil, err
	}
	b.to = first.Addr
	if b.conn, _, err = listen(); err != nil {
		return nil, err
	}
	if kind == limitHub {
		if b.out, err = fixedKey(); err != nil {
			return nil, err
		}
	}
	var o order
	for range cfg.Children {
		conn, addr, err := listen()
		if err != nil {
			return nil, err
		}
		b.ends = append(b.ends, conn)
		o.Children = append(o.Children, addr)
		if kind == limitHub {
			if err := gather(conn); err != nil {
				return nil, err
			}
		}
		b.done.Go(func() { drain(conn, c) })
	}
	_, err = b.h.ask(o)
	return b, err
}

// drain counts what arrives at a child.
func drain(conn *net.UDPConn, c *counts) {
	buf, oob := make([]byte, 64<<10), make([]byte, 64)
	for {
		data, size, err := readTrain(conn, buf, oob)
		if err != nil {
			return
		}
		if len(data) >= header {
			c.note(binary.BigEndian.Uint32(data[4:]), (len(data)+size-1)/size)
		}
	}
}

func (b *bare) hub() *process   { return b.h }
func (b *bare) widen(int) error { return nil }
func (b *bare) close() {
	_ = b.conn.Close()
	for _, c := range b.ends {
		_ = c.Close()
	}
	b.done.Wait()
	b.h.close()
}

// frame sends the packets of a frame: one by one, or as a train.
func (b *bare) frame(stream int, timestamp uint32, n int) error {
	b.batch = b.batch[:0]
	for range n {
		b.seq++
		p := b.packet
		p[0], p[1] = 0x80, 96
		binary.BigEndian.PutUint16(p[2:], b.seq)
		binary.BigEndian.PutUint32(p[4:], timestamp)
		binary.BigEndian.PutUint32(p[8:], 7)
		if b.out == nil {
			if _, err := b.conn.WriteToUDPAddrPort(p, b.to); err != nil {
				return err
			}
			continue
		}
		enc, err := b.out.EncryptRTP(nil, p, nil)
		if err != nil {
			return err
		}
		b.batch = append(b.batch, enc...)
	}
	size := len(b.packet) + overhead
	for rest := b.batch; len(rest) > 0; {
		train := rest[:min(len(rest), maxTrain*size)]
		if _, _, err := b.conn.WriteMsgUDPAddrPort(train, cut(size), b.to); err != nil {
			return err
		}
		rest = rest[len(train):]
	}
	return nil
}
