package coordinator

import (
	"crypto/ed25519"
	"slices"
	"sync"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// maxGrants bounds the grants a signer remembers; beyond it all are signed anew.
const maxGrants = 1 << 16

// A signer signs the grants of a region. It remembers them, so that repeating a
// role costs no signature.
type signer struct {
	key ed25519.PrivateKey
	ttl time.Duration

	mu     sync.Mutex
	grants map[grantKey]signed
}

// A grantKey is what a grant states, but for revision and expiry.
type grantKey struct {
	stream  region.StreamID
	child   stay
	parent  region.MemberID
	standby bool
}

type signed struct {
	grant   []byte
	expires time.Time
}

func newSigner(seed []byte, ttl time.Duration) *signer {
	return &signer{key: ed25519.NewKeyFromSeed(seed), ttl: ttl, grants: map[grantKey]signed{}}
}

// public is the key that verifies the grants.
func (s *signer) public() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

// grant returns a grant that is valid for at least half of the signer's TTL.
func (s *signer) grant(r *region.Region, k grantKey, now time.Time) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g, ok := s.grants[k]; ok && now.Add(s.ttl/2).Before(g.expires) {
		return g.grant
	}
	if len(s.grants) >= maxGrants {
		clear(s.grants)
	}
	expires := now.Add(s.ttl)
	raw := trust.SignGrant(s.key, trust.Grant{
		Region: r.ID(), Generation: r.Generation(), Stream: k.stream,
		Child: k.child.member, Lease: k.child.lease, Parent: k.parent, Standby: k.standby,
		Revision: r.Revision(), Expires: expires,
	})
	s.grants[k] = signed{raw, expires}
	return raw
}

// role tells what m is to do for a stream by the structure r; nil if it has no
// place in its tree.
func (s *signer) role(r *region.Region, id region.StreamID, m region.MemberID, now time.Time) *skeinv1.Role {
	stream, ok := r.Stream(id)
	node, placed := r.Node(id, m)
	if !ok || !placed {
		return nil
	}
	self, _ := r.Member(m)
	role := &skeinv1.Role{
		Revision: uint64(r.Revision()),
		Stream:   skeinv1.FromStream(stream),
		Layers:   uint32(node.Layers),
		Placed:   true,
		// Those who are moving away draw from m until they have confirmed.
		Children:   peersOf(r, slices.Concat(r.Children(id, m), r.Leaving(id, m))),
		Dependents: peersOf(r, warmDependents(r, id, m)),
	}
	upstream := func(parent region.MemberID, standby bool) *skeinv1.Upstream {
		key := grantKey{id, stay{m, self.Lease}, parent, standby}
		return &skeinv1.Upstream{Peer: peerOf(r, parent), Grant: s.grant(r, key, now)}
	}
	if node.Parent != "" {
		role.Parent = upstream(node.Parent, false)
	}
	for _, standby := range warm(node) {
		role.Standbys = append(role.Standbys, upstream(standby, true))
	}
	return role
}

func peerOf(r *region.Region, id region.MemberID) *skeinv1.Peer {
	m, _ := r.Member(id)
	return &skeinv1.Peer{Id: string(id), Lease: uint64(m.Lease), Endpoint: skeinv1.FromEndpoint(m.Endpoint)}
}

func peersOf(r *region.Region, ids []region.MemberID) []*skeinv1.Peer {
	slices.Sort(ids)
	var list []*skeinv1.Peer
	for _, id := range slices.Compact(ids) {
		list = append(list, peerOf(r, id))
	}
	return list
}

// warmStandbys is how many standbys a member keeps links to. Two repair nearly
// every loss; the others are places that are kept for it, and every link costs
// a handshake and heartbeats.
const warmStandbys = 2

func warm(n region.Node) []region.MemberID { return n.Standbys[:min(len(n.Standbys), warmStandbys)] }

// warmDependents are the members that keep a link to m as their standby.
func warmDependents(r *region.Region, id region.StreamID, m region.MemberID) []region.MemberID {
	return slices.DeleteFunc(r.Dependents(id, m), func(d region.MemberID) bool {
		n, _ := r.Node(id, d)
		return !slices.Contains(warm(n), m)
	})
}
