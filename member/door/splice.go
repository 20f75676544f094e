package door

import (
	"time"

	"github.com/pion/rtp"
)

// A splice makes one continuous RTP stream out of many: layers of a stream, and
// streams that take over from one another. It is pure, and belongs to one
// goroutine.
type splice struct {
	codec *codec

	started bool
	source  uint32 // SSRC of what is being continued
	// What is added to the source's numbers.
	seq      uint16
	ticks    uint32
	pictures int
	bases    int
	// What was written last.
	last struct {
		seq       uint16
		timestamp uint32
		marker    bool
		picture   int
		base      int
		captured  time.Time
		at        time.Time
	}
}

// A seam that is longer than this by the capture times is none: the clocks of two
// publishers need not agree.
const longestSeam = 10 * time.Second

// write rewrites p, which comes in the order of its source. A packet with another
// SSRC than the one before begins a seam; for video the caller begins one at a
// keyframe only. It changes the header and, for some codecs, the payload.
func (s *splice) write(p *rtp.Packet, captured, now time.Time) {
	d := describe(s.codec.name, p)
	switch {
	case !s.started:
		s.started, s.source = true, p.SSRC
	case p.SSRC != s.source:
		s.seam(p, d, captured, now)
	}
	p.SequenceNumber += s.seq
	p.Timestamp += s.ticks
	d.write(d.id+s.pictures, d.tl0+s.bases)
	s.last.seq, s.last.timestamp, s.last.marker = p.SequenceNumber, p.Timestamp, p.Marker
	s.last.picture, s.last.base = d.id+s.pictures, d.tl0+s.bases
	s.last.captured, s.last.at = captured, now
}

// seam makes p follow on what was written last.
func (s *splice) seam(p *rtp.Packet, d descriptor, captured, now time.Time) {
	next := s.last.seq + 1
	if s.codec.media == "video" && !s.last.marker {
		next++ // a frame was cut off: the decoder must see that something is missing
	}
	s.seq = next - p.SequenceNumber
	// Layers of one publisher share a clock, and so do most publishers.
	pause := captured.Sub(s.last.captured)
	if waited := now.Sub(s.last.at); pause > waited+longestSeam || pause < -longestSeam {
		pause = waited
	}
	// The same moment may have been sent in another layer: a millisecond later is
	// as good as the same time, and never the same timestamp.
	pause = max(pause, time.Millisecond)
	step := int64(pause) * int64(s.codec.clock) / int64(time.Second)
	s.ticks = s.last.timestamp + uint32(step) - p.Timestamp
	s.pictures = s.last.picture + 1 - d.id
	s.bases = s.last.base + 1 - d.tl0
	s.source = p.SSRC
}
