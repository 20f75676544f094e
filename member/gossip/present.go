package gossip

import (
	"maps"
	"slices"
	"sync"

	"github.com/skein-mesh/skein/region"
)

// present are the members that the pool holds for alive. memberlist hands out its
// nodes by pointers to what it goes on changing, so they are read only where it holds
// its locks. It is bounded by region.MaxMembers.
type present struct {
	mu    sync.Mutex
	peers map[region.MemberID]Peer
}

// note takes in what happened to a peer.
func (s *present) note(p Peer, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch _, known := s.peers[p.ID]; {
	case gone:
		delete(s.peers, p.ID)
	case known || len(s.peers) < region.MaxMembers:
		if s.peers == nil {
			s.peers = make(map[region.MemberID]Peer)
		}
		s.peers[p.ID] = p
	}
}

func (s *present) list() []Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.peers))
}
