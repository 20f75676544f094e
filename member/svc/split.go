package svc

import (
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/region"
)

const (
	// maxHeld bounds the packets that wait for one before them.
	maxHeld = 512
	// patience is how long they wait: for a few retransmissions.
	patience = 200 * time.Millisecond
)

// A Packet of a layer.
type Packet struct {
	*rtp.Packet
	Layer    int
	Captured time.Time

	place Place
	came  time.Time
}

// A Splitter takes apart what one publisher sends. The packets it is given are its own.
type Splitter struct {
	codec string
	mode  Mode

	started bool
	next    uint16
	held    [maxHeld]*Packet // by sequence number
	waiting int

	templates structure
	counts    [region.MaxLayers]uint16 // the number of each layer's next packet
	ended     bool                     // the last packet ended its frame
	begun     bool                     // there was a picture
	last      uint32                   // its timestamp
	cut       bool                     // of a frame the rest is left out
}

// NewSplitter makes one for a codec, VP9 or AV1.
func NewSplitter(codec string, m Mode) *Splitter {
	return &Splitter{codec: codec, mode: m, ended: true}
}

// Take takes a packet that has come, in any order, and returns those that are due, in
// order. lost: some were waited for in vain, and a keyframe is needed.
func (s *Splitter) Take(p *rtp.Packet, captured, now time.Time) (out []*Packet, lost bool) {
	if !s.started {
		s.started, s.next = true, p.SequenceNumber
	}
	switch step := int(int16(p.SequenceNumber - s.next)); {
	case step >= maxHeld, step < -maxHeld: // it begins anew
		for s.waiting > 0 {
			out = s.skip(out)
		}
		lost, s.cut = true, true
		s.next = p.SequenceNumber
	case step < 0:
		return nil, false // it was given up, or comes again
	}
	slot := &s.held[p.SequenceNumber%maxHeld]
	if *slot == nil {
		*slot = &Packet{Packet: p, Captured: captured, came: now}
		s.waiting++
	}
	out = s.release(out)
	for s.waiting > 0 && now.Sub(s.oldest()) > patience {
		out, lost = s.skip(out), true
	}
	return out, lost
}

// oldest is when the first of those that wait came.
func (s *Splitter) oldest() (first time.Time) {
	for _, p := range s.held {
		if p != nil && (first.IsZero() || p.came.Before(first)) {
			first = p.came
		}
	}
	return first
}

// release passes on what has come without a gap.
func (s *Splitter) release(out []*Packet) []*Packet {
	for slot := &s.held[s.next%maxHeld]; *slot != nil; slot = &s.held[s.next%maxHeld] {
		p := *slot
		*slot = nil
		s.waiting--
		s.next++
		if s.settle(p) {
			out = append(out, p)
		}
	}
	return out
}

// skip goes on after a gap.
func (s *Splitter) skip(out []*Packet) []*Packet {
	for s.held[s.next%maxHeld] == nil {
		s.next++
	}
	s.cut = true
	return s.release(out)
}

// settle gives a packet its layer, number and place; false if it is to be left out.
func (s *Splitter) settle(p *Packet) bool {
	if len(p.Payload) == 0 { // padding
		return false
	}
	t := s.describe(p.Packet)
	s.ended = t.ends || p.Marker
	if s.cut = s.cut && !t.begins; s.cut {
		return false
	}
	p.Layer = s.mode.layer(t)
	p.place = Place{
		Spatial: uint8(t.spatial & 3), Opens: !s.begun || p.Timestamp != s.last, Begins: t.begins, Ends: t.ends, Key: t.key, Up: t.open, Next: s.counts, Layers: s.mode.Layers(),
	}
	s.begun, s.last = true, p.Timestamp
	p.SequenceNumber = s.counts[p.Layer]
	s.counts[p.Layer]++
	return p.SetExtension(PlaceID, p.place.append(nil)) == nil
}

// describe is what a packet is. One that does not say so belongs to the lowest layer.
func (s *Splitter) describe(p *rtp.Packet) part {
	if s.codec == "VP9" {
		return vp9(p.Payload)
	}
	if b := p.GetExtension(DescriptorID); b != nil {
		if t, ok := s.templates.read(b); ok {
			return t
		}
	}
	key := p.Payload[0]&0x08 != 0 // N: a coded video sequence begins
	return part{begins: s.ended, ends: p.Marker, key: key, open: key}
}
