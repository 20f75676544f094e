package link

import (
	"encoding/binary"
	"fmt"

	"github.com/skein-mesh/skein/region"
)

// Control messages travel one per datagram (control.go): unordered, and lost now
// and then. What needs an answer is asked again until it comes.
//
// Numbers are big-endian; "name" is one byte of length, then that many bytes;
// u48 is six bytes. Anything after the last field makes a message invalid.
//
//	 1 Heartbeat  -
//	 2 Ping       id u32
//	 3 Pong       id u32
//	 4 Draw       id u32, stream name, layers u16, failed name, grant (u16 length), tips
//	 5 DrawReply  id u32, stream name, fault u8 (0 = accepted), path, tips
//	 6 Drop       id u32, stream name
//	 7 Nack       ssrc u32, base u48, mask u64 (bit i: base+1+i is missing too)
//	 8 Keyframe   ssrc u32
//	 9 Path       stream name, path
//	10 Tips       tips
//	11 Report     ssrc u32, RTCP sender report (rest of the message)
//	12 Dismiss    stream name
//
//	path          count u8, names: members from the root to the sender
//	tips          count u8, then ssrc u32 and index u48 each

// A Kind tells control messages apart.
type Kind uint8

// The kinds of control messages.
const (
	Heartbeat Kind = iota + 1
	Ping
	Pong
	// Draw asks the peer to forward a stream; Tips say where to resume.
	Draw
	// DrawReply accepts a Draw, or refuses it with a Fault.
	DrawReply
	// Drop ends the Draw of that ID, or any if it is 0. It has no answer: who gets
	// packets it does not draw drops again.
	Drop
	// Nack asks for missing packets.
	Nack
	// Keyframe asks for a keyframe.
	Keyframe
	// Path tells a child on which path it hangs.
	Path
	// Tips tell a child what the next index of each layer is, so that it
	// notices the loss of the last packets before a pause.
	Tips
	// Report carries an RTCP sender report down.
	Report
	// Dismiss tells a child that it is not fed any more.
	Dismiss
)

// Limits of control messages.
const (
	MaxMessage = 1200 // bytes
	MaxPath    = 32   // members; with the longest stream name they fit a message
	MaxReport  = 256  // bytes
	MaxGrant   = 512  // bytes
	maxTips    = region.MaxLayers
)

// A Tip is the next index of one layer.
type Tip struct {
	SSRC  uint32
	Index uint64
}

// A Message is a control message; which fields count depends on Kind.
type Message struct {
	Kind   Kind
	ID     uint32
	Stream region.StreamID
	SSRC   uint32
	Layers region.LayerMask
	// Failed is the parent that a Draw is to replace; empty if it still feeds
	// the sender, or never did.
	Failed region.MemberID
	Fault  Fault
	Grant  []byte
	Path   []region.MemberID
	Tips   []Tip
	Base   uint64
	Mask   uint64
	Report []byte
}

// append encodes m. It panics if m exceeds a limit: that is the sender's mistake.
func (m *Message) append(b []byte) []byte {
	b = append(b, byte(m.Kind))
	switch m.Kind {
	case Heartbeat:
	case Ping, Pong:
		b = binary.BigEndian.AppendUint32(b, m.ID)
	case Draw:
		b = binary.BigEndian.AppendUint32(b, m.ID)
		b = appendName(b, string(m.Stream))
		b = binary.BigEndian.AppendUint16(b, uint16(m.Layers))
		b = appendName(b, string(m.Failed))
		b = binary.BigEndian.AppendUint16(b, uint16(len(m.Grant)))
		b = append(b, m.Grant...)
		b = appendTips(b, m.Tips)
	case DrawReply:
		b = binary.BigEndian.AppendUint32(b, m.ID)
		b = appendName(b, string(m.Stream))
		b = append(b, byte(m.Fault))
		b = appendPath(b, m.Path)
		b = appendTips(b, m.Tips)
	case Drop:
		b = binary.BigEndian.AppendUint32(b, m.ID)
		b = appendName(b, string(m.Stream))
	case Dismiss:
		b = appendName(b, string(m.Stream))
	case Nack:
		b = binary.BigEndian.AppendUint32(b, m.SSRC)
		b = appendU48(b, m.Base)
		b = binary.BigEndian.AppendUint64(b, m.Mask)
	case Keyframe:
		b = binary.BigEndian.AppendUint32(b, m.SSRC)
	case Path:
		b = appendName(b, string(m.Stream))
		b = appendPath(b, m.Path)
	case Tips:
		b = appendTips(b, m.Tips)
	case Report:
		b = binary.BigEndian.AppendUint32(b, m.SSRC)
		b = append(b, m.Report...)
	}
	return b
}

