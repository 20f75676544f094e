package group

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

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
	// Refused is how long ago another replica said that this node is not in the group;
	// negative if none did.
	Refused time.Duration
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

// slowDisk is the time of a write to the log (99th percentile) from which on the
// disk is called slow.
const slowDisk = 500 * time.Millisecond

// Status describes the replica. It does not block.
func (g *Group) Status() Status {
	g.mu.Lock()
	r, problem, restarts := g.replica, g.problem, g.restarts
	g.mu.Unlock()
	s := Status{
		Region: g.cfg.Region, Node: g.cfg.Node, Role: "stopped", Restarts: restarts,
		Revision: g.feed.revision(), LastContact: -1, Refused: -1,
		Disk: g.disk.summary(), CommitTime: g.commits.summary(),
	}
	if problem != nil {
		s.Problems = append(s.Problems, problem.Error())
	}
	if s.Disk.P99 > slowDisk {
		s.Problems = append(s.Problems, fmt.Sprintf("the disk is slow: 1 of 100 writes to the log takes %v or more", s.Disk.P99))
	}
	if r != nil {
		r.describe(&s)
	}
	return s
}

// Knock opens a connection to every other server of the newest configuration, and closes
// it again. Who has removed this node says so then, see Status.Refused, and does not over
// connections that have stood since before. It blocks for an election timeout at most.
func (g *Group) Knock() {
	r, _ := g.current()
	if r == nil {
		return
	}
	var calls sync.WaitGroup
	for _, s := range r.configuration() {
		at, err := r.ServerAddr(s.ID)
		if err != nil || s.ID == raft.ServerID(g.cfg.Node) {
			continue
		}
		calls.Go(func() {
			if conn, err := r.layer.dialAnew(at, g.cfg.electionTimeout()); err == nil {
				_ = conn.Close()
			}
		})
	}
	calls.Wait()
}

// Peers are the servers of the group's newest configuration; none while this
// replica knows none.
func (g *Group) Peers() []Peer {
	r, _ := g.current()
	if r == nil {
		return nil
	}
	var list []Peer
	for _, s := range r.configuration() {
		list = append(list, Peer{Node: region.MemberID(s.ID), Address: string(s.Address)})
	}
	return list
}

func (r *replica) describe(s *Status) {
	instance := r.raft.Load()
	state := instance.State()
	_, leader := instance.LeaderWithID()
	s.Role = strings.ToLower(state.String())
	s.Leader = region.MemberID(leader)
	s.Term = instance.CurrentTerm()
	s.LastIndex = instance.LastIndex()
	s.Commit = instance.CommitIndex()
	s.Applied, _ = r.fsm.progress.get()
	now := time.Now()
	if contact := instance.LastContact(); state == raft.Leader {
		s.LastContact = 0
	} else if !contact.IsZero() {
		s.LastContact = now.Sub(contact)
	}
	if at := r.layer.refused.Load(); at != 0 {
		s.Refused = now.Sub(time.Unix(0, at))
	}
	if s.Leader == "" {
		s.Problems = append(s.Problems, "no leader is known: most voters must run and reach one another")
	}
	self := false
	for _, server := range r.configuration() {
		self = self || server.ID == raft.ServerID(s.Node)
		replica := Replica{
			Node: region.MemberID(server.ID), Address: string(server.Address),
			Voter: server.Suffrage == raft.Voter, Heard: -1,
		}
		switch {
		case replica.Node == s.Node:
			replica.Match, replica.Heard = s.LastIndex, 0
		case state == raft.Leader:
			f := r.transport.follower(server.ID)
			replica.Match = f.match
			if !f.heard.IsZero() {
				replica.Heard = now.Sub(f.heard)
			}
			if trouble := f.trouble(now, 10*r.group.cfg.electionTimeout()); trouble != "" {
				s.Problems = append(s.Problems, fmt.Sprintf("replica %s %s", replica.Node, trouble))
			}
		}
		s.Replicas = append(s.Replicas, replica)
	}
	if !self {
		s.Problems = append(s.Problems, "this node is not in the group: add it, or close it and remove its folder")
	}
}
