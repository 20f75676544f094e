package door

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// Limits. What exceeds one is answered with a 4xx or 503, never queued.
const (
	// maxBody bounds the SDP of a request, in bytes.
	maxBody = 64 << 10
	// maxCandidates bounds the ICE candidates of one request.
	maxCandidates = 64
	// postRate bounds the sessions begun per second at a door, patchRate the
	// changes to one session.
	postRate, postBurst   = 20, 40
	patchRate, patchBurst = 10, 40
	// offersShare: of the sessions one in so many may be offers of the door's that nobody
	// has answered yet, for clients that know nothing of such ask again and again.
	offersShare = 8
	// connectTimeout is how long a client may take from the answer to DTLS.
	connectTimeout = 30 * time.Second
	// negotiationTimeout bounds what a request waits for: the mesh and ICE.
	negotiationTimeout = 10 * time.Second
)

var (
	errMalformed     = errors.New("malformed")
	errUnprocessable = errors.New("not done here")
	errFull          = errors.New("the door is full")
	errUnanswered    = fmt.Errorf("%w: the offer of this session waits for its answer first", errUnprocessable)
	errNothing       = errors.New("nothing is published under this name")
)

// ErrForbidden: the token does not allow what is asked for. Config.Authorize
// returns it.
var ErrForbidden = errors.New("the token does not allow this")

// An Action is what a client wants to do with a name.
type Action string

// The actions.
const (
	Publish Action = "publish"
	Watch   Action = "watch"
)

// A Config says what a door opens to. Start from DefaultConfig and set Node.
type Config struct {
	// Node is the member whose door this is. Required; the door does not close it.
	Node *member.Node
	// Media is the ip:port of the one UDP socket for all clients. Default ":0", any
	// port, IPv6 and IPv4.
	Media string
	// Advertise lists the IP addresses clients reach Media at, if they are not
	// those of the interfaces.
	Advertise []netip.Addr
	// ICEServers returns the servers that clients are told of. Default: those of
	// the coordinators, as Node knows them.
	ICEServers func() []member.ICEServer
	// Authorize judges the bearer token of a request, "" if there is none. It
	// returns nil, or ErrForbidden with the reason. Default: everybody may do
	// everything.
	Authorize func(token string, action Action, name string) error
	// Crowd is everybody in a space whom the page at /door/plaza.html draws besides
	// those around a walker, as JSON; nil or a nil answer: nobody else is known. It is
	// called by any goroutine.
	Crowd func() any
	// VideoRate and AudioRate are promised to the mesh for what comes in, and
	// told to the publisher as its limit, kbit/s. A publisher may ask for others
	// with ?video=KBPS&audio=KBPS. Default 2500 and 96.
	VideoRate, AudioRate region.Rate
	// MaxRate bounds what a publisher may ask for, kbit/s. Default 20 000.
	MaxRate region.Rate
	// MaxSessions bounds the clients at the same time. Default 256: a viewer costs
	// about half a megabyte and as much CPU as ten children of a relay.
	MaxSessions int
	// Logger gets what a person who runs the member should know. Default: discard.
	Logger *slog.Logger
}

// DefaultConfig returns the defaults named above, without Node.
func DefaultConfig() Config {
	return Config{
		Media:       ":0",
		Authorize:   func(string, Action, string) error { return nil },
		VideoRate:   2500,
		AudioRate:   96,
		MaxRate:     20_000,
		MaxSessions: 256,
		Logger:      slog.New(slog.DiscardHandler),
	}
}

// withDefaults fills what is zero.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	if c.Media == "" {
		c.Media = d.Media
	}
	if c.ICEServers == nil && c.Node != nil {
		c.ICEServers = c.Node.ICEServers
	}
	if c.Authorize == nil {
		c.Authorize = d.Authorize
	}
	if c.VideoRate == 0 {
		c.VideoRate = d.VideoRate
	}
	if c.AudioRate == 0 {
		c.AudioRate = d.AudioRate
	}
	if c.MaxRate == 0 {
		c.MaxRate = d.MaxRate
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = d.MaxSessions
	}
	if c.Logger == nil {
		c.Logger = d.Logger
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Node == nil:
		return fmt.Errorf("door: Config.Node is nil: %w", region.ErrInvalid)
	case c.MaxSessions < 0:
		return fmt.Errorf("door: Config.MaxSessions is %d: %w", c.MaxSessions, region.ErrInvalid)
	case c.VideoRate > c.MaxRate || c.AudioRate > c.MaxRate:
		return fmt.Errorf("door: Config wants VideoRate and AudioRate up to MaxRate: %w", region.ErrInvalid)
	}
	return nil
}

// Tokens returns an Authorize that knows one token for publishing and one for
// watching. Who may publish may watch; an empty watch token lets everybody watch,
// an empty publish token lets nobody publish.
func Tokens(publish, watch string) func(string, Action, string) error {
	return func(token string, action Action, _ string) error {
		switch {
		case publish != "" && same(token, publish):
		case action == Watch && (watch == "" || same(token, watch)):
		default:
			return ErrForbidden
		}
		return nil
	}
}
