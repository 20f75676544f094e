package member

import (
	"context"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/region"
)

// A Stream is what a member publishes.
type Stream struct {
	// Name of the stream, unique in the region.
	Name region.StreamID
	Kind region.Kind
	// Layers holds the rate of each layer, kbit/s; audio and data have one.
	Layers []region.Rate
	// Codec is the RTP encoding name, e.g. "VP8" or "opus".
	Codec string
}

// A Publication is a stream this node publishes. Its methods may be called
// from any goroutine.
type Publication struct{}

// Stream returns the record the coordinators hold.
func (p *Publication) Stream() region.Stream { panic("todo") }

// WriteRTP sends a packet of layer 0. The SSRC is set to the stream's; the rest
// of the packet reaches every subscriber as it is. It does not block and does
// not keep packet.
func (p *Publication) WriteRTP(packet *rtp.Packet) error { panic("todo") }

// WriteLayer is WriteRTP for one layer of a stream that has several.
func (p *Publication) WriteLayer(layer int, packet *rtp.Packet) error { panic("todo") }

// Write sends one RTP packet given as bytes; see WriteRTP.
func (p *Publication) Write(raw []byte) (int, error) { panic("todo") }

// Send sends one message of a data stream, at most MaxMessage bytes.
func (p *Publication) Send(message []byte) error { panic("todo") }

// Keyframes signals, at most once at a time, that a subscriber needs a keyframe.
func (p *Publication) Keyframes() <-chan struct{} { panic("todo") }

// Close ends the stream for everybody.
func (p *Publication) Close() error { panic("todo") }

// A Subscription receives a stream. Its methods may be called from any
// goroutine, each packet goes to one reader.
type Subscription struct{}

// Stream returns the record the coordinators hold.
func (s *Subscription) Stream() region.Stream { panic("todo") }

// ReadRTP waits for the next packet: in order, each once, with the publisher's
// SSRC, sequence number and timestamp. A packet lost for good is left out. It
// returns io.EOF once the stream has ended or the Subscription is closed.
func (s *Subscription) ReadRTP(ctx context.Context) (*rtp.Packet, error) { panic("todo") }

// ReadMessage is ReadRTP for data streams: it returns what was given to Send.
func (s *Subscription) ReadMessage(ctx context.Context) ([]byte, error) { panic("todo") }

// RequestKeyframe asks the publisher for a keyframe; requests are merged on
// their way.
func (s *Subscription) RequestKeyframe() { panic("todo") }

// Stats says how the stream arrives.
func (s *Subscription) Stats() StreamStats { panic("todo") }

// Close gives up the stream.
func (s *Subscription) Close() error { panic("todo") }
