package group

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein/region"
)

// catchUp is how many entries behind the leader a replica may be to be given a
// vote, or the leadership.
const catchUp = 64

// AddReplica adds p to the group: first without a vote, with one when it has
// caught up, for a voter that must catch up first can stop the group. Leader
// only. It blocks until then; if ctx ends before, the replica stays without a
// vote and the call may be repeated.
func (g *Group) AddReplica(ctx context.Context, p Peer) error {
	if p.Node == "" || p.Address == "" {
		return fmt.Errorf("group %s: add replica: node and address must be set: %w", g.cfg.Region, region.ErrInvalid)
	}
	r, l := g.current()
	if r == nil || !l.Leading {
		return g.notLeader()
	}
	instance, id := r.raft.Load(), raft.ServerID(p.Node)
	voter, known := r.member(p.Node)
	if voter {
		return nil
	}
	if !known {
		config := instance.GetConfiguration()
		if len(config.Configuration().Servers) >= MaxReplicas {
			return fmt.Errorf("group %s: add %s: at most %d replicas: %w", g.cfg.Region, p.Node, MaxReplicas, region.ErrLimit)
		}
		f := instance.AddNonvoter(id, raft.ServerAddress(p.Address), config.Index(), enqueueTimeout)
		if err := r.await(ctx, f); err != nil {
			return fmt.Errorf("group %s: add %s: %w", g.cfg.Region, p.Node, err)
		}
	}
	if err := r.caughtUp(ctx, id); err != nil {
		return fmt.Errorf("group %s: %s is without a vote until it has caught up: %w", g.cfg.Region, p.Node, err)
	}
	f := instance.AddVoter(id, raft.ServerAddress(p.Address), instance.GetConfiguration().Index(), enqueueTimeout)
	if err := r.await(ctx, f); err != nil {
		return fmt.Errorf("group %s: give %s a vote: %w", g.cfg.Region, p.Node, err)
	}
	return nil
}

// RemoveReplica takes a node out of the group. Leader only. A node that is not
// in it is no error. The removed node is to be closed by its host.
func (g *Group) RemoveReplica(ctx context.Context, node region.MemberID) error {
	r, l := g.current()
	if r == nil || !l.Leading {
		return g.notLeader()
	}
	if _, known := r.member(node); !known {
		return nil
	}
	instance := r.raft.Load()
	f := instance.RemoveServer(raft.ServerID(node), instance.GetConfiguration().Index(), enqueueTimeout)
	if err := r.await(ctx, f); err != nil {
		return fmt.Errorf("group %s: remove %s: %w", g.cfg.Region, node, err)
	}
	return nil
}

// Transfer hands the leadership to another voter, which must have caught up: a
// transfer to one that lags can hang (raft#696). Leader only.
func (g *Group) Transfer(ctx context.Context, node region.MemberID) error {
	r, l := g.current()
	if r == nil || !l.Leading {
		return g.notLeader()
	}
	if voter, _ := r.member(node); !voter || node == g.cfg.Node {
		return fmt.Errorf("group %s: transfer to %s: not another voter: %w", g.cfg.Region, node, region.ErrInvalid)
	}
	if err := r.caughtUp(ctx, raft.ServerID(node)); err != nil {
		return fmt.Errorf("group %s: transfer to %s: %w", g.cfg.Region, node, err)
	}
	addr, err := r.ServerAddr(raft.ServerID(node))
	if err != nil {
		return fmt.Errorf("group %s: transfer: %w", g.cfg.Region, err)
	}
	if err := r.await(ctx, r.raft.Load().LeadershipTransferToServer(raft.ServerID(node), addr)); err != nil {
		return fmt.Errorf("group %s: transfer to %s: %w", g.cfg.Region, node, err)
	}
	return nil
}

// Snapshot writes a snapshot now. ErrOutcomeUnknown if it fails: the library does
// not tell how far it came.
func (g *Group) Snapshot(ctx context.Context) error {
	r, _ := g.current()
	if r == nil {
		return g.notLeader()
	}
	if err := r.await(ctx, r.raft.Load().Snapshot()); err != nil {
		return fmt.Errorf("group %s: snapshot: %w", g.cfg.Region, err)
	}
	return nil
}

// member looks a node up in the configuration.
func (r *replica) member(node region.MemberID) (voter, known bool) {
	for _, s := range r.configuration() {
		if s.ID == raft.ServerID(node) {
			return s.Suffrage == raft.Voter, true
		}
	}
	return false, false
}

// caughtUp blocks until a follower holds nearly all of the log.
func (r *replica) caughtUp(ctx context.Context, id raft.ServerID) error {
	instance := r.raft.Load()
	tick := time.NewTicker(r.group.cfg.electionTimeout() / 10)
	defer tick.Stop()
	for {
		if instance.State() != raft.Leader {
			return region.ErrNotLeader
		}
		if r.transport.follower(id).match+catchUp > instance.LastIndex() && r.transport.follower(id).match > 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-r.stopping:
			return region.ErrClosed
		}
	}
}
