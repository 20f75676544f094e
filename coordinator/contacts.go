package coordinator

import (
	"slices"
	"sync"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// maxContacts bounds how many members contacts remember; beyond it all are made anew.
const maxContacts = 2 * region.MaxMembers

// contacts are how members are reached, as messages that all who are told share: a
// member is named to many, many times. They must not be changed. The zero value is ready,
// for any goroutine.
type contacts struct {
	mu    sync.Mutex
	known map[region.MemberID]contact
}

type contact struct {
	endpoint region.Endpoint
	message  *skeinv1.Endpoint
}

// endpoint is e, that of m, as a message.
func (c *contacts) endpoint(m region.MemberID, e region.Endpoint) *skeinv1.Endpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, ok := c.known[m]; ok && sameEndpoint(k.endpoint, e) {
		return k.message
	}
	if c.known == nil || len(c.known) >= maxContacts {
		c.known = make(map[region.MemberID]contact)
	}
	k := contact{e, skeinv1.FromEndpoint(e)}
	c.known[m] = k
	return k.message
}

func sameEndpoint(a, b region.Endpoint) bool {
	return a.Key == b.Key && a.Gossip == b.Gossip && slices.Equal(a.Media, b.Media)
}

// peer is a member as others are told of it.
func (c *contacts) peer(r *region.Region, id region.MemberID) *skeinv1.Peer {
	m, _ := r.Member(id)
	return &skeinv1.Peer{Id: string(id), Lease: uint64(m.Lease), Endpoint: c.endpoint(id, m.Endpoint)}
}

// peers are these members, each of them once, by ID.
func (c *contacts) peers(r *region.Region, ids []region.MemberID) []*skeinv1.Peer {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	list := make([]*skeinv1.Peer, len(ids))
	for i, id := range ids {
		list[i] = c.peer(r, id)
	}
	return list
}

// view is v as a message.
func (c *contacts) view(v region.View) *skeinv1.View { return skeinv1.FromViewWith(v, c.endpoint) }