func appendName(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

func appendU48(b []byte, v uint64) []byte {
	return binary.BigEndian.AppendUint32(append(b, byte(v>>40), byte(v>>32)), uint32(v))
}

func appendPath(b []byte, path []region.MemberID) []byte {
	b = append(b, byte(len(path)))
	for _, id := range path {
		b = appendName(b, string(id))
	}
	return b
}

func appendTips(b []byte, tips []Tip) []byte {
	b = append(b, byte(len(tips)))
	for _, t := range tips {
		b = appendU48(binary.BigEndian.AppendUint32(b, t.SSRC), t.Index)
	}
	return b
}

// parseMessage decodes a message. Nothing in the result aliases b.
func parseMessage(b []byte) (Message, error) {
	if len(b) == 0 || len(b) > MaxMessage {
		return Message{}, fmt.Errorf("%w: control message of %d bytes", region.ErrInvalid, len(b))
	}
	m := Message{Kind: Kind(b[0])}
	d := decoder{rest: b[1:]}
	switch m.Kind {
	case Heartbeat:
	case Ping, Pong:
		m.ID = uint32(d.number(4))
	case Draw:
		m.ID = uint32(d.number(4))
		m.Stream = region.StreamID(d.name(region.MaxStreamName))
		m.Layers = region.LayerMask(d.number(2))
		m.Failed = region.MemberID(d.name(region.MaxName))
		m.Grant = d.bytes(int(d.number(2)), MaxGrant)
		m.Tips = d.tips()
	case DrawReply:
		m.ID = uint32(d.number(4))
		m.Stream = region.StreamID(d.name(region.MaxStreamName))
		m.Fault = Fault(d.number(1))
		m.Path = d.path()
		m.Tips = d.tips()
	case Drop:
		m.ID = uint32(d.number(4))
		m.Stream = region.StreamID(d.name(region.MaxStreamName))
	case Dismiss:
		m.Stream = region.StreamID(d.name(region.MaxStreamName))
	case Nack:
		m.SSRC = uint32(d.number(4))
		m.Base = d.number(6)
		m.Mask = d.number(8)
	case Keyframe:
		m.SSRC = uint32(d.number(4))
	case Path:
		m.Stream = region.StreamID(d.name(region.MaxStreamName))
		m.Path = d.path()
	case Tips:
		m.Tips = d.tips()
	case Report:
		m.SSRC = uint32(d.number(4))
		m.Report = d.bytes(len(d.rest), MaxReport)
	default:
		return Message{}, fmt.Errorf("%w: control message of kind %d", region.ErrInvalid, m.Kind)
	}
	if d.bad || len(d.rest) > 0 {
		return Message{}, fmt.Errorf("%w: control message of kind %d is malformed", region.ErrInvalid, m.Kind)
	}
	return m, nil
}

// A decoder takes fields off a message; after the first that is not there, all
// are zero and bad is set.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) number(size int) (v uint64) {
	if len(d.rest) < size {
		d.bad, d.rest = true, nil
		return 0
	}
	for _, c := range d.rest[:size] {
		v = v<<8 | uint64(c)
	}
	d.rest = d.rest[size:]
	return v
}

func (d *decoder) bytes(size, limit int) []byte {
	if size > limit || size > len(d.rest) {
		d.bad, d.rest = true, nil
		return nil
	}
	b := append([]byte(nil), d.rest[:size]...)
	d.rest = d.rest[size:]
	return b
}

func (d *decoder) name(limit int) string { return string(d.bytes(int(d.number(1)), limit)) }

func (d *decoder) path() []region.MemberID {
	n := int(d.number(1))
	if n > MaxPath {
		d.bad = true
		return nil
	}
	var path []region.MemberID
	for range n {
		path = append(path, region.MemberID(d.name(region.MaxName)))
	}
	return path
}

func (d *decoder) tips() []Tip {
	n := int(d.number(1))
	if n > maxTips {
		d.bad = true
		return nil
	}
	var tips []Tip
	for range n {
		tips = append(tips, Tip{SSRC: uint32(d.number(4)), Index: d.number(6)})
	}
	return tips
}
