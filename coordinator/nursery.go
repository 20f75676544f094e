package coordinator

import (
	"context"
	"slices"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	"github.com/skein-mesh/skein/region"
)

// birthRetry is when the birth of a child that failed is tried again.
const birthRetry = 5 * time.Second

// standFor is how long a child's first leader waits for its group.
const standFor = 3 * time.Second

// nursery hosts the regions that were split off those hosted here, until ctx ends,
// and drops those that were merged a while ago. The parent's state says which children
// there are, so a coordinator that was killed on the way, or away, goes on from that.
func (s *Server) nursery(ctx context.Context) {
	ended := map[region.ID]time.Time{}
	graves := time.NewTicker(birthRetry)
	defer graves.Stop()
	for {
		var again <-chan time.Time
		if !s.bear() {
			again = time.After(birthRetry)
		}
		select {
		case <-s.births:
		case <-again:
		case <-graves.C:
			s.bury(ended, time.Now())
		case <-ctx.Done():
			return
		}
	}
}

// bear hosts all children that are not hosted yet; false if it could not.
func (s *Server) bear() bool {
	done := true
	for _, parent := range s.hosted() {
		for _, child := range parent.group.State().Children {
			if err := s.adopt(parent, child); err != nil && s.stopping.Err() == nil {
				s.logger.Error("a region that was split off is not hosted yet", "region", child.State.Region.ID(), "err", err)
				done = false
			}
		}
	}
	return done
}

func (s *Server) adopt(parent *replica, child group.Child) error {
	g := Group{Region: child.State.Region.ID(), Child: true}
	for _, p := range child.Peers {
		at := parent.peer(p.Node)
		g.Peers = append(g.Peers, Peer{ID: p.Node, Raft: p.Address, GRPC: at.GRPC})
	}
	s.hosting.Lock()
	over := s.roster.dropped(g.Region)
	s.hosting.Unlock()
	if over || s.cfg.self(g).ID == "" || s.hosts(g.Region) != nil {
		return nil
	}
	s.cfg.pass(childTold)
	if err := s.host(g, beginning{genesis: child.State}); err != nil {
		return err
	}
	s.cfg.pass(childHosted)
	if r := s.hosts(g.Region); r != nil && parent.leading.Load() != nil {
		r.wg.Go(func() { r.stand() })
	}
	return nil
}

// stand lets the replica of a child stand for election at once, where the parent is
// led: so nobody waits for an election timeout.
func (r *replica) stand() {
	ctx, cancel := context.WithTimeout(r.life, standFor)
	defer cancel()
	r.cfg.pass(childStands)
	if err := r.group.Campaign(ctx); err != nil && r.life.Err() == nil {
		r.logger.Info("the region elects its first leader by itself", "err", err)
	}
}

// bury drops the replicas of regions that have been over for long enough: until then
// they tell who asks where everybody is. ended holds since when.
func (s *Server) bury(ended map[region.ID]time.Time, now time.Time) {
	for _, r := range s.hosted() {
		if !r.group.Region().Fate().Over {
			continue
		}
		since, known := ended[r.region]
		if !known {
			ended[r.region] = now
			continue
		}
		if now.Sub(since) < s.cfg.Boundary.Tombstone {
			continue
		}
		delete(ended, r.region)
		if err := s.Drop(r.region); err != nil && s.stopping.Err() == nil {
			s.logger.Error("a region that is over is still hosted", "region", r.region, "err", err)
		}
	}
}

// divides reports whether a change splits a region off.
func divides(c region.Change) bool {
	return slices.ContainsFunc(c.Edits, func(e region.Edit) bool { _, ok := e.(region.Divide); return ok })
}
