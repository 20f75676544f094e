package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// A Config says what a coordinator hosts and how. Start from DefaultConfig.
type Config struct {
	// Name is a label for people, at most region.MaxName bytes.
	Name string
	// DataDir holds one folder per region group. It must be durable: a replica
	// that forgets what it voted for breaks its group.
	DataDir string
	// Credentials are the coordinator's own certificate and key; its id names
	// the replica in every group.
	Credentials *trust.Credentials
	// CredentialsDir is where a renewed certificate is kept; empty = in memory
	// only.
	CredentialsDir string
	// Authority enrols members and makes tokens; nil if this coordinator does
	// not hold the cluster's CA key.
	Authority *trust.Authority
	// Groups are the region groups of which this coordinator holds a replica;
	// at most MaxGroups, and none for one that waits to be needed (see Server.Host).
	Groups []Group
	// Seeds are coordinators to meet first, besides the peers in Groups.
	Seeds []Peer
	// GRPC and Raft are the addresses to listen on, as ip:port.
	GRPC, Raft string
	// TURN is the UDP address, ip:port, at which STUN and TURN are served to members
	// and browsers behind NATs; empty = they are not. All coordinators of a region
	// use the same port. TURNPrivate lets it relay to private and loopback addresses.
	TURN        string
	TURNPrivate bool
	// Advertise holds the addresses others use, as ip:port; empty = those that
	// the first of Groups gives this coordinator. Its ID is not looked at.
	Advertise Peer
	// RaftMultiplier stretches all of Raft's timeouts, 1 (LAN) to 10.
	RaftMultiplier int
	// MaxMembers bounds each region, 1 to region.MaxMembers.
	MaxMembers int
	// LeaseTTL is how long a member's lease lasts without a word from it.
	LeaseTTL time.Duration
	// LeaseGrace is added once after a change of leader, in which sessions
	// find the new one.
	LeaseGrace time.Duration
	// OutageHold is for how long no stay ends by time alone while more than half
	// of the members are silent: then the network between them and the
	// coordinators is at fault, and they go on by themselves.
	OutageHold time.Duration
	// ReformAfter is how long more than half of a region's members must have found
	// none of its coordinators, nor this one most of them, before the region is
	// formed anew here; 0 = only when an operator asks for it. It is longer than an
	// election, and shorter than people wait; nothing is lost if the coordinators
	// come back later.
	ReformAfter time.Duration
	// Reservation is how long an admitted edge may stay unconfirmed.
	Reservation time.Duration
	// GrantTTL is how long a grant is valid; it is renewed after half of it.
	GrantTTL time.Duration
	// BatchDelay and BatchSize bound how long requests are gathered for one
	// log entry, and how many.
	BatchDelay time.Duration
	BatchSize  int
	// QueueSize bounds the requests that wait for the decider of a group; the
	// outcome beyond it is RESOURCE_EXHAUSTED.
	QueueSize int
	// CallsPerSecond and CallBurst bound what one peer may ask.
	CallsPerSecond float64
	CallBurst      int
	// EventHistory is how many changes can be watched in retrospect.
	EventHistory int
	// Disk carries out a write to the log of a region by calling write, once or
	// not at all, and returns its error or one of its own; nil = at once. Like
	// Network it is a seam: for disks that are slow, full or failing.
	Disk func(r region.ID, write func() error) error
	// Healing says when groups that this coordinator leads get other replicas.
	Healing Healing
	// Site and Operator are where this coordinator stands and who runs it, at most
	// region.MaxName bytes; replicas are spread over them. Empty = unknown.
	Site, Operator string
	// Volunteer says that this coordinator runs beside a member (package volunteer): it
	// hosts at most MaxVolunteered groups, and gives its replicas back when a
	// coordinator that does nothing else can have them.
	Volunteer bool
	// MayDraw names the streams that a member may draw, at most 8: by name, or by the
	// beginning of names and a star. nil = all may draw everything.
	MayDraw func(region.MemberID) []region.StreamID
	// Access are the keys of the applications that say what members may do: without an
	// access token that one of them has signed, a member may do nothing. All coordinators
	// of a community have the same. nil = all may do everything. It takes the place of
	// MayDraw.
	Access trust.AccessKeys
	// Reorganise says when trees that work are changed.
	Reorganise Reorganisation
	// Boundary says when regions are divided and merged.
	Boundary Boundary
	// Failpoint is called at the named steps of a division and a merger, see
	// Failpoints; nil = nothing. It is a seam: for coordinators that die there.
	Failpoint func(name string)
	// Now is the clock by which entries, leases and grants are dated; nil = time.Now.
	// It is a seam: for coordinators whose clocks disagree.
	Now func() time.Time
	// Network opens the sockets; nil = the real network.
	Network Network
	// Logger receives what operators act upon; nil = nothing.
	Logger *slog.Logger
}

