package relay

import (
	"time"

	"github.com/pion/rtp"
)

// MaxMessage bounds a message of a data stream, in bytes.
const MaxMessage = 64 << 10

// A message of a data stream travels as RTP packets with consecutive sequence
// numbers; the marker is on the last. The payload of each is
//
//	flags u8     1 = first fragment, 2 = last fragment
//	data         at most maxFragment bytes
//
// Packets arrive in order and repaired, so no more is needed: a message of which
// a packet was given up is dropped whole.
const (
	firstFragment = 1
	lastFragment  = 2
	maxFragment   = 1100
	dataType      = 127 // RTP payload type
	dataClock     = 90000
)

// A fragmenter turns messages into packets.
type fragmenter struct {
	seq   uint16
	start time.Time
	buf   [1 + maxFragment]byte
}

func (f *fragmenter) split(data []byte, send func(*rtp.Packet) error) error {
	if f.start.IsZero() {
		f.start = time.Now()
	}
	p := rtp.Packet{Header: rtp.Header{
		Version: 2, PayloadType: dataType,
		Timestamp: uint32(time.Since(f.start).Seconds() * dataClock),
	}}
	flags := byte(firstFragment)
	for {
		n := min(len(data), maxFragment)
		if n == len(data) {
			flags |= lastFragment
		}
		f.buf[0] = flags
		copy(f.buf[1:], data[:n])
		p.Payload = f.buf[:1+n]
		p.Marker = flags&lastFragment != 0
		p.SequenceNumber = f.seq
		f.seq++
		if err := send(&p); err != nil {
			return err
		}
		if p.Marker {
			return nil
		}
		data, flags = data[n:], 0
	}
}

// An assembler turns packets into messages.
type assembler struct {
	partial []byte
	next    uint64 // the index that continues partial; 0: none does
}

// add takes the next packet; whole is true if it completes a message.
func (a *assembler) add(p *Packet) (message []byte, whole bool) {
	if len(p.Payload) == 0 {
		return nil, false
	}
	flags, data := p.Payload[0], p.Payload[1:]
	switch {
	case flags&firstFragment != 0:
		a.partial = append([]byte(nil), data...)
	case a.next != p.Index || len(a.partial)+len(data) > MaxMessage:
		a.partial, a.next = nil, 0
		return nil, false
	default:
		a.partial = append(a.partial, data...)
	}
	if flags&lastFragment == 0 {
		a.next = p.Index + 1
		return nil, false
	}
	message = a.partial
	a.partial, a.next = nil, 0
	return message, true
}
