package link

import (
	"context"
	"crypto/ecdh"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/skein-mesh/skein/region"
)

// Limits. Whatever a peer can cause is bounded by one of them.
const (
	// MaxPacket is the largest RTP packet a link carries, in bytes, as the
	// origin's application wrote it.
	MaxPacket = 1300
	// MaxLinks bounds Config.MaxLinks.
	MaxLinks = 4096
)

// A Network opens the transport's socket.
type Network interface {
	ListenPacket(ctx context.Context, addr string) (net.PacketConn, error)
}

// A Config says who a transport speaks for and how patient it is. Start from
// DefaultConfig and set ID and Certificate.
type Config struct {
	// ID of the member, and the node certificate (Ed25519) that proves it.
	// Required.
	ID          region.MemberID
	Certificate tls.Certificate
	// Key is the stay's X25519 key, of which the credentials of all links are
	// derived. Default: a new one.
	Key *ecdh.PrivateKey
	// Listen is the ip:port of the socket. Default ":0", any port, IPv6 and IPv4.
	Listen string
	// Advertise lists the IP addresses others reach this member at, best first.
	// Default: the address listened on, or those of the host's interfaces.
	Advertise []netip.Addr
	// Network opens the socket. Default: the real network.
	Network Network
	// Logger gets what a person who runs the member should know. Default: discard.
	Logger *slog.Logger

	// Heartbeat is how long a link that feeds the other end may say nothing.
	// Default 45 ms: video at 25 frames per second needs none.
	Heartbeat time.Duration
	// Silence is how long a link that feeds this end may say nothing before it
	// counts as silent. It grows with the link's jitter up to MaxSilence.
	// Default 100 ms (a viewer notices a gap above 180 ms), at most 200 ms.
	// A process that does not get its processor in time adds its own lateness.
	Silence, MaxSilence time.Duration
	// Idle is the interval of pings on links that carry nothing. Default 2 s;
	// such a link is silent after three of them.
	Idle time.Duration
	// GiveUp is for how long the peer may say nothing before the link is built
	// anew. Default 4 s; once it is silent it has another second at least.
	GiveUp time.Duration
	// Setup bounds one attempt to build a link. Default 5 s.
	Setup time.Duration
	// MaxLinks bounds the peers that are expected at the same time. Default 1024.
	MaxLinks int
	// ProbeRate is how many anonymous probes (STUN requests) are answered per
	// second. Default 500.
	ProbeRate int
}

// DefaultConfig returns the defaults named above, without ID and Certificate.
func DefaultConfig() Config {
	return Config{
		Listen:     ":0",
		Network:    realNetwork{},
		Logger:     slog.New(slog.DiscardHandler),
		Heartbeat:  45 * time.Millisecond,
		Silence:    100 * time.Millisecond,
		MaxSilence: 200 * time.Millisecond,
		Idle:       2 * time.Second,
		GiveUp:     4 * time.Second,
		Setup:      5 * time.Second,
		MaxLinks:   1024,
		ProbeRate:  500,
	}
}

// withDefaults fills what is zero.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	if c.Listen == "" {
		c.Listen = d.Listen
	}
	if c.Network == nil {
		c.Network = d.Network
	}
	if c.Logger == nil {
		c.Logger = d.Logger
	}
	for _, f := range []struct {
		set *time.Duration
		def time.Duration
	}{
		{&c.Heartbeat, d.Heartbeat}, {&c.Silence, d.Silence}, {&c.MaxSilence, d.MaxSilence},
		{&c.Idle, d.Idle}, {&c.GiveUp, d.GiveUp}, {&c.Setup, d.Setup},
	} {
		if *f.set == 0 {
			*f.set = f.def
		}
	}
	if c.MaxLinks == 0 {
		c.MaxLinks = d.MaxLinks
	}
	if c.ProbeRate == 0 {
		c.ProbeRate = d.ProbeRate
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.ID == "":
		return fmt.Errorf("link: Config.ID is empty: %w", region.ErrInvalid)
	case len(c.Certificate.Certificate) == 0 || c.Certificate.PrivateKey == nil:
		return fmt.Errorf("link: Config.Certificate lacks a chain or a key: %w", region.ErrInvalid)
	case c.MaxLinks < 0 || c.MaxLinks > MaxLinks:
		return fmt.Errorf("link: Config.MaxLinks %d, at most %d: %w", c.MaxLinks, MaxLinks, region.ErrLimit)
	case c.Heartbeat < 0 || c.Silence < 2*c.Heartbeat || c.MaxSilence < c.Silence || c.GiveUp < c.MaxSilence:
		return fmt.Errorf("link: Config wants 2*Heartbeat <= Silence <= MaxSilence <= GiveUp: %w", region.ErrInvalid)
	case c.Idle < 0 || c.Setup < 0 || c.ProbeRate < 0:
		return fmt.Errorf("link: negative Idle, Setup or ProbeRate: %w", region.ErrInvalid)
	}
	return nil
}

// realNetwork is the machine's own network.
type realNetwork struct{}

func (realNetwork) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	return new(net.ListenConfig).ListenPacket(ctx, "udp", addr)
}