// A Group is a region group of which the coordinator holds a replica.
type Group struct {
	Region region.ID
	// Child says that the region was split off: its group begins with what the
	// parent's log says, and never with nothing. Set by the coordinators.
	Child bool `json:",omitempty"`
	// Peers are the group's first replicas, this coordinator among them. The
	// list must be identical on all of them; it is used when the group starts
	// for the first time.
	Peers []Peer
}

// A Peer is a replica of a group.
type Peer struct {
	ID region.MemberID
	// Raft and GRPC are advertised addresses, as ip:port.
	Raft, GRPC string
}

// A Network opens sockets. It is the seam under which latency and virtual
// networks are put.
type Network interface {
	ListenPacket(ctx context.Context, address string) (net.PacketConn, error)
	Listen(ctx context.Context, address string) (net.Listener, error)
	Dial(ctx context.Context, address string) (net.Conn, error)
}

// MaxGroups bounds the groups of one coordinator.
const MaxGroups = 64

// MaxVolunteered bounds the groups of a volunteer: its member comes first.
const MaxVolunteered = 4

// maxGroups is how many groups it hosts at most.
func (c *Config) maxGroups() int {
	if c.Volunteer {
		return MaxVolunteered
	}
	return MaxGroups
}

// DefaultConfig returns the settings that suit one coordinator on a LAN.
// Credentials, DataDir and Groups are for the caller to set.
func DefaultConfig() Config {
	return Config{
		GRPC:           "0.0.0.0:7400",
		Raft:           "0.0.0.0:7401",
		RaftMultiplier: 1,
		MaxMembers:     region.DefaultMembers,
		LeaseTTL:       10 * time.Second,
		LeaseGrace:     10 * time.Second,
		OutageHold:     10 * time.Minute,
		ReformAfter:    15 * time.Second,
		Reservation:    10 * time.Second,
		GrantTTL:       time.Hour,
		BatchDelay:     5 * time.Millisecond,
		BatchSize:      256,
		QueueSize:      4096,
		CallsPerSecond: 50,
		CallBurst:      200,
		EventHistory:   1024,
		Healing:        DefaultHealing(),
		Reorganise:     DefaultReorganisation(),
		Boundary:       DefaultBoundary(),
	}
}

