package coordinator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	"github.com/skein-mesh/skein/region"
)

// Host starts a replica of a group, of which this coordinator must be a peer,
// and keeps it over restarts until Drop. Hosting what is hosted already changes
// nothing. It returns before the group has a leader.
func (s *Server) Host(g Group) error { return s.host(g, beginning{}) }

// A beginning is what the replica of a Child begins with: a state, or nothing, and
// then it may wait to be added to a group that exists.
type beginning struct {
	genesis *group.State
	wait    bool
}

func (s *Server) host(g Group, with beginning) error {
	s.hosting.Lock()
	defer s.hosting.Unlock()
	if s.stopping.Err() != nil {
		return fmt.Errorf("host region %s: %w", g.Region, region.ErrClosed)
	}
	if s.hosts(g.Region) != nil {
		return nil
	}
	if err := s.cfg.validateGroup(g); err != nil {
		return err
	}
	// What a killed Drop has left there.
	if err := os.RemoveAll(s.folder(g.Region)); err != nil {
		return fmt.Errorf("host region %s: %w", g.Region, err)
	}
	// Written down first: a replica that has voted must not be forgotten.
	if err := s.roster.add(g); err != nil {
		return err
	}
	if with.genesis != nil {
		s.cfg.pass(childWritten)
	}
	if err := s.openGroup(g, with); err != nil {
		return errors.Join(err, s.roster.undo(g.Region))
	}
	if r := s.hosts(g.Region); r != nil {
		r.start()
	}
	s.directory.SetGroups(len(s.hosted()))
	return nil
}

// Drop stops the replica of a region for good and removes its data. It is for
// replicas that their group has let go, and for groups that are over: one that
// still counts for a majority is missing from it. Sessions end, and are told to
// look elsewhere. What is not hosted is no error.
func (s *Server) Drop(id region.ID) error {
	s.hosting.Lock()
	defer s.hosting.Unlock()
	if s.stopping.Err() != nil {
		return fmt.Errorf("drop region %s: %w", id, region.ErrClosed)
	}
	r := s.hosts(id)
	if r == nil {
		return nil
	}
	list := s.hosted()
	s.mu.Lock()
	s.replicas = slices.DeleteFunc(slices.Clone(list), func(x *replica) bool { return x == r })
	s.mu.Unlock()
	r.stop()
	err := r.group.Close()
	if err == nil {
		// In this order: one that is on the roster begins anew without its data.
		if err = s.roster.remove(id); err == nil {
			err = os.RemoveAll(s.folder(id))
		}
	}
	s.meters.forget(id)
	s.directory.SetGroups(len(s.hosted()))
	if err != nil {
		return fmt.Errorf("drop region %s: %w", id, err)
	}
	return nil
}

func (s *Server) folder(id region.ID) string { return filepath.Join(s.cfg.DataDir, string(id)) }

// hosted are the replicas of this coordinator, in the order in which they came.
// The slice is not modified any more.
func (s *Server) hosted() []*replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replicas
}

// hosts returns the replica of a region; nil if there is none.
func (s *Server) hosts(id region.ID) *replica {
	for _, r := range s.hosted() {
		if r.region == id {
			return r
		}
	}
	return nil
}

// Regions lists the regions of which this coordinator hosts a replica.
func (s *Server) Regions() []region.ID {
	var ids []region.ID
	for _, r := range s.hosted() {
		ids = append(ids, r.region)
	}
	return ids
}

// Replicas lists the coordinators that have a vote in a region's group, as far as
// this one knows; none if it hosts no such region.
func (s *Server) Replicas(id region.ID) []region.MemberID {
	var list []region.MemberID
	if r := s.hosts(id); r != nil {
		for _, p := range r.group.Status().Replicas {
			if p.Voter {
				list = append(list, p.Node)
			}
		}
	}
	return list
}

// leader is the office of a region, by name as for replica; ErrNotLeader if another
// coordinator holds it.
func (s *Server) leader(name string) (*leadership, error) {
	r, err := s.replica(name)
	if err != nil {
		return nil, err
	}
	return r.leader()
}

// replica finds a region by name; an empty name stands for the only one.
func (s *Server) replica(name string) (*replica, error) {
	list := s.hosted()
	if name == "" && len(list) == 1 {
		return list[0], nil
	}
	if r := s.hosts(region.ID(name)); r != nil {
		return r, nil
	}
	if err := s.elsewhere(region.ID(name), region.ErrElsewhere); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(list))
	for _, r := range list {
		names = append(names, string(r.region))
	}
	return nil, fmt.Errorf("region %.64q: %w: this coordinator hosts %s", name, region.ErrInvalid, strings.Join(names, ", "))
}

// openGroup opens a replica and puts it in the list; it is to be started.
func (s *Server) openGroup(g Group, with beginning) error {
	cfg := group.DefaultConfig()
	cfg.Region, cfg.MaxMembers = g.Region, s.cfg.MaxMembers
	cfg.Node, cfg.Dir, cfg.Listener = s.ID(), s.cfg.DataDir, s.raft
	cfg.RaftMultiplier = s.cfg.RaftMultiplier
	cfg.Logger = s.logger
	if disk := s.cfg.Disk; disk != nil {
		cfg.Disk = func(write func() error) error { return disk(g.Region, write) }
	}
	meter := s.meters.of(g.Region)
	cfg.ObserveWrite = func(d time.Duration) { meter.fsync.Observe(d.Seconds()) }
	addresses := map[region.MemberID]string{}
	cfg.Genesis = with.genesis
	for _, p := range g.Peers {
		if !g.Child || with.genesis != nil {
			cfg.Voters = append(cfg.Voters, group.Peer{Node: p.ID, Address: p.Raft})
		}
		addresses[p.ID] = p.Raft
	}
	cfg.Resolve = func(id region.MemberID) (string, bool) {
		address, ok := addresses[id]
		return address, ok
	}
	cfg.Vouched = func(id region.MemberID) bool { return s.vouches(g.Region, id) }
	opened, err := group.Open(cfg)
	if err != nil {
		return fmt.Errorf("open the replica of region %s: %w", g.Region, err)
	}
	if g.Child && !with.wait && len(opened.Peers()) == 0 {
		// Killed before it began: the parent's log will begin it anew.
		return opened.Close()
	}
	r := &replica{
		server: s, births: s.births, begun: time.Now(),
		region: g.Region, self: s.ID(), cfg: &s.cfg, group: opened, peers: g.Peers,
		directory: s.directory, history: newHistory(s.cfg.EventHistory), meter: meter,
		logger: s.logger.With("region", string(g.Region)), streams: &s.streams,
	}
	r.life, r.cancel = context.WithCancel(context.Background())
	s.mu.Lock()
	s.replicas = append(slices.Clone(s.replicas), r)
	s.mu.Unlock()
	return nil
}
