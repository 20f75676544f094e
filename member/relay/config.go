package relay

import (
	"fmt"
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
	// Late is how late this process is with its work; default: Transport's.
	Late func() time.Duration
	// OpenGrant checks signature and expiry of a grant, see trust.OpenGrant.
	// Required.
	OpenGrant func(grant []byte) (trust.Grant, error)
	// Uplink is what this member is willing to send, kbit/s. 0 refuses all children.
	Uplink region.Rate
	// Ring is how long packets are kept for those who missed them. Default 2 s:
	// a child that lost its parent, then a standby, still finds what it misses.
	Ring time.Duration
	// Playout is how long a local reader waits for the repair of a gap before it
	// counts a loss; at most Ring. Default 1 s.
	Playout time.Duration
	// Logger gets what a person who runs the member should know. Default: discard.
	Logger *slog.Logger
}

// DefaultConfig returns the defaults named above.
func DefaultConfig() Config {
	return Config{
		Ring:    2 * time.Second,
		Playout: time.Second,
		Logger:  slog.New(slog.DiscardHandler),
	}
}

// withDefaults fills what is zero. Uplink 0 is a choice.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	if c.Ring == 0 {
		c.Ring = d.Ring
	}
	if c.Playout == 0 {
		c.Playout = min(d.Playout, c.Ring)
	}
	if c.Logger == nil {
		c.Logger = d.Logger
	}
	if c.Late == nil && c.Transport != nil {
		c.Late = c.Transport.Late
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Self == "":
		return fmt.Errorf("relay: Config.Self is empty: %w", region.ErrInvalid)
	case c.Transport == nil || c.OpenGrant == nil:
		return fmt.Errorf("relay: Config lacks Transport or OpenGrant: %w", region.ErrInvalid)
	case c.Ring < 0 || c.Playout < 0 || c.Playout > c.Ring:
		return fmt.Errorf("relay: Config wants 0 <= Playout <= Ring: %w", region.ErrInvalid)
	}
	return nil
}