func (c *Config) validate() error {
	switch {
	case c.DataDir == "":
		return fmt.Errorf("config DataDir: %w: a coordinator needs a durable folder (--data)", region.ErrInvalid)
	case c.Credentials == nil:
		return fmt.Errorf("config Credentials: %w: a coordinator needs a certificate of its cluster", region.ErrInvalid)
	case c.Credentials.Role() != trust.RoleCoordinator:
		return fmt.Errorf("config Credentials: %w: the certificate is that of a %s, a coordinator needs one of its own (--credentials)", trust.ErrPeer, c.Credentials.Role())
	case c.Authority != nil && c.Authority.Hash() != c.Credentials.CAHash():
		return fmt.Errorf("config Authority: %w: it is the CA of cluster %s, the certificate belongs to cluster %s (--authority, --credentials)", trust.ErrPeer, c.Authority.Hash(), c.Credentials.CAHash())
	case !time.Now().Before(c.Credentials.Expires()) && c.Authority == nil:
		return fmt.Errorf("config Credentials: %w: the certificate ended %s: start the coordinator once with --authority, which renews it", trust.ErrPeer, c.Credentials.Expires().Format(time.RFC3339))
	case len(c.Name) > region.MaxName || len(c.Site) > region.MaxName || len(c.Operator) > region.MaxName:
		return fmt.Errorf("config Name, Site, Operator: %w: longer than %d bytes", region.ErrInvalid, region.MaxName)
	case c.Access != nil && c.MayDraw != nil:
		return fmt.Errorf("config Access: %w: it says what members may draw, so MayDraw must be nil", region.ErrInvalid)
	case len(c.Groups) > MaxGroups:
		return fmt.Errorf("config Groups: %w: %d, more than %d", region.ErrInvalid, len(c.Groups), MaxGroups)
	case len(c.Groups) == 0 && (c.Advertise.Raft == "" || c.Advertise.GRPC == ""):
		return fmt.Errorf("config Groups: %w: without groups the addresses in Advertise must be set", region.ErrInvalid)
	case c.RaftMultiplier < 1 || c.RaftMultiplier > 10:
		return fmt.Errorf("config RaftMultiplier: %w: %d, not 1 to 10 (--raft-multiplier)", region.ErrInvalid, c.RaftMultiplier)
	case c.MaxMembers < 1 || c.MaxMembers > region.MaxMembers:
		return fmt.Errorf("config MaxMembers: %w: %d, not 1 to %d", region.ErrInvalid, c.MaxMembers, region.MaxMembers)
	case c.LeaseTTL < time.Second:
		return fmt.Errorf("config LeaseTTL: %w: %v, less than 1 s", region.ErrInvalid, c.LeaseTTL)
	case c.LeaseGrace < 0 || c.OutageHold < 0 || c.BatchDelay < 0 || c.ReformAfter < 0:
		return fmt.Errorf("config LeaseGrace, OutageHold, BatchDelay and ReformAfter: %w: negative", region.ErrInvalid)
	case c.Reservation <= 0 || c.GrantTTL <= 0 || c.BatchSize <= 0 || c.QueueSize <= 0 ||
		c.CallsPerSecond <= 0 || c.CallBurst <= 0 || c.EventHistory <= 0:
		return fmt.Errorf("config: %w: a limit is not positive; start from DefaultConfig", region.ErrInvalid)
	}
	if err := errors.Join(c.Reorganise.validate(), c.Healing.validate()); err != nil {
		return err
	}
	if err := c.Boundary.validate(); err != nil {
		return err
	}
	return c.validateGroups()
}

func (c *Config) validateGroups() error {
	seen := map[region.ID]bool{}
	for _, g := range c.Groups {
		if g.Region == "" || seen[g.Region] {
			return fmt.Errorf("config Groups: %w: region %q is empty or named twice", region.ErrInvalid, g.Region)
		}
		seen[g.Region] = true
		if err := c.validateGroup(g); err != nil {
			return fmt.Errorf("config Groups: %w", err)
		}
	}
	return nil
}

func (c *Config) validateGroup(g Group) error {
	if c.self(g).ID == "" {
		return fmt.Errorf("%w: this coordinator (%s) is not among the replicas of %s (--peers)",
			region.ErrInvalid, c.Credentials.ID(), g.Region)
	}
	return nil
}

// advertised is how others reach this coordinator.
func (c *Config) advertised() Peer {
	p := Peer{ID: c.Credentials.ID(), Raft: c.Advertise.Raft, GRPC: c.Advertise.GRPC}
	for _, g := range c.Groups {
		self := c.self(g)
		p.Raft, p.GRPC = cmp.Or(p.Raft, self.Raft), cmp.Or(p.GRPC, self.GRPC)
	}
	return p
}

// self is this coordinator's entry among the replicas of a group; zero if there
// is none.
func (c *Config) self(g Group) Peer {
	for _, p := range g.Peers {
		if p.ID == c.Credentials.ID() {
			return p
		}
	}
	return Peer{}
}

// SystemNetwork is the operating system's network, and the default.
type SystemNetwork struct{}

func (SystemNetwork) ListenPacket(ctx context.Context, address string) (net.PacketConn, error) {
	var l net.ListenConfig
	return l.ListenPacket(ctx, "udp", address)
}

func (SystemNetwork) Listen(ctx context.Context, address string) (net.Listener, error) {
	var l net.ListenConfig
	return l.Listen(ctx, "tcp", address)
}

func (SystemNetwork) Dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}
