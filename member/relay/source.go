package relay

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// A Source is where a stream begins. It may be used by several goroutines.
type Source struct {
	r     *Relay
	s     *stream
	ssrc  uint32
	count int // of layers

	mu     sync.Mutex // guards what follows
	closed bool
	layers [region.MaxLayers]numbering
	buf    []byte
	text   fragmenter
	along  bool // what is written has time
}

// A numbering extends the application's sequence numbers to indexes that never go
// back by more than reordering does.
type numbering struct {
	started bool
	last    uint64
	offset  uint16 // added to the application's number
}

// reordering is how far back a packet may come, in sequence numbers; beyond, the
// application has begun anew.
const reordering = 1024

func (n *numbering) extend(seq uint16) uint64 {
	seq += n.offset
	if !n.started {
		n.started = true
		n.last = 1<<16 | uint64(seq) // leaves room for packets before the first
		return n.last
	}
	step := int16(seq - uint16(n.last))
	if step < -reordering {
		n.offset += uint16(1 - step)
		step = 1
	}
	index := n.last + uint64(int64(step))
	n.last = max(n.last, index)
	return index
}

// Publish opens a stream whose origin is this member. It reports region.ErrExists
// if it is open already, region.ErrInvalid or region.ErrLimit.
func (r *Relay) Publish(info region.Stream) (*Source, error) {
	if err := (&Assignment{Stream: info}).validate(); err != nil {
		return nil, err
	}
	info.Origin = r.cfg.Self
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := r.open(info)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.source != nil {
		return nil, fmt.Errorf("publish %s: %w", info.ID, region.ErrExists)
	}
	src := &Source{r: r, s: s, ssrc: info.SSRC, count: len(info.Layers)}
	s.source = src
	for i := range info.Layers {
		ly := s.layer(info.SSRC + uint32(i))
		ly.live = 0
		if ly.started { // published here before: its numbers go on
			src.layers[i] = numbering{started: true, last: ly.next + reordering}
		}
	}
	return src, nil
}

// WriteRTP sends a packet of a layer down the tree, verbatim but for the SSRC and
// an element of Skein's own in the header extension. captured is when the media was
// captured; zero means now. The packet is not kept. It reports
// region.ErrInvalid for a packet that cannot be sent, net.ErrClosed after Close.
func (s *Source) WriteRTP(layer int, p *rtp.Packet, captured time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(layer, p, captured)
}

// write is WriteRTP; s.mu is held.
func (s *Source) write(layer int, p *rtp.Packet, captured time.Time) error {
	switch {
	case s.closed:
		return fmt.Errorf("write %s: %w", s.s.id, net.ErrClosed)
	case layer < 0 || layer >= s.count:
		return fmt.Errorf("%w: layer %d of %d", region.ErrInvalid, layer, s.count)
	}
	now := s.r.now()
	stamp := link.Stamp{Captured: s.r.wall(now)}
	if !captured.IsZero() {
		stamp.Captured = captured.UnixMicro()
	}
	stamp.Index = s.layers[layer].extend(p.SequenceNumber)
	var err error
	if s.buf, err = link.AppendPacket(s.buf[:0], p, s.ssrc+uint32(layer), stamp); err != nil {
		return fmt.Errorf("write %s: %w", s.s.id, err)
	}
	h, ok := link.ParseHeader(s.buf)
	if !ok {
		return fmt.Errorf("%w: RTP packet cannot be read back", region.ErrInvalid)
	}
	urgent := s.s.insert(nil, h, s.buf, now)
	switch {
	case len(*s.s.children.Load()) == 0:
	case s.along:
		s.r.writer.waits.add(s.s, &s.s.waits)
		s.r.writer.remind()
	default:
		s.s.soil()
		s.r.writer.company.Store(true)
		s.r.writer.kick(urgent)
	}
	return nil
}

// WriteMessage sends a message of at most MaxMessage bytes on a data stream.
func (s *Source) WriteMessage(data []byte) error { return s.writeMessage(data, false) }

// WriteAlong is WriteMessage of what has a little time: it waits, up to companyWait, for
// packets of this member's other streams, and goes along with them to whoever gets both.
func (s *Source) WriteAlong(data []byte) error { return s.writeMessage(data, true) }

func (s *Source) writeMessage(data []byte, along bool) error {
	if len(data) > MaxMessage {
		return fmt.Errorf("%w: message of %d bytes, at most %d", region.ErrInvalid, len(data), MaxMessage)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.along = along
	defer func() { s.along = false }()
	return s.text.split(data, func(p *rtp.Packet) error { return s.write(0, p, time.Time{}) })
}

// WriteReport sends an RTCP sender report of a layer down the tree; at most
// link.MaxReport bytes.
func (s *Source) WriteReport(layer int, report []byte) error {
	if layer < 0 || layer >= s.count || len(report) > link.MaxReport {
		return fmt.Errorf("%w: report of layer %d, %d bytes", region.ErrInvalid, layer, len(report))
	}
	m := &link.Message{Kind: link.Report, SSRC: s.ssrc + uint32(layer), Report: slices.Clone(report)}
	s.r.deliver(letter{message: m, stream: s.s})
	return nil
}

// Close ends the writing. The stream keeps its place until it is unassigned.
func (s *Source) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.s.mu.Lock()
	if s.s.source == s {
		s.s.source = nil
	}
	s.s.mu.Unlock()
	return nil
}
