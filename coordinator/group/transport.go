package group

import (
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A transport is Raft's, and notes on the way what the followers answer, which
// the library keeps to itself.
type transport struct {
	*raft.NetworkTransport

	mu    sync.Mutex
	peers map[raft.ServerID]*follower
	// commit is the highest commit index told to any follower.
	commit uint64
}

// A follower is what this replica, as leader, knows of another.
type follower struct {
	match uint64
	heard time.Time
	// behind is since when match has stood still below the commit index; zero if
	// it has not.
	behind time.Time
	// snapshots are the last times one was sent.
	snapshots []time.Time
}

func newTransport(t *raft.NetworkTransport) *transport {
	return &transport{NetworkTransport: t, peers: map[raft.ServerID]*follower{}}
}

// AppendEntries is part of raft.Transport. With MaxRPCsInFlight = 1 all entries
// and heartbeats go through it.
func (t *transport) AppendEntries(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if err := t.NetworkTransport.AppendEntries(id, to, req, resp); err != nil {
		return err
	}
	heartbeat := len(req.Entries) == 0 && req.PrevLogEntry == 0 && req.LeaderCommitIndex == 0
	match := uint64(0)
	if resp.Success && !heartbeat {
		match = req.PrevLogEntry + uint64(len(req.Entries))
	}
	t.note(id, match, req.LeaderCommitIndex, false)
	return nil
}

// InstallSnapshot is part of raft.Transport.
func (t *transport) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if err := t.NetworkTransport.InstallSnapshot(id, to, req, resp, data); err != nil {
		return err
	}
	match := uint64(0)
	if resp.Success {
		match = req.LastLogIndex
	}
	t.note(id, match, 0, true)
	return nil
}

func (t *transport) note(id raft.ServerID, match, commit uint64, snapshot bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	f := t.peers[id]
	if f == nil {
		f = &follower{}
		t.peers[id] = f
	}
	f.heard = now
	t.commit = max(t.commit, commit)
	switch {
	case match > f.match:
		f.match, f.behind = match, time.Time{}
	case f.match >= t.commit:
		f.behind = time.Time{}
	case f.behind.IsZero():
		f.behind = now
	}
	if snapshot {
		f.snapshots = append(f.snapshots, now)
		f.snapshots = f.snapshots[max(0, len(f.snapshots)-livelockSnapshots):]
	}
}

// forget starts anew: what was noted in an earlier term says nothing.
func (t *transport) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.peers)
}

func (t *transport) follower(id raft.ServerID) follower {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.peers[id]; f != nil {
		return *f
	}
	return follower{}
}

const (
	// livelockSnapshots within livelockWindow show a follower that does not keep
	// what it is sent (raft#697).
	livelockSnapshots = 3
	livelockWindow    = time.Minute
)

// trouble says what is wrong with a follower at time now, if anything. patience
// is how long it may stand still while it answers.
func (f follower) trouble(now time.Time, patience time.Duration) string {
	n := len(f.snapshots)
	switch {
	case n >= livelockSnapshots && now.Sub(f.snapshots[0]) < livelockWindow:
		return "is sent one snapshot after the other: remove it, wipe its folder, and add it again under a new identity"
	case !f.behind.IsZero() && now.Sub(f.behind) > patience && now.Sub(f.heard) < patience:
		return "answers but takes no entries: transfer the leadership"
	}
	return ""
}
