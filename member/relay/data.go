package relay

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/region"
)

// MaxMessage bounds a message of a data stream, in bytes.
const MaxMessage = 64 << 10

// Datagrams as the codec of a data stream makes its messages unreliable: none waits for
// another one, and a message of which a packet is lost is not asked for again. Messages
// of all other data streams are repaired and come in order.
const Datagrams = "datagrams"

// dataKeep is how long packets of a reliable data stream are kept and waited for, unless
// Config.Ring is longer.
const dataKeep = 10 * time.Second

// A message of a data stream travels as RTP packets with consecutive sequence
// numbers; the marker is on the last. The payload of each is
//
//	flags u8     1 = first fragment, 2 = last fragment
//	data         at most maxFragment bytes
//
// A message of which a packet is lost is dropped whole.
const (
	firstFragment = 1
	lastFragment  = 2
	wholeMessage  = firstFragment | lastFragment
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

// An assembler turns packets, in order, into messages.
type assembler struct {
	partial []byte
	next    uint64 // the index that continues partial; 0: none does
	after   uint64 // the index that follows on what was added last; 0: nothing was
}

// add takes the next packet; whole is true if it completes a message. lost says that
// packets before it are missing.
func (a *assembler) add(p *Packet) (message []byte, whole, lost bool) {
	lost = a.after != 0 && p.Index != a.after
	a.after = p.Index + 1
	if len(p.Payload) == 0 {
		return nil, false, lost
	}
	flags, data := p.Payload[0], p.Payload[1:]
	switch {
	case flags&firstFragment != 0:
		a.partial = append([]byte(nil), data...)
	case a.next != p.Index || len(a.partial)+len(data) > MaxMessage:
		a.partial, a.next = nil, 0
		return nil, false, lost
	default:
		a.partial = append(a.partial, data...)
	}
	if flags&lastFragment == 0 {
		a.next = p.Index + 1
		return nil, false, lost
	}
	message = a.partial
	a.partial, a.next = nil, 0
	return message, true, lost
}

// maxParts bounds the fragments that wait for others: four of the largest messages.
const maxParts = 4 * (MaxMessage/maxFragment + 1)

// A collector turns the packets of datagrams, in any order, into messages.
type collector struct {
	parts map[uint64][]byte // payloads by index
	order []uint64          // as they came
}

// add takes a packet; whole is true if it completes a message.
func (c *collector) add(p *Packet) (message []byte, whole bool) {
	if len(p.Payload) == 0 {
		return nil, false
	}
	if p.Payload[0] == wholeMessage {
		return p.Payload[1:], true
	}
	if c.parts == nil {
		c.parts = make(map[uint64][]byte)
	}
	if len(c.order) == maxParts {
		delete(c.parts, c.order[0])
		c.order = c.order[1:]
	}
	c.parts[p.Index] = p.Payload
	c.order = append(c.order, p.Index)
	first, last := p.Index, p.Index
	for ; ; first-- {
		part, here := c.parts[first]
		if !here {
			return nil, false
		}
		if part[0]&firstFragment != 0 {
			break
		}
	}
	for ; ; last++ {
		part, here := c.parts[last]
		if !here {
			return nil, false
		}
		if part[0]&lastFragment != 0 {
			break
		}
	}
	message = []byte{}
	for i := first; i <= last; i++ {
		message = append(message, c.parts[i][1:]...)
		delete(c.parts, i)
	}
	c.order = slices.DeleteFunc(c.order, func(i uint64) bool { return i >= first && i <= last })
	return message, len(message) <= MaxMessage
}

// ReadMessage returns the next whole message of a data stream; otherwise it is as
// ReadRTP. Use one or the other. It reports region.ErrLost, once, where messages of a
// reliable stream are missing.
func (k *Sink) ReadMessage(ctx context.Context) ([]byte, error) {
	if m := k.held; m != nil {
		k.held = nil
		return m, nil
	}
	for {
		p, err := k.ReadRTP(ctx)
		if err != nil {
			return nil, err
		}
		k.s.mu.Lock()
		unreliable := datagrams(k.s.info)
		k.s.mu.Unlock()
		if unreliable {
			if m, whole := k.parts.add(p); whole {
				return m, nil
			}
			continue
		}
		m, whole, lost := k.text.add(p)
		if lost {
			if whole {
				k.held = m
			}
			return nil, fmt.Errorf("read %s: %w", k.s.id, region.ErrLost)
		}
		if whole {
			return m, nil
		}
	}
}

// TryMessage is ReadMessage of datagrams for those who look at it now and then: it
// does not wait, and returns nil if no message is there.
func (k *Sink) TryMessage() ([]byte, error) {
	for !k.dried() {
		p, _, err := k.next(false)
		if p == nil || err != nil {
			return nil, err
		}
		if m, whole := k.parts.add(p); whole {
			return m, nil
		}
	}
	return nil, nil
}

// nextArrival returns the next packet in the order in which they came, nil if there is
// none. s.mu is held.
func (k *Sink) nextArrival() *Packet {
	if k.s.head-k.at > logSize {
		k.at = k.s.head - logSize
	}
	for ; k.at < k.s.head; k.at++ {
		a := k.s.log[k.at%logSize]
		ly := k.s.layers[a.layer]
		if ly == nil || k.wish.Paused {
			continue
		}
		if sl := ly.at(a.index); sl != nil {
			k.at++
			return k.deliver(a.layer, sl)
		}
	}
	return nil
}
