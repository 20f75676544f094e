package link

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"

	"github.com/pion/srtp/v3"

	"github.com/skein-mesh/skein/region"
)

// Control messages are RTCP packets of type APP under SRTCP: as safe as DTLS
// records, but read by the socket's goroutine and sent by whoever has something
// to say, so that a NACK or a ping costs no more than a media packet.
//
//	0x80 | padding   version 2; the subtype is the number of padding bytes, 0 to 3
//	204              APP
//	length u16       of the packet in words of four bytes, less one
//	ssrc u32         0: the link itself
//	"SKLN"           name
//	message          see message.go
//	padding
const (
	controlType   = 204
	controlName   = "SKLN"
	controlHeader = 12
	// controlOverhead of a sealed message: header, padding, SRTCP's tag and index.
	controlOverhead = controlHeader + 3 + 16 + 4
	// controlWindow of SRTCP against replay, in packets.
	controlWindow = 1024
)

// A control is the SRTCP state of a session.
type control struct {
	mu  sync.Mutex
	out *srtp.Context // guarded by mu
	in  *srtp.Context // of the socket's reader
}

// seal encodes and encrypts m into dst's memory.
func (c *control) seal(dst []byte, m *Message) ([]byte, error) {
	b := append(dst[:0], 0x80, controlType, 0, 0, 0, 0, 0, 0)
	b = append(b, controlName...)
	b = m.append(b)
	for len(b)%4 != 0 {
		b = append(b, 0)
		b[0]++
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1))
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.EncryptRTCP(b, b, nil)
}

// open decrypts and decodes a message in place.
func (c *control) open(b []byte) (Message, error) {
	b, err := c.in.DecryptRTCP(b, b, nil)
	if err != nil {
		return Message{}, fmt.Errorf("decrypt control message: %w", err)
	}
	padding := int(b[0] & 0x1F)
	if len(b) < controlHeader+padding || string(b[8:controlHeader]) != controlName {
		return Message{}, fmt.Errorf("%w: RTCP packet that is no control message", region.ErrInvalid)
	}
	return parseMessage(b[controlHeader : len(b)-padding])
}

// Send sends a control message. It may be lost. It does not keep m.
func (l *Link) Send(m *Message) error {
	s := l.session.Load()
	if s == nil {
		return fmt.Errorf("send to %s: %w", l.peer.ID, errNoSession)
	}
	buf := l.t.buffers.Get().(*[]byte)
	defer l.t.buffers.Put(buf)
	b, err := s.control.seal(*buf, m)
	if err == nil {
		*buf = b[:0]
		l.sentAt.Store(l.t.now())
		err = l.t.socket.writeTo(b, s.dest.Load().addr)
	}
	if err != nil {
		return fmt.Errorf("send to %s: %w", l.peer.ID, err)
	}
	return nil
}

// takeControl reads a control message and hands on what the link does not see to
// itself.
func (t *Transport) takeControl(b []byte, from netip.AddrPort) {
	s := (*t.routes.Load())[from]
	if s == nil || binary.BigEndian.Uint32(b[4:]) != 0 {
		t.strays.Add(1)
		return
	}
	l := s.link
	m, err := s.control.open(b)
	if err != nil || !l.limit.Allow() {
		l.malformed.Add(1)
		return
	}
	l.heard(t.arrived)
	switch m.Kind {
	case Heartbeat:
	case Ping:
		_ = l.Send(&Message{Kind: Pong, ID: m.ID})
	case Pong:
		l.pulse.pong(m.ID, t.now())
	default:
		t.hand().Message(l, &m)
	}
}
