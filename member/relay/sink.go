package relay

import (
	"context"
	"time"

	"github.com/pion/rtp"
)

// MaxMessage bounds a message of a data stream, in bytes.
const MaxMessage = 64 << 10

// A Packet is what a Sink delivers: the origin's packet as its application
// wrote it, but for the SSRC. The receiver owns it.
type Packet struct {
	rtp.Packet
	Layer int
	// Index is the sequence number extended over wraps: consecutive packets of
	// a layer have consecutive indexes.
	Index uint64
	// Captured is by the origin's clock.
	Captured time.Time
}

// A Sink reads one stream in order and without duplicates. It is for one
// goroutine at a time; Close may be called by any.
type Sink struct{}

// ReadRTP returns the next packet. It waits for a missing one up to
// Config.Playout, then counts it as lost and goes on. It reports net.ErrClosed
// after Close, or the error of ctx.
func (s *Sink) ReadRTP(ctx context.Context) (*Packet, error) { panic("unfinished") }

// ReadMessage returns the next whole message of a data stream.
func (s *Sink) ReadMessage(ctx context.Context) ([]byte, error) { panic("unfinished") }

// RequestKeyframe asks the origin for a keyframe of a layer.
func (s *Sink) RequestKeyframe(layer int) { panic("unfinished") }

// Report returns the latest RTCP sender report of a layer's origin, nil if none came.
func (s *Sink) Report(layer int) []byte { panic("unfinished") }

// Close ends the reading; a ReadRTP that waits returns.
func (s *Sink) Close() error { panic("unfinished") }
