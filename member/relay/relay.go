package relay

import (
	"log/slog"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// A Config says on which transport a relay works, and within which bounds.
// Start from DefaultConfig and set Self, Transport and OpenGrant.
type Config struct {
	// Self is this member. Required.
	Self region.MemberID
	// Transport carries the links. Required; the relay becomes its only user
	// for media, and does not close it.
	Transport *link.Transport
	// OpenGrant checks signature and expiry of a grant, see trust.OpenGrant.
	// Required.
	OpenGrant func(grant []byte) (trust.Grant, error)
	// Uplink is what this member is willing to send, kbit/s. 0 refuses all children.
	Uplink region.Rate
	// Ring is how long packets are kept for those who missed them. Default 1 s.
	Ring time.Duration
	// Playout is how long a local reader waits for the repair of a gap before it
	// counts a loss. Default 700 ms.
	Playout time.Duration
	// Logger gets what a person who runs the member should know. Default: discard.
	Logger *slog.Logger
}

// DefaultConfig returns the defaults named above.
func DefaultConfig() Config {
	return Config{
		Ring:    time.Second,
		Playout: 700 * time.Millisecond,
		Logger:  slog.New(slog.DiscardHandler),
	}
}

// An Upstream is somebody to draw from, with the grant that entitles to it.
type Upstream struct {
	Peer  link.Peer
	Grant []byte
}

// An Assignment is what this member is to do for one stream. It is state, not an
// event: a later revision replaces an earlier one, and repeating it is harmless.
type Assignment struct {
	Stream   region.Stream
	Revision region.Revision
	// Layers to draw.
	Layers region.LayerMask
	// Parent has an empty Peer.ID for the origin.
	Parent Upstream
	// Standbys in the order in which they are to be tried.
	Standbys []Upstream
	// Children will draw from this member; Dependents have it as a standby. Both
	// are expected on the transport.
	Children, Dependents []link.Peer
}

// A Relay forwards the streams of one member. All methods may be called by any
// goroutine, and none waits for a peer.
type Relay struct{}

// New starts a relay. Close it before its transport.
func New(cfg Config) (*Relay, error) { panic("unfinished") }

// Assign sets what to do for a stream. It reports region.ErrInvalid or
// region.ErrLimit; an older revision than the one held is ignored.
func (r *Relay) Assign(a Assignment) error { panic("unfinished") }

// Unassign ends the member's place in the tree of a stream: it is not drawn any
// more, children are cut. Sinks stay open and wait for another assignment.
func (r *Relay) Unassign(id region.StreamID) { panic("unfinished") }

// Expect keeps a link to p ready although no assignment names it (yet), until
// an assignment did and is over, at least for 30 s.
func (r *Relay) Expect(p link.Peer) error { panic("unfinished") }

// SetUplink changes what this member is willing to send. It cuts no child.
func (r *Relay) SetUplink(uplink region.Rate) { panic("unfinished") }

// Leave makes the relay refuse new children from now on.
func (r *Relay) Leave() { panic("unfinished") }

// Publish opens a stream whose origin is this member.
func (r *Relay) Publish(s region.Stream) (*Source, error) { panic("unfinished") }

// Subscribe opens a reader of a stream. It delivers from the first packet that
// arrives after both the subscription and an assignment.
func (r *Relay) Subscribe(id region.StreamID) (*Sink, error) { panic("unfinished") }

// Events delivers what the session has to know. At most 1024 wait for the
// reader; beyond that the oldest are dropped and counted in Stats.
func (r *Relay) Events() <-chan Event { panic("unfinished") }

// Stats is a snapshot of all streams by ID.
func (r *Relay) Stats() Stats { panic("unfinished") }

// Close ends all streams, tells parents and children, and waits for what the
// relay started.
func (r *Relay) Close() error { panic("unfinished") }
