package group

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein/region"
)

// Limits of the log.
const (
	// EntryVersion is the only version of the log format this code knows.
	EntryVersion = 1
	// MaxEntry bounds a marshalled entry in bytes: bigger ones hold up the
	// serial stream to the followers.
	MaxEntry = 512 << 10
	// MaxAnswers is how many answers are kept per member.
	MaxAnswers = 32
	// MaxTokens is how many use-limited tokens are remembered at a time.
	MaxTokens = 65536
	// MaxChildren is how many regions that were split off a region remembers, so
	// that a replica that was away learns of them.
	MaxChildren = 4
	// MaxVerdicts is how many regions that asked to be merged into this one are
	// remembered. They ask again until they have heard; a minute suffices.
	MaxVerdicts = 16
	// MaxReplicas of one group, voters and others.
	MaxReplicas = 9
)

// A Peer is a replica of a group.
type Peer struct {
	// Node is the replica's node ID, which its certificate bears.
	Node region.MemberID
	// Address of its Raft listener, host:port. It may change later, see
	// Config.Resolve.
	Address string
}

// A Config says how to run a replica. Start from DefaultConfig.
type Config struct {
	// Region whose group this is. It names the data folder, so it is made of
	// a-z, 0-9 and "-", at most 64 bytes.
	Region region.ID
	// MaxMembers of the region when it is born (1 to region.MaxMembers).
	// Replicas of one group must agree; a snapshot overrides it.
	MaxMembers int
	// Node is the ID of this replica.
	Node region.MemberID
	// Dir is the folder for all groups of this process; data goes to Dir/Region.
	Dir string
	// Listener that carries the group's connections. It must outlive the Group.
	Listener *Listener
	// Voters are the first voters, this node among them, alike on every one of
	// them: each bootstraps itself and none waits for another. Empty for a
	// replica that is added to a group that exists (AddReplica at its leader).
	// Without meaning once the folder holds data. A node that lost its folder
	// must not come back under the same ID: it has forgotten what it voted.
	Voters []Peer
	// Genesis is what a group begins with that was split off another one: the same
	// on all of Voters, see State.Children; nil for one that begins with nothing.
	// Without meaning once the folder holds data.
	Genesis *State
	// Resolve tells the present Raft address of a node; may be nil. What it does
	// not know is taken from the group's configuration. It must not block.
	Resolve func(region.MemberID) (address string, ok bool)
	// Vouched says that a node which the configuration of this replica lacks is a replica
	// by now, as the group itself has told the world; may be nil. A replica that is given
	// an old snapshot knows no younger leader otherwise. It must not block.
	Vouched func(region.MemberID) bool
	// RaftMultiplier scales all timeouts, 1 to 10. 1 suits one site (500 ms
	// without a leader start an election), 3 the Internet.
	RaftMultiplier int
	// CommitTimeout is how long a follower may lag behind an idle leader's last
	// commit; the price of a small one is idle traffic.
	CommitTimeout time.Duration
	// SnapshotInterval is how often a replica looks whether SnapshotThreshold
	// entries make a snapshot worthwhile.
	SnapshotInterval  time.Duration
	SnapshotThreshold uint64
	// TrailingLogs stay in the log after a snapshot, so that a follower that lags
	// gets entries rather than a snapshot.
	TrailingLogs uint64
	// DiskDeadline is how long one write to the log may take before this replica
	// gives up its part in the group, so that a stalled disk cannot hold it up.
	DiskDeadline time.Duration
	// FeedLength is how many entries a reader of the feed may fall behind before
	// it is sent a gap.
	FeedLength int
	// ObserveWrite is told how long each write to the log took; nil = nobody. It
	// must not block.
	ObserveWrite func(time.Duration)
	// Disk carries out a write to the log by calling write, once or not at all,
	// and returns its error or one of its own; nil = at once. It may take its
	// time. It is the seam under which slow, full and failing disks are put.
	Disk func(write func() error) error
	// Logger receives what an operator may act on; nil discards.
	Logger *slog.Logger
}

