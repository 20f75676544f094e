package region

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	// splitRoom is how much uplink either side of a division must have, of what it
	// needs: beyond it there is none for standbys and moves.
	splitRoom = 1.2
	// splitShare of the members is the least that a side may have.
	splitShare = 0.25
	// splitCoordinators is how many nodes that can coordinate a side must have.
	splitCoordinators = 3
)

// Halve chooses who goes when a region is divided: the members on one side of a
// plane across the longest extent of the region, such that both sides come out
// alike in uplink. at tells where a member stands, in a space whose distances are
// round-trip times, nil if that is not known: then it counts as in the middle.
// able tells who could coordinate; nil = everybody. others can, too, on either side, and
// are no members. ErrLimit says that no plane
// gives both sides enough. The answer is by ID.
func (r *Region) Halve(at func(MemberID) []float64, able func(MemberID) bool, others int) ([]MemberID, error) {
	var homed []Member
	for m := range r.Members() {
		if m.Home == "" {
			homed = append(homed, m)
		}
	}
	along := principal(homed, at)
	order := make([]int, len(homed))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(along[a], along[b]), cmp.Compare(homed[a].ID, homed[b].ID))
	})
	low, high := newSide(r, others), newSide(r, others)
	for _, i := range order {
		high.add(homed[i], able, 1)
	}
	least := max(1, int(math.Ceil(splitShare*float64(len(homed)))))
	best, most := -1, math.Inf(1)
	for k, i := range order[:max(0, len(order)-1)] {
		high.add(homed[i], able, -1)
		low.add(homed[i], able, 1)
		if n := k + 1; n < least || len(order)-n < least || !low.suffices() || !high.suffices() {
			continue
		}
		if uneven := math.Abs(low.surplus() - high.surplus()); uneven < most {
			best, most = k, uneven
		}
	}
	if best < 0 {
		return nil, fmt.Errorf("divide region %s of %d members: no cut leaves both sides with a quarter of the members, %.1f times the uplink they need and %d nodes that can coordinate: %w",
			r.id, len(homed), splitRoom, splitCoordinators, ErrLimit)
	}
	var goes []MemberID
	for _, i := range order[best+1:] {
		goes = append(goes, homed[i].ID)
	}
	slices.Sort(goes)
	return goes, nil
}

// A side adds up what its members give and take.
type side struct {
	r      *Region
	uplink float64
	able   int
	// need is what all its places draw together: a little more than it must send,
	// since origins draw nothing, and as much as one copy to another gateway.
	need float64
}

func newSide(r *Region, able int) *side { return &side{r: r, able: able} }

// add takes a member in, or, with sign -1, out again.
func (s *side) add(m Member, able func(MemberID) bool, sign int) {
	s.uplink += float64(sign) * float64(m.Uplink-m.Leaf)
	if able == nil || able(m.ID) {
		s.able += sign
	}
	i := s.r.memberIDs.slot(m.ID)
	for _, t := range s.r.placesOf(i) {
		s.need += float64(sign) * float64(t.rate(t.nodes.at(i)))
	}
}

func (s *side) surplus() float64 { return s.uplink - s.need }

func (s *side) suffices() bool {
	return s.able >= splitCoordinators && s.uplink >= splitRoom*s.need
}

// principal is where members stand along the axis of their greatest extent. It
// chooses nothing: equal members and positions give equal answers.
func principal(members []Member, at func(MemberID) []float64) []float64 {
	points := make([][]float64, len(members))
	var middle []float64
	known := 0.0
	for i, m := range members {
		points[i] = at(m.ID)
		if points[i] == nil {
			continue
		}
		if middle == nil {
			middle = make([]float64, len(points[i]))
		}
		for k := range min(len(middle), len(points[i])) {
			middle[k] += points[i][k]
		}
		known++
	}
	for k := range middle {
		middle[k] /= known
	}
	for i, p := range points {
		points[i] = make([]float64, len(middle))
		for k := range min(len(p), len(middle)) {
			points[i][k] = p[k] - middle[k]
		}
	}
	// The power method; the first direction favours no axis by much.
	axis := make([]float64, len(middle))
	for k := range axis {
		axis[k] = 1 + float64(k)/16
	}
	const rounds = 100
	for range rounds {
		next := make([]float64, len(axis))
		for _, p := range points {
			dot := product(p, axis)
			for k := range p {
				next[k] += dot * p[k]
			}
		}
		length := math.Sqrt(product(next, next))
		if length == 0 {
			break
		}
		for k := range next {
			axis[k] = next[k] / length
		}
	}
	along := make([]float64, len(points))
	for i, p := range points {
		along[i] = product(p, axis)
	}
	return along
}

func product(a, b []float64) float64 {
	sum := 0.0
	for k := range a {
		sum += a[k] * b[k]
	}
	return sum
}

// Divide chooses the gateways for a division of which it is known who goes: in
// each tree with nodes on both sides the one with the least delay from the source
// plus mean delay to all whom it is to serve, among those that can feed two.
func (r *Region) Divide(child ID, members []MemberID, rtt RTT) Division {
	d := Division{Child: child, Members: members}
	goes := make(map[MemberID]bool, len(members))
	for _, m := range members {
		goes[m] = true
	}
	for s := range r.Streams() {
		var other []MemberID
		for n := range r.Nodes(s.ID) {
			m, _ := r.Member(n.Member)
			if m.Home == "" && goes[n.Member] != goes[s.Origin] {
				other = append(other, n.Member)
			}
		}
		if g := r.BestGateway(s.ID, s.Origin, other, rtt); g != "" {
			d.Gateways = append(d.Gateways, StreamGateway{Stream: s.ID, Member: g})
		}
	}
	return d
}

// BestGateway picks who of members should draw a stream from source, which may be
// in another region: the one with the least delay from the source plus mean delay
// to the others. Who cannot feed two others is taken only if nobody can. Empty if
// there are no members; a single one is its own gateway.
func (r *Region) BestGateway(s StreamID, source MemberID, members []MemberID, rtt RTT) MemberID {
	stream, _ := r.Stream(s)
	var best MemberID
	var least time.Duration
	feeds := false
	for _, g := range members {
		m, _ := r.Member(g)
		total, _ := rtt.RTT(source, g)
		total *= time.Duration(len(members))
		for _, other := range members {
			if other != g {
				d, _ := rtt.RTT(g, other)
				total += d
			}
		}
		can := m.Uplink-m.Leaf >= 2*stream.Rate(AllLayers)
		if best == "" || can && !feeds || can == feeds && (total < least || total == least && g < best) {
			best, least, feeds = g, total, can
		}
	}
	return best
}
