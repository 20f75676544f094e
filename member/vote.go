package member

import (
	"time"

	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// leastRegret is what a member must be able to save for it to be worth saying.
const leastRegret = 5 * time.Millisecond

// regret is how much better this member could have it by what it knows: the part
// of its delay, over all its streams, that another neighbour with room would save.
// Delays assume that clocks agree; where they do not, all neighbours are wrong
// alike.
func (n *Node) regret() *skeinv1.Vote {
	type place struct {
		parent region.MemberID
		delay  time.Duration
		rate   region.Rate
	}
	mine := map[region.StreamID]place{}
	for _, st := range n.relay.Stats().Streams {
		if st.Parent != "" && st.DelayNow > 0 {
			mine[st.Stream.ID] = place{st.Parent, st.DelayNow, st.Stream.Rate(region.AllLayers)}
		}
	}
	best := map[region.StreamID]time.Duration{}
	for _, b := range n.relay.Neighbours() {
		p, placed := mine[b.Stream]
		rtt, known := n.rtts.rtt(b.Peer)
		if !placed || !known || b.Peer == p.parent || b.Mine || b.Delay == 0 || b.Free < p.rate {
			continue
		}
		d := b.Delay + region.DefaultForward + rtt/2
		if old, ok := best[b.Stream]; !ok || d < old {
			best[b.Stream] = d
		}
	}
	var all, saved time.Duration
	for id, p := range mine {
		all += p.delay
		if d, ok := best[id]; ok && p.delay-d > leastRegret {
			saved += p.delay - d
		}
	}
	if all == 0 {
		return &skeinv1.Vote{}
	}
	return &skeinv1.Vote{RegretPermille: uint32(1000 * saved / all)}
}
