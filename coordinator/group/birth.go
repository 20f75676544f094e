package group

import (
	"fmt"
	"slices"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// Genesis is the revision at which a child begins.
const Genesis region.Revision = 1

// A Child is a region that was split off: every replica of the parent that is
// among its peers begins a replica of it, with the same state.
type Child struct {
	// State is the Genesis of its group.
	State *State
	Peers []Peer
}

// A birth is what an entry says of a child besides the division itself.
type birth struct {
	secrets Secrets
	peers   []Peer
}

// bear makes the child of an entry that divides the region; nil for any other. It
// chooses nothing, so the child is the same on all replicas.
func (s *State) bear(e entry) (*Child, error) {
	i := slices.IndexFunc(e.change.Edits, func(x region.Edit) bool { _, ok := x.(region.Divide); return ok })
	switch {
	case i < 0 && e.birth == nil:
		return nil, nil
	case i < 0 || e.birth == nil || len(e.change.Edits) != 1:
		return nil, fmt.Errorf("entry: %w: a division is the only edit of its change, and comes with a birth", region.ErrInvalid)
	}
	by := e.change.Edits[0].(region.Divide).Division
	_, gone, err := region.Cut(s.Region.Snapshot(), by)
	if err != nil {
		return nil, err
	}
	structure, err := region.Load(gone)
	if err != nil {
		return nil, err
	}
	child := &State{
		Region: structure, Secrets: e.birth.secrets, Time: s.Time, Revision: gone.Revision, Bounded: e.change.Time,
		Agreements: s.Agreements,
		answers:    map[region.MemberID][]*Answer{}, tokens: map[string]TokenUse{},
	}
	// Whoever asks again there gets the same answer.
	for member, list := range s.answers {
		if _, goes := structure.Member(member); goes {
			child.answers[member] = slices.Clone(list)
		}
	}
	return &Child{State: child, Peers: e.birth.peers}, nil
}

func toBirth(m *skeinv1.Birth) (*birth, error) {
	if m.Secrets == nil || len(m.Peers) == 0 || len(m.Peers) > MaxReplicas {
		return nil, fmt.Errorf("entry: birth with %d peers, want secrets and 1 to %d: %w", len(m.Peers), MaxReplicas, region.ErrInvalid)
	}
	secrets, err := toSecrets(m.Secrets)
	if err != nil {
		return nil, err
	}
	for _, p := range m.Peers {
		if p.GetNode() == "" || p.GetAddress() == "" {
			return nil, fmt.Errorf("entry: birth with a peer without node or address: %w", region.ErrInvalid)
		}
	}
	return &birth{secrets: secrets, peers: toPeers(m.Peers)}, nil
}

func toPeers(list []*skeinv1.BirthPeer) []Peer {
	peers := make([]Peer, 0, len(list))
	for _, p := range list {
		peers = append(peers, Peer{Node: region.MemberID(p.GetNode()), Address: p.GetAddress()})
	}
	return peers
}

func fromPeers(list []Peer) []*skeinv1.BirthPeer {
	var peers []*skeinv1.BirthPeer
	for _, p := range list {
		peers = append(peers, &skeinv1.BirthPeer{Node: string(p.Node), Address: p.Address})
	}
	return peers
}

// Found makes the state with which the group of a region begins that was formed
// anew: nothing is known but its structure.
func Found(structure *region.Region, secrets *skeinv1.Secrets, now time.Time) (*State, error) {
	kept, err := toSecrets(secrets)
	if err != nil {
		return nil, err
	}
	return &State{
		Region: structure, Secrets: kept, Time: now.UTC().Truncate(time.Millisecond), Revision: structure.Revision(),
		answers: map[region.MemberID][]*Answer{}, tokens: map[string]TokenUse{},
	}, nil
}
