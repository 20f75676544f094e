package member

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// standAgain has the coordinators told all of every presence, after its streams were
// published again.
func (n *Node) standAgain() {
	n.mu.Lock()
	list := slices.Collect(maps.Values(n.presences))
	n.mu.Unlock()
	for _, p := range list {
		p.mu.Lock()
		p.stale = true
		p.mu.Unlock()
	}
}

// restand tells a new session of all presences.
func (s *session) restand() {
	if s.at != s.residence {
		return
	}
	s.mu.Lock()
	list := slices.Collect(maps.Values(s.presences))
	s.mu.Unlock()
	var all []*skeinv1.Presence
	for _, p := range list {
		p.mu.Lock()
		if !p.toldAt.IsZero() {
			all = append(all, skeinv1.FromPresence(p.told))
		}
		p.mu.Unlock()
	}
	s.out.restand(all)
}

// heedSurroundings takes what the coordinators tell of others.
func (s *session) heedSurroundings(list []*skeinv1.Surroundings) {
	for _, m := range list {
		s.mu.Lock()
		p := s.presences[m.GetName()]
		s.mu.Unlock()
		if p == nil {
			continue
		}
		if err := p.heed(m, time.Now()); err != nil {
			s.log.Warn("surroundings not understood", "err", err)
		}
	}
}

func (p *Presence) heed(m *skeinv1.Surroundings, now time.Time) error {
	if len(m.XDm) != len(m.Moved) || len(m.YDm) != len(m.Moved) || len(m.ZDm) != len(m.Moved) {
		return fmt.Errorf("moved: %w: want as many places, have %d, %d, %d for %d", region.ErrInvalid, len(m.XDm), len(m.YDm), len(m.ZDm), len(m.Moved))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Anew {
		p.crowd.Anew(now)
	}
	for _, number := range m.Gone {
		p.crowd.Gone(number)
	}
	for i, number := range m.Moved {
		p.crowd.Moved(number, skeinv1.ToSpot(&skeinv1.Spot{XDm: m.XDm[i], YDm: m.YDm[i], ZDm: m.ZDm[i]}))
	}
	for i, b := range m.Came {
		who, err := skeinv1.ToBystander(b)
		if err != nil {
			return fmt.Errorf("came[%d]: %w", i, err)
		}
		p.crowd.Came(b.Number, who)
		if err := p.introduced(who.Who, b.GetPeer(), now); err != nil {
			return fmt.Errorf("came[%d]: %w", i, err)
		}
	}
	return nil
}
