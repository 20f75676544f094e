package coordinator

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// A region that was lost for good is formed anew out of what its members hold. Its
// group begins with one replica, the founder's; more are added as for any other
// group that lacks some (healing.go). Should the old group come back, its
// generation is lower: members do not go back to it, and its replicas go.

const (
	reformEvery = 500 * time.Millisecond
	// recoverTTL is how long an operator's word counts, recoverWait how long it is
	// waited for members who have not testified yet.
	recoverTTL  = 30 * time.Second
	recoverWait = 8 * time.Second
	// aliveTimeout bounds the question to a replica of a region that is thought lost.
	aliveTimeout = time.Second
)

// reform forms lost regions anew, until ctx ends.
func (s *Server) reform(ctx context.Context) {
	ticker := time.NewTicker(reformEvery)
	defer ticker.Stop()
	for {
		for _, g := range s.ripe(time.Now()) {
			if err := s.found(ctx, g); err != nil && ctx.Err() == nil {
				s.logger.Warn("a region is not formed anew yet", "region", g.region, "err", err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// ripe are copies of the gatherings out of which a region is to be formed, unless
// its group lives after all.
func (s *Server) ripe(now time.Time) (list []gathering) {
	x := &s.lost
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sweep(now)
	for id, g := range x.of {
		last, ok := s.directory.Region(id)
		if !ok || last.Over() || last.Generation >= g.generation || s.formed(last.Descriptor) != nil {
			delete(x.of, id)
			continue
		}
		votes, wanted := g.votes(last.Descriptor, s.cfg.ReformAfter)
		all := s.cfg.ReformAfter > 0 && votes >= wanted
		if now.Sub(g.asked) < recoverTTL {
			votes, wanted = g.votes(last.Descriptor, 0)
			all = all || votes >= wanted || now.Sub(g.first) >= recoverWait
		}
		if all {
			ready := *g
			ready.heard = maps.Clone(g.heard)
			list = append(list, ready)
		}
	}
	return list
}

// formed is the replica here of a region that was formed anew since it was last heard
// of; nil if there is none.
func (s *Server) formed(last region.Descriptor) *replica {
	if r := s.hosts(last.Region); r != nil && r.group.Region().Generation() >= last.Generation+region.ReformJump {
		return r
	}
	return nil
}

// found makes the first replica of a region that is formed anew.
func (s *Server) found(ctx context.Context, g gathering) error {
	last, ok := s.directory.Region(g.region)
	if !ok {
		return fmt.Errorf("region %s: %w", g.region, region.ErrUnreachable)
	}
	if alive, most := s.alive(ctx, last.Descriptor); alive >= most {
		return fmt.Errorf("region %s: %w: %d of its %d replicas run", g.region, region.ErrExists, alive, len(last.Replicas))
	}
	var testimonies []region.Testimony
	for _, h := range g.heard {
		testimonies = append(testimonies, h.Testimony)
	}
	structure, err := region.Reform(g.region, g.generation, last.MaxMembers, testimonies)
	if err != nil {
		return err
	}
	genesis, err := group.Found(structure, g.secrets, s.cfg.Now())
	if err != nil {
		return err
	}
	if err := s.Drop(g.region); err != nil { // what is left of the one that is lost
		return err
	}
	self := s.cfg.advertised()
	s.logger.Warn("a region was lost and is formed anew", "region", g.region, "generation", g.generation,
		"members", structure.MemberCount(), "last_known", last.Members, "asked_for", !g.asked.IsZero())
	return s.host(Group{Region: g.region, Child: true, Peers: []Peer{self}}, beginning{genesis: genesis})
}

// alive counts the replicas of a region that run, and says how many make it able to
// elect a leader.
func (s *Server) alive(ctx context.Context, d region.Descriptor) (alive, most int) {
	ctx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	var wg sync.WaitGroup
	answers := make([]bool, len(d.Replicas))
	for i, h := range d.Replicas {
		wg.Go(func() {
			if h.ID == s.ID() {
				answers[i] = s.hosts(d.Region) != nil
				return
			}
			conn, err := s.dial(h.GRPC)
			if err != nil {
				return
			}
			status, err := skeinv1.NewInspectionClient(conn).Status(ctx, &skeinv1.StatusRequest{})
			answers[i] = err == nil && slices.ContainsFunc(status.Groups, func(g *skeinv1.GroupStatus) bool {
				return g.Region == string(d.Region) && g.Generation >= uint64(d.Generation) && g.State != "stopped"
			})
		})
	}
	wg.Wait()
	for _, runs := range answers {
		if runs {
			alive++
		}
	}
	return alive, len(d.Replicas)/2 + 1
}

// Recover has a region formed anew at an operator's word. Any coordinator passes it
// on to the founder.
func (a *atlas) Recover(ctx context.Context, req *skeinv1.RecoverRequest) (*skeinv1.RecoverResponse, error) {
	s := a.server
	id, err := skeinv1.ToRegionID(req.Region)
	if err != nil {
		return nil, err
	}
	last, ok := s.directory.Region(id)
	if !ok {
		return nil, fmt.Errorf("region %s: %w: nothing was heard of it here", id, region.ErrInvalid)
	}
	if last.Over() {
		return nil, fmt.Errorf("region %s: %w: it was merged into %s, and is not lost", id, region.ErrExists, last.Into)
	}
	founder := s.founder(last.Descriptor, nil)
	if founder.ID == "" {
		return nil, fmt.Errorf("region %s: %w: no coordinator has room for it", id, region.ErrLimit)
	}
	if founder.ID != s.ID() {
		var resp *skeinv1.RecoverResponse
		err := s.consultAt(ctx, founder.GRPC, func(ctx context.Context, c skeinv1.DirectoryClient) (err error) {
			resp, err = c.Recover(ctx, req)
			return err
		})
		return resp, err
	}
	resp := &skeinv1.RecoverResponse{Founder: &skeinv1.Coordinator{Id: string(founder.ID), Address: founder.GRPC}}
	if r := s.formed(last.Descriptor); r != nil {
		resp.Generation = uint64(r.group.Region().Generation())
		return resp, nil
	}
	if alive, most := s.alive(ctx, last.Descriptor); alive >= most {
		return nil, fmt.Errorf("region %s: %w: %d of its %d replicas run, so it is not lost", id, region.ErrExists, alive, len(last.Replicas))
	}
	x := &s.lost
	x.mu.Lock()
	defer x.mu.Unlock()
	g, err := x.gather(id, last.Generation)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if now.Sub(g.asked) > recoverTTL {
		g.first = now
	}
	g.asked, resp.Heard, resp.Generation = now, uint32(len(g.heard)), uint64(g.generation)
	return resp, nil
}

// fence ends the replicas of regions that were formed anew elsewhere, and those
// that their groups have removed, until ctx ends.
func (s *Server) fence(ctx context.Context) {
	ticker := time.NewTicker(dropEvery)
	defer ticker.Stop()
	for {
		changed := s.directory.Changed()
		for _, r := range s.hosted() {
			if r.expelled() {
				s.logger.Info("the group has removed this replica", "region", r.region)
				s.giveUp(ctx, r.region)
				continue
			}
			state := r.group.State()
			known, ok := s.directory.Region(r.region)
			if !ok || len(state.Secrets.SigningSeed) == 0 || known.Generation <= state.Region.Generation() {
				continue
			}
			if signs(state, known.Descriptor) {
				continue // it only lags behind
			}
			s.logger.Warn("this region was formed anew elsewhere, and is given up here", "region", r.region,
				"generation", state.Region.Generation(), "newer", known.Generation)
			s.giveUp(ctx, r.region)
		}
		select {
		case <-changed:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// signs says whether it is the group of that state that signed d: a region that is formed
// anew signs with another key.
func signs(state *group.State, d region.Descriptor) bool {
	if len(state.Secrets.SigningSeed) == 0 {
		return false
	}
	own := ed25519.NewKeyFromSeed(state.Secrets.SigningSeed).Public().(ed25519.PublicKey)
	return [32]byte(own) == d.Key
}

// vouches says whether the group of a replica that is hosted here has told the world
// that node has a replica, too.
func (s *Server) vouches(id region.ID, node region.MemberID) bool {
	r := s.hosts(id)
	known, ok := s.directory.Region(id)
	return r != nil && ok && signs(r.group.State(), known.Descriptor) &&
		slices.ContainsFunc(known.Replicas, func(h region.Host) bool { return h.ID == node })
}

func (s *Server) giveUp(ctx context.Context, id region.ID) {
	if err := s.Drop(id); err != nil && ctx.Err() == nil {
		s.logger.Error("a replica is not given up", "region", id, "err", err)
	}
}
