package coordinator

import (
	"crypto/ed25519"
	"runtime"
	"slices"
	"sync"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// maxGrants bounds the grants, and the passes, a signer remembers; beyond it all are
// signed anew.
const maxGrants = 1 << 16

// visitTTL is how long a grant is valid of somebody of another community, should the
// signer's TTL not be shorter: so long may it be fed after the agreement has ended, if it
// heeds nobody. It is longer than it takes to notice that coordinators are away.
const visitTTL = 90 * time.Second

// A signer signs the grants of a region. It remembers them, so that repeating a
// role costs no signature. Callers that come while it signs are signed for
// together when it is done: one signature may cover many grants.
type signer struct {
	key ed25519.PrivateKey
	ttl time.Duration
	// contacts are who roles name.
	contacts contacts

	mu     sync.Mutex
	grants map[grantKey]signed
	passes map[stay]signed
	// generation is that of the grants.
	generation region.Generation
	// next is what is to be signed next.
	next *sheaf
	// signing is true while a caller signs; turn is told when it has.
	signing bool
	turn    *sync.Cond
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

// lasts says whether it is valid for at least half of its time.
func (g signed) lasts(ttl time.Duration, now time.Time) bool {
	return now.Add(ttl / 2).Before(g.expires)
}

// A sheaf is grants that are signed together; into is where each of them is awaited.
type sheaf struct {
	grants []trust.Grant
	into   []*[]byte
	signed bool
}

// newSheaf has room for so many grants.
func newSheaf(n int) *sheaf {
	return &sheaf{grants: make([]trust.Grant, 0, n), into: make([]*[]byte, 0, n)}
}

func (x *sheaf) add(g trust.Grant, into *[]byte) {
	x.grants, x.into = append(x.grants, g), append(x.into, into)
}

// keyOf is what g states.
func keyOf(g *trust.Grant) grantKey {
	return grantKey{g.Stream, stay{g.Child, g.Lease}, g.Parent, g.Standby}
}

func newSigner(seed []byte, ttl time.Duration) *signer {
	s := &signer{key: ed25519.NewKeyFromSeed(seed), ttl: ttl, grants: map[grantKey]signed{}, passes: map[stay]signed{}, next: newSheaf(0)}
	s.turn = sync.NewCond(&s.mu)
	return s
}

// public is the key that verifies the grants.
func (s *signer) public() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

// validity is how long a grant for m is valid.
func (s *signer) validity(r *region.Region, m region.MemberID) time.Duration {
	if self, ok := r.Member(m); ok && self.Home.Community() != "" {
		return min(s.ttl, visitTTL)
	}
	return s.ttl
}

// sign returns grants for one member, in the order of keys, that are valid for at least
// half of their time.
func (s *signer) sign(r *region.Region, keys []grantKey, now time.Time) [][]byte {
	list := make([][]byte, len(keys))
	if len(keys) == 0 {
		return list
	}
	ttl := s.validity(r, keys[0].child.member)
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := &sheaf{signed: true}
	if s.generation != r.Generation() {
		// Whoever comes from now on takes none that is older.
		clear(s.grants)
		s.generation = r.Generation()
	}
	for i, k := range keys {
		if g := s.grants[k]; g.lasts(ttl, now) {
			list[i] = g.grant
			continue
		}
		mine = s.next
		mine.add(trust.Grant{
			Region: r.ID(), Generation: r.Generation(), Stream: k.stream,
			Child: k.child.member, Lease: k.child.lease, Parent: k.parent, Standby: k.standby,
			Revision: r.Revision(), Expires: now.Add(ttl),
		}, &list[i])
	}
	for !mine.signed {
		if s.signing {
			s.turn.Wait()
		} else {
			s.signNext()
		}
	}
	return list
}

// signNext signs what is wanted. It must be called with mu held, and lets go of it
// while it signs.
func (s *signer) signNext() {
	s.signing = true
	s.mu.Unlock()
	runtime.Gosched() // those who are about to ask may
	s.mu.Lock()
	now := s.next
	s.next = newSheaf(len(now.grants))
	s.mu.Unlock()
	raw := trust.SignGrants(s.key, now.grants)
	s.mu.Lock()
	if len(s.grants) >= maxGrants {
		clear(s.grants)
	}
	for i := range now.grants {
		g := &now.grants[i]
		*now.into[i] = raw[i]
		if g.Generation == s.generation {
			s.grants[keyOf(g)] = signed{raw[i], g.Expires}
		}
	}
	now.signed, s.signing = true, false
	s.turn.Broadcast()
}

// pass states that a stay is one of region id. Whoever joins is given it, and again with
// its session.
func (s *signer) pass(id region.ID, who stay, now time.Time) []byte {
	s.mu.Lock()
	known := s.passes[who]
	s.mu.Unlock()
	if known.lasts(s.ttl, now) {
		return known.grant
	}
	expires := now.Add(s.ttl)
	raw := trust.SignCommission(s.key, trust.Commission{Region: id, To: id, Member: who.member, Lease: who.lease, Expires: expires})
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.passes) >= maxGrants {
		clear(s.passes)
	}
	s.passes[who] = signed{raw, expires}
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
		Children:   s.contacts.peers(r, slices.Concat(r.Children(id, m), r.Leaving(id, m))),
		Dependents: s.contacts.peers(r, warmDependents(r, id, m)),
	}
	if node.Parent == "" {
		return role // the root draws from nobody, and has no standbys
	}
	child := stay{m, self.Lease}
	keys := []grantKey{{id, child, node.Parent, false}}
	for _, standby := range warm(node) {
		keys = append(keys, grantKey{id, child, standby, true})
	}
	for i, grant := range s.sign(r, keys, now) {
		up := &skeinv1.Upstream{Peer: s.contacts.peer(r, keys[i].parent), Grant: grant}
		if i == 0 {
			role.Parent = up
		} else {
			role.Standbys = append(role.Standbys, up)
		}
	}
	return role
}

func peerOf(r *region.Region, id region.MemberID) *skeinv1.Peer {
	m, _ := r.Member(id)
	return &skeinv1.Peer{Id: string(id), Lease: uint64(m.Lease), Endpoint: skeinv1.FromEndpoint(m.Endpoint)}
}

// warmStandbys is how many standbys a member keeps links to. Two repair nearly
// every loss; the others are places that are kept for it, and every link costs
// a handshake and heartbeats.
const warmStandbys = 2

func warm(n region.Node) []region.MemberID { return n.Standbys[:min(len(n.Standbys), warmStandbys)] }

// warmDependents are the members that keep a link to m as their standby.
func warmDependents(r *region.Region, id region.StreamID, m region.MemberID) []region.MemberID {
	return r.DependentsAmong(id, m, warmStandbys)
}
