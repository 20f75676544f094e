package media

import (
	"encoding/binary"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A Shape is how a test pattern is sent: as what people send, video of so many frames a
// second with a burst of packets each, and audio of so many packets a second.
type Shape struct{ FPS, Packets, PPS int }

// Shapes of a large picture, 1.1 Mbit/s with its sound, and of a small one among others,
// 0.3 Mbit/s.
var (
	Large = Shape{FPS: 30, Packets: 4, PPS: 50}
	Small = Shape{FPS: 15, Packets: 2, PPS: 25}
)

const (
	patternVideoSize = 1000 // bytes of payload
	patternKeyframe  = 60   // frames from one keyframe to the next
	patternAudioSize = 160

	// PatternCodec is the codec of a pattern; no decoder knows it.
	PatternCodec = "pattern"
)

// patternMagic begins every payload of a pattern, after a byte of flags.
const patternMagic = "skein"

// A Mark is what a packet of a pattern says of itself.
type Mark struct {
	// Counter numbers the packets of the stream from 0 without gaps.
	Counter uint64
	// Made is when the packet was stamped, by the publisher's clock.
	Made time.Time
	// Key is set in the packets of keyframes.
	Key bool
}

const (
	markLen = 1 + len(patternMagic) + 8 + 8
	keyFlag = 1
)

// ParseMark reads the mark of a pattern's payload; ok is false if it is none.
func ParseMark(payload []byte) (m Mark, ok bool) {
	if len(payload) < markLen || string(payload[1:1+len(patternMagic)]) != patternMagic {
		return Mark{}, false
	}
	rest := payload[1+len(patternMagic):]
	return Mark{
		Counter: binary.BigEndian.Uint64(rest),
		Made:    time.Unix(0, int64(binary.BigEndian.Uint64(rest[8:]))),
		Key:     payload[0]&keyFlag != 0,
	}, true
}

// payload is that of an unstamped packet.
func (m Mark) payload(size int) []byte {
	b := make([]byte, markLen, size)
	if m.Key {
		b[0] = keyFlag
	}
	n := copy(b[1:], patternMagic)
	binary.BigEndian.PutUint64(b[1+n:], m.Counter)
	return b[:size]
}

// A Pattern is a Source without end. Its packets carry no time until they are
// stamped, which is for whoever sends them, see Stamp.
type Pattern struct {
	kind    region.Kind
	size    int // bytes of payload per packet
	packets int // per frame
	fps     int // frames per second
	frame   uint64
	counter uint64
}

// NewPattern returns the test pattern for video or audio.
func NewPattern(kind region.Kind, shape Shape) *Pattern {
	if kind == region.Audio {
		return &Pattern{kind: kind, size: patternAudioSize, packets: 1, fps: shape.PPS}
	}
	return NewPatternLayers(1, shape)[0]
}

// NewPatternLayers returns the layers of a test pattern of video, the lowest first. Packets
// of the same number are of the same frame in all of them; each has about a quarter of the
// next one's rate.
func NewPatternLayers(n int, shape Shape) []*Pattern {
	layers := make([]*Pattern, n)
	size := patternVideoSize
	for i := n - 1; i >= 0; i-- {
		layers[i] = &Pattern{kind: region.Video, size: max(size, markLen), packets: shape.Packets, fps: shape.FPS}
		size /= 4
	}
	return layers
}

// patternOverhead is what a packet of a pattern has besides its payload, in bytes: the
// headers of RTP and SRTP.
const patternOverhead = 42

// Track describes the pattern.
func (p *Pattern) Track() Track {
	if p.kind == region.Audio {
		return Track{Kind: region.Audio, Codec: PatternCodec, ClockRate: opusClockRate, Rate: p.rate()}
	}
	return Track{Kind: region.Video, Codec: PatternCodec, ClockRate: videoClockRate, Rate: p.rate()}
}

func (p *Pattern) rate() region.Rate {
	return region.Rate(p.fps * p.packets * (p.size + patternOverhead) * 8 / 1000)
}

// Next makes the next frame; it never fails.
func (p *Pattern) Next() (Frame, error) {
	fps, rate := uint64(p.fps), uint64(videoClockRate)
	if p.kind == region.Audio {
		rate = opusClockRate
	}
	at := clock(p.frame, fps)
	payloads := make([][]byte, p.packets)
	first := p.counter
	for i := range payloads {
		key := p.kind != region.Audio && p.frame%patternKeyframe == 0
		payloads[i] = Mark{Counter: p.counter, Key: key}.payload(p.size)
		p.counter++
	}
	f := Frame{At: at, Packets: numbered(payloads, uint16(first), uint32(p.frame*rate/fps), p.kind != region.Audio)}
	p.frame++
	return f, nil
}

// Stamp writes the time at which a packet of a pattern is sent into it.
func Stamp(payload []byte, now time.Time) {
	binary.BigEndian.PutUint64(payload[1+len(patternMagic)+8:], uint64(now.UnixNano()))
}