// DefaultConfig returns the settings for Internet-wide groups. Region, Node,
// Dir, Listener and Voters remain to be set.
func DefaultConfig() Config {
	return Config{
		MaxMembers:        region.DefaultMembers,
		RaftMultiplier:    3,
		CommitTimeout:     200 * time.Millisecond,
		SnapshotInterval:  time.Minute,
		SnapshotThreshold: 4096,
		TrailingLogs:      10240,
		DiskDeadline:      10 * time.Second,
		FeedLength:        256,
	}
}

var regionName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)

func (c *Config) validate() error {
	bad := func(field string, format string, args ...any) error {
		return fmt.Errorf("group %s: %s %s: %w", c.Region, field, fmt.Sprintf(format, args...), region.ErrInvalid)
	}
	switch {
	case !regionName.MatchString(string(c.Region)):
		return bad("Region", "%q must be 1 to 64 of a-z, 0-9 and -", c.Region)
	case c.Node == "":
		return bad("Node", "must be set")
	case c.Dir == "":
		return bad("Dir", "must be set")
	case c.Listener == nil:
		return bad("Listener", "must be set")
	case c.MaxMembers < 1 || c.MaxMembers > region.MaxMembers:
		return bad("MaxMembers", "must be 1 to %d", region.MaxMembers)
	case c.RaftMultiplier < 1 || c.RaftMultiplier > 10:
		return bad("RaftMultiplier", "must be 1 to 10")
	case c.CommitTimeout < time.Millisecond:
		return bad("CommitTimeout", "must be at least 1ms")
	case c.SnapshotInterval < 5*time.Millisecond:
		return bad("SnapshotInterval", "must be at least 5ms")
	case c.DiskDeadline <= 0:
		return bad("DiskDeadline", "must be positive")
	case c.FeedLength < 1 || c.FeedLength > 65536:
		return bad("FeedLength", "must be 1 to 65536")
	case len(c.Voters) > MaxReplicas:
		return bad("Voters", "must be at most %d", MaxReplicas)
	}
	return c.validateVoters(bad)
}

func (c *Config) validateVoters(bad func(string, string, ...any) error) error {
	seen := map[region.MemberID]bool{}
	for _, v := range c.Voters {
		if v.Node == "" || v.Address == "" {
			return bad("Voters", "need a node and an address each")
		}
		if seen[v.Node] {
			return bad("Voters", "name %s twice", v.Node)
		}
		seen[v.Node] = true
	}
	if len(seen) > 0 && !seen[c.Node] {
		return bad("Voters", "must contain this node, %s", c.Node)
	}
	return nil
}

// folder is where this group's data lives.
func (c *Config) folder() string { return filepath.Join(c.Dir, string(c.Region)) }

// electionTimeout is how long a follower waits for its leader.
func (c *Config) electionTimeout() time.Duration {
	return time.Duration(c.RaftMultiplier) * 500 * time.Millisecond
}

// rpcTimeout bounds a dial and each read or write between replicas.
func (c *Config) rpcTimeout() time.Duration {
	return 2 * time.Second * time.Duration(c.RaftMultiplier)
}

// raft translates the settings. A leader's lease ends before its followers lose
// patience, so that two leaders never both believe in themselves for long.
func (c *Config) raft() *raft.Config {
	r := raft.DefaultConfig()
	r.LocalID = raft.ServerID(c.Node)
	r.HeartbeatTimeout = c.electionTimeout()
	r.ElectionTimeout = c.electionTimeout()
	r.LeaderLeaseTimeout = c.electionTimeout() * 2 / 3
	r.CommitTimeout = c.CommitTimeout
	r.MaxAppendEntries = 256
	r.BatchApplyCh = true
	r.ShutdownOnRemove = false
	r.TrailingLogs = c.TrailingLogs
	r.SnapshotInterval = c.SnapshotInterval
	r.SnapshotThreshold = c.SnapshotThreshold
	r.NoLegacyTelemetry = true
	return r
}
