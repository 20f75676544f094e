package link

import (
	"fmt"
	"math"
	"time"

	"github.com/skein-mesh/skein/region"
)

// parseMessage decodes a message. Nothing in the result aliases b.
func parseMessage(b []byte) (Message, error) {
	if len(b) == 0 || len(b) > MaxMessage {
		return Message{}, fmt.Errorf("%w: control message of %d bytes", region.ErrInvalid, len(b))
	}
	m := Message{Kind: Kind(b[0])}
	d := decoder{rest: b[1:]}
	switch m.Kind {
	case Heartbeat, Bye:
	case Voices:
		m.Most, m.Floor = uint8(d.number(1)), uint8(d.number(1))
	case Ping:
		m.ID = uint32(d.number(4))
		m.RTT = time.Duration(d.number(4)) * time.Microsecond
		m.Loss = float64(d.number(2)) / math.MaxUint16
	case Pong:
		m.ID = uint32(d.number(4))
	case Draw:
		m.ID = uint32(d.number(4))
		m.Stream = region.StreamID(d.name(region.MaxStreamName))
		m.Layers = region.LayerMask(d.number(2))
		m.Priority = uint8(d.number(1))
		flags := d.number(1)
		m.Extra, m.Voice, d.bad = flags&1 != 0, flags&2 != 0, d.bad || flags > 3
		m.Failed = region.MemberID(d.name(region.MaxName))
		m.Grant = d.bytes(int(d.number(2)), MaxGrant)
		m.Tips = d.tips()
	case DrawReply:
		m.ID = uint32(d.number(4))
		m.Stream = region.StreamID(d.name(region.MaxStreamName))
		m.Fault = Fault(d.number(1))
		m.Path = d.path()
		m.Tips = d.tips()
		m.Record = d.record(m.Stream)
	case Have:
		m.Free = region.Rate(d.number(4))
		m.Marks = d.marks()
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
		m.Layers = region.LayerMask(d.number(2))
		m.Path = d.path()
	case Tips:
		m.Tips = d.tips()
	case Report:
		m.SSRC = uint32(d.number(4))
		m.Report = d.bytes(len(d.rest), MaxReport)
	case Feedback:
		m.Samples = d.samples()
	case Believe:
		d.beliefs(&m)
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

func (d *decoder) flag() bool {
	v := d.number(1)
	d.bad = d.bad || v > 1
	return v == 1
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

func (d *decoder) samples() []arrival {
	n := int(d.number(1))
	if n > maxSamples {
		d.bad = true
		return nil
	}
	var list []arrival
	for range n {
		a := arrival{SSRC: uint32(d.number(4)), Index: d.number(6), At: uint32(d.number(4))}
		a.Received = volume{uint32(d.number(4)), uint32(d.number(4))}
		list = append(list, a)
	}
	return list
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
