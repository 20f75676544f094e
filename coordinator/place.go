package coordinator

import (
	"slices"
	"time"

	"github.com/hashicorp/serf/coordinate"

	"github.com/skein-mesh/skein/region"
)

// settledRTT is how many samples make a member's coordinate usable.
const settledRTT = 8

// A place is what is known of one member: its network coordinate, kept up on its
// behalf, and with whom its ways have become longer lately.
type place struct {
	member region.MemberID
	client *coordinate.Client
	coord  *coordinate.Coordinate
	heard  int
	// witnesses are the peers that were measured first; they do not change.
	witnesses []int32
	jumps     map[int32]time.Time
	// moved is when the member's ways became other ones: what was measured
	// before is not known any more.
	moved time.Time
}

func newPlace(m region.MemberID) *place {
	config := coordinate.DefaultConfig()
	// Samples come from many peers under one name, so there is nothing to
	// filter by.
	config.LatencyFilterSize = 1
	client, err := coordinate.NewClient(config)
	if err != nil {
		panic(err) // its own defaults are valid
	}
	return &place{member: m, client: client, coord: client.GetCoordinate()}
}

// jump notes that the way to peer has become longer.
func (p *place) jump(peer int32, now time.Time) {
	if p.jumps == nil {
		p.jumps = map[int32]time.Time{}
	}
	p.jumps[peer] = now
	for other, at := range p.jumps {
		if now.Sub(at) > jumpWindow {
			delete(p.jumps, other)
		}
	}
	if len(p.jumps) >= jumpPeers {
		p.moved = now.Add(-jumpWindow)
	}
}

// meet makes a peer a witness as long as there are few.
func (p *place) meet(peer int32) {
	if len(p.witnesses) < maxWitnesses && !slices.Contains(p.witnesses, peer) {
		p.witnesses = append(p.witnesses, peer)
	}
}

func (p *place) update(other *coordinate.Coordinate, rtt time.Duration) {
	if c, err := p.client.Update("", other, rtt); err == nil {
		p.coord = c
		p.heard++
	}
}

// forget drops peers that have left.
func (p *place) forget(left map[int32]bool) {
	p.witnesses = slices.DeleteFunc(p.witnesses, func(w int32) bool { return left[w] })
	for peer := range p.jumps {
		if left[peer] {
			delete(p.jumps, peer)
		}
	}
}

// A spot is where a member stands by its network coordinate; nil while too little is
// known of it.
type spot struct{ coord *coordinate.Coordinate }

func (p *place) spot() spot {
	if p.heard < settledRTT {
		return spot{}
	}
	return spot{p.coord}
}

// to is the round trip between two spots as far as it can be guessed.
func (s spot) to(o spot) time.Duration {
	if s.coord == nil || o.coord == nil {
		return unknownRTT
	}
	return s.coord.DistanceTo(o.coord)
}
