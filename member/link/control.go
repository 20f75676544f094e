package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"

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
	// lastIndex of SRTCP: a session that has used it is of no use any more.
	lastIndex = encryptedFlag - 1
)

// A control is the SRTCP state of a session.
type control struct {
	mu    sync.Mutex
	out   secret // guarded by mu, as is index
	index uint32
	in    secret // of the socket's reader, as is window
	window
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
	if c.index == lastIndex {
		return nil, errNoSession
	}
	c.index++
	return c.out.seal(b, c.index), nil
}

// open decrypts and decodes a message in place.
func (c *control) open(b []byte) (Message, error) {
	b, index, ok := c.in.open(b)
	if !ok {
		return Message{}, fmt.Errorf("%w: control message that is not genuine", region.ErrInvalid)
	}
	if !c.fresh(uint64(index)) {
		return Message{}, errReplayed
	}
	c.note(uint64(index))
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
	return l.sendTo(s, m, s.dest.Load().addr)
}

// sendTo sends a control message to an address of the peer.
func (l *Link) sendTo(s *session, m *Message, to netip.AddrPort) error {
	buf := l.t.buffers.Get().(*[]byte)
	defer l.t.buffers.Put(buf)
	b, err := s.control.seal(*buf, m)
	if err == nil {
		*buf = b[:0]
		l.sentAt.Store(l.t.now())
		l.t.control.count(m.Kind, len(b))
		err = l.t.writeTo(b, to)
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
	if binary.BigEndian.Uint32(b[4:]) != 0 {
		t.strays.Add(1)
		return
	}
	var m Message
	var err error
	size := len(b)
	if s != nil {
		m, err = s.control.open(b)
	} else if found, message, ok := t.seekControl(b, from); ok {
		s, m = found, message
	} else {
		t.strays.Add(1)
		return
	}
	l := s.link
	t.control.count(m.Kind, size)
	switch {
	case errors.Is(err, errReplayed):
		l.replayed.Add(1)
		return
	case err != nil:
		l.malformed.Add(1)
		return
	case !l.limit.Allow():
		l.flooded.Add(1)
		return
	}
	s.heard.Store(true)
	l.heard(t.arrived)
	switch m.Kind {
	case Heartbeat:
	case Bye:
		s.end()
	case Ping:
		if !l.pair.smaller {
			l.wasPinged(&m, t.now())
		}
		_ = l.Send(&Message{Kind: Pong, ID: m.ID})
	case Feedback:
		if l.estimate.hear(m.Samples, t.now(), t.Late()) {
			t.hand().Changed(l)
		}
	case Pong:
		l.pulse.pong(m.ID, t.now())
	default:
		t.hand().Message(l, &m)
	}
}
