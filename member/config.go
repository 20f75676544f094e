package member

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Limits of the SDK. What exceeds one is refused with region.ErrLimit or, where
// a limit bounds a queue, dropped oldest first and counted in Stats.
const (
	// MaxPublications and MaxSubscriptions bound the streams of one Node.
	MaxPublications  = 256
	MaxSubscriptions = 1024
	// MaxEvents is how many events wait for a slow reader of Node.Events.
	MaxEvents = 256
)

// A Network opens the sockets of a Node, so that a test or an emulator can put
// its own underneath. Addresses are ip:port; port 0 means any.
type Network interface {
	ListenPacket(ctx context.Context, addr string) (net.PacketConn, error)
	Listen(ctx context.Context, addr string) (net.Listener, error)
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// A Config says who a member is and where it takes part. Start from
// DefaultConfig and set at least Coordinators and one of Token, Credentials and
// a DataDir that an earlier stay has filled.
type Config struct {
	// Coordinators are gRPC addresses (host:port) to start from, any of the
	// region's group; the others are learnt. Required, at most 64.
	Coordinators []string
	// Token is a join token (skein1....). It is used only if neither
	// Credentials nor DataDir hold a certificate that is still valid.
	Token string
	// Credentials of the member, if the caller keeps them itself.
	Credentials *trust.Credentials
	// Access returns the member's access token, in communities whose applications say
	// what members may do. It goes along with every call to a coordinator, so it should
	// be at hand: a new one well before the last one expires. nil = none.
	Access func(context.Context) (string, error)
	// DataDir keeps key and certificate over restarts, and thereby the
	// MemberID; empty means a new identity for every Join.
	DataDir string

	// Region to live in, or NearestRegion. Default "r1".
	Region region.ID
	// Name is a label for people, at most region.MaxName bytes.
	Name string
	// Uplink is what the member is willing to send, kbit/s: its own streams
	// and what it relays. 0 makes a member that only receives. Default 10 000.
	Uplink region.Rate

	// Media is the ip:port of the UDP socket for links. Default ":0", any port, IPv6
	// and IPv4.
	Media string
	// Gossip is the ip:port of the gossip socket, UDP and TCP. Default
	// "0.0.0.0:0". "none" keeps the member out of the pool: it then learns
	// RTTs only by its own probes and links.
	Gossip string
	// Advertise lists the IP addresses others reach this member at, best
	// first. Default: those of the host's interfaces, or the address listened on.
	Advertise []string

	// Network opens the sockets. Default: the real network.
	Network Network
	// Logger gets what a person who runs the member should know. Default: discard.
	Logger *slog.Logger

	// LookAround is how often a member with the region NearestRegion measures how far
	// the regions are; it is moved to one that was clearly nearer three times in a
	// row. Default 5 min: distances change slowly, and a look costs some 40 probes.
	LookAround time.Duration
	// CallTimeout bounds one attempt to reach a coordinator. Default 5 s: an
	// election takes 1-3 s.
	CallTimeout time.Duration
	// ProbeTimeout bounds the RTT measurement of new candidates before a
	// proposal. Default 400 ms: slower parents are no use for live media.
	ProbeTimeout time.Duration
	// DigestInterval is how often the member tells what it holds. Default 10 s.
	DigestInterval time.Duration
	// LostAfter is how long no coordinator of the region may answer before the
	// member tells those of other regions what it holds, so that the region can be
	// formed anew. Default 5 s: an election takes 1-3 s.
	LostAfter time.Duration
}

// DefaultConfig returns the defaults named above, without Coordinators.
func DefaultConfig() Config {
	return Config{
		Region:         "r1",
		Uplink:         10_000,
		Media:          ":0",
		Gossip:         "0.0.0.0:0",
		Network:        realNetwork{},
		Logger:         slog.New(slog.DiscardHandler),
		CallTimeout:    5 * time.Second,
		ProbeTimeout:   400 * time.Millisecond,
		LookAround:     5 * time.Minute,
		DigestInterval: 10 * time.Second,
		LostAfter:      5 * time.Second,
	}
}

// withDefaults fills what is zero and has a default. Uplink 0 is a choice.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	if c.Region == "" {
		c.Region = d.Region
	}
	if c.Media == "" {
		c.Media = d.Media
	}
	if c.Gossip == "" {
		c.Gossip = d.Gossip
	}
	if c.Network == nil {
		c.Network = d.Network
	}
	if c.Logger == nil {
		c.Logger = d.Logger
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = d.CallTimeout
	}
	if c.LookAround == 0 {
		c.LookAround = d.LookAround
	}
	if c.ProbeTimeout == 0 {
		c.ProbeTimeout = d.ProbeTimeout
	}
	if c.DigestInterval == 0 {
		c.DigestInterval = d.DigestInterval
	}
	if c.LostAfter == 0 {
		c.LostAfter = d.LostAfter
	}
	return c
}

func (c Config) validate() error {
	switch {
	case len(c.Coordinators) == 0:
		return fmt.Errorf("member: Config.Coordinators is empty, name at least one coordinator as host:port: %w", region.ErrInvalid)
	case len(c.Coordinators) > 64:
		return fmt.Errorf("member: %d Coordinators, at most 64: %w", len(c.Coordinators), region.ErrLimit)
	case len(c.Name) > region.MaxName:
		return fmt.Errorf("member: Name has %d bytes, at most %d: %w", len(c.Name), region.MaxName, region.ErrInvalid)
	case c.CallTimeout < 0 || c.LookAround < 0 || c.ProbeTimeout < 0 || c.DigestInterval < 0 || c.LostAfter < 0:
		return fmt.Errorf("member: negative timeout or interval: %w", region.ErrInvalid)
	}
	for _, a := range c.Coordinators {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return fmt.Errorf("member: coordinator address %q is not host:port: %w", a, region.ErrInvalid)
		}
	}
	return nil
}

// realNetwork is the machine's own network.
type realNetwork struct{}

func (realNetwork) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	return new(net.ListenConfig).ListenPacket(ctx, "udp", addr)
}

func (realNetwork) Listen(ctx context.Context, addr string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", addr)
}

func (realNetwork) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}
