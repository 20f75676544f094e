package mix

import (
	"fmt"

	"github.com/skein-mesh/skein/region"
)

const (
	// queueLimit is how many packets of a voice wait at most: 240 ms of the usual ones.
	queueLimit = 12
	// startSamples must be there before a voice is played, so that a packet which is
	// late by less than that leaves no gap: 40 ms.
	startSamples = 2 * FrameSamples
	// concealLimit is how much in a row is made up for a voice that is late: 100 ms.
	concealLimit = 5 * FrameSamples
	// SilentLevel is the level of who says nothing (RFC 6464: dB below overload).
	SilentLevel = -127.0
	// decay is how fast a voice that has fallen silent is forgotten, in dB per frame,
	// so that pauses between words are none: 25 dB per second.
	decay = 0.5
)

// A Voice is one member's audio on its way into a mix.
type Voice struct {
	stream  region.StreamID
	decoder Decoder

	packets       [queueLimit][maxPacket]byte
	sizes         [queueLimit]int
	first, queued int // of packets

	pcm      [maxPacketSamples + FrameSamples]float32
	ready    int // samples in pcm
	waiting  int // samples in packets
	made     int // samples concealed since the last packet
	started  bool
	heard    bool
	level    float64 // dB below overload, with decay
	now, aim Gain    // at the end of the last frame, and to be reached in the next
	place    Gain    // by where it stands
	// Dropped counts packets that were not taken or not played.
	dropped uint64
}

// Put takes a packet, in order, with its level in dB below overload (0 the loudest,
// SilentLevel nothing). The packet is copied. ErrInvalid if it is no Opus packet.
func (v *Voice) Put(packet []byte, level float64) error {
	n := packetSamples(packet)
	if n == 0 || len(packet) > maxPacket {
		v.dropped++
		return fmt.Errorf("mix: packet of %.64q, %d bytes, is not Opus: %w", v.stream, len(packet), region.ErrInvalid)
	}
	v.level = max(v.level, level)
	if v.queued == queueLimit {
		v.drop()
	}
	slot := (v.first + v.queued) % queueLimit
	v.sizes[slot] = copy(v.packets[slot][:], packet)
	v.queued++
	v.waiting += n
	return nil
}

// Place says how the voice is to be heard from the next frame on.
func (v *Voice) Place(g Gain) { v.place = g }

// Dropped returns how many packets were thrown away: malformed, too many, or of a
// voice that was not heard.
func (v *Voice) Dropped() uint64 { return v.dropped }

// drop forgets the oldest packet.
func (v *Voice) drop() {
	v.waiting -= packetSamples(v.next())
	v.first, v.queued = (v.first+1)%queueLimit, v.queued-1
	v.dropped++
}

// next is the oldest packet.
func (v *Voice) next() []byte { return v.packets[v.first][:v.sizes[v.first]] }

// skip lets one frame's time pass for a voice that is not heard.
func (v *Voice) skip() {
	v.ready, v.made = 0, 0
	v.started = false
	for v.queued > 0 && v.waiting > startSamples {
		v.drop()
	}
}

// frame returns the next 20 ms of the voice, nil if there is nothing to be heard.
// They are valid until the next call.
func (v *Voice) frame() []float32 {
	if !v.started {
		if v.waiting < startSamples {
			return nil
		}
		v.started = true
	}
	for v.ready < FrameSamples && v.queued > 0 {
		n, err := v.decoder.Decode(v.next(), v.pcm[v.ready:])
		if err != nil {
			v.drop()
			continue
		}
		v.waiting -= packetSamples(v.next())
		v.first, v.queued = (v.first+1)%queueLimit, v.queued-1
		v.ready += n
		v.made = 0
	}
	if v.ready < FrameSamples {
		if v.made >= concealLimit || v.decoder.Conceal(v.pcm[v.ready:FrameSamples]) != nil {
			v.started, v.ready = false, 0
			return nil
		}
		v.made += FrameSamples - v.ready
		v.ready = FrameSamples
	}
	return v.pcm[:FrameSamples]
}

// consume drops the frame that was returned last.
func (v *Voice) consume() {
	if v.ready > 0 {
		v.ready = copy(v.pcm[:], v.pcm[FrameSamples:v.ready])
	}
}
