package group

import (
	"time"

	"github.com/skein-mesh/skein/region"
)

// A Status describes a replica for people and metrics.
type Status struct {
	Region region.ID
	Node   region.MemberID
	// Role is "leader", "follower", "candidate" or "stopped".
	Role string
	// Leader as far as this replica knows; empty if it knows none.
	Leader region.MemberID
	Term   uint64
	// LastIndex of the log, Commit and Applied indices. Applied counts what the
	// state machine has applied.
	LastIndex, Commit, Applied uint64
	// Revision of the newest state published.
	Revision region.Revision
	// LastContact is how long ago the leader was heard; 0 for the leader itself,
	// negative if it was never heard.
	LastContact time.Duration
	// Replicas are the group's configuration by node.
	Replicas []Replica
	// Disk is how long writes to the log took lately, Commit how long proposals
	// took until they were applied (leader only).
	Disk, CommitTime Latency
	// Restarts counts how often the replica had to be opened again.
	Restarts int
	// Problems says what is wrong and what to do; empty if all is well.
	Problems []string
}

// A Replica is one server of the group as the leader sees it. Match and Heard
// are known to the leader only.
type Replica struct {
	Node    region.MemberID
	Address string
	Voter   bool
	// Match is the last index the replica is known to hold.
	Match uint64
	// Heard is how long ago it answered; negative if it never did.
	Heard time.Duration
}

// A Latency summarises the last few hundred durations; zero if there were none.
type Latency struct {
	Count         int
	P50, P99, Max time.Duration
}
