package coordinator

import (
	"cmp"
	"slices"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// aimHubs is how many possible parents of a tree are considered, aimPeers how
	// many of them a member is asked to measure the way to at a time, aimMembers
	// how many members are asked.
	aimHubs, aimPeers, aimMembers = 48, 2, 64
)

// aim has the ways measured that the planner would like to know: of members to
// possible parents that would be better than what they have if the guess is right.
// What gossip measures comes by itself, but in no order.
func (o *reorganiser) aim(r *region.Region, now time.Time) {
	known := o.rtts.view(now)
	type hope struct {
		member region.MemberID
		peers  []*skeinv1.Peer
		worth  time.Duration
	}
	hopes := map[region.MemberID]*hope{}
	for s := range r.Streams() {
		hubs := hubsOf(r, s)
		for n := range r.Nodes(s.ID) {
			if n.Parent == "" {
				continue
			}
			mine, _ := r.Delay(s.ID, n.Member)
			for _, h := range hubs {
				guess, measured := known.RTT(n.Member, h.id)
				worth := mine - h.delay - guess/2
				if measured || h.id == n.Member || worth <= 0 {
					continue
				}
				x := hopes[n.Member]
				if x == nil {
					x = &hope{member: n.Member}
					hopes[n.Member] = x
				}
				if len(x.peers) < aimPeers {
					x.peers = append(x.peers, peerOf(r, h.id))
					x.worth += worth
				}
			}
		}
	}
	list := make([]*hope, 0, len(hopes))
	for _, x := range hopes {
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b *hope) int {
		return cmp.Or(cmp.Compare(b.worth, a.worth), cmp.Compare(a.member, b.member))
	})
	for _, x := range list[:min(len(list), aimMembers)] {
		o.hub.probe(x.member, x.peers)
	}
}

// A hubNode is a possible parent, and when a child of it would have the stream less
// the way to it.
type hubNode struct {
	id    region.MemberID
	delay time.Duration
}

// hubsOf lists who feeds or could feed others in a tree, the earliest first.
func hubsOf(r *region.Region, s region.Stream) []hubNode {
	var hubs []hubNode
	for n := range r.Nodes(s.ID) {
		m, _ := r.Member(n.Member)
		if m.Uplink < s.Rate(n.Layers) {
			continue
		}
		d, _ := r.Delay(s.ID, n.Member)
		hubs = append(hubs, hubNode{n.Member, d + m.Forward})
	}
	slices.SortFunc(hubs, func(a, b hubNode) int {
		return cmp.Or(cmp.Compare(a.delay, b.delay), cmp.Compare(a.id, b.id))
	})
	return hubs[:min(len(hubs), aimHubs)]
}
