package coordinator

import (
	"maps"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
)

// yieldAfter is how long an edge may cross the border of a division that nobody moves
// before its member is let go with those who feed it.
const yieldAfter = 2 * time.Second

// A division under way is the leader's intention: who goes, and which gateways are
// left behind. Only what was cut is in the log.
type division struct {
	region.Division
	// goes says of the members whose side is known whether they go. It is not changed
	// once it is published.
	goes map[region.MemberID]bool
	// shy are those who have not agreed to moves.
	shy reluctance
	// crossing is since when edges cross the border that are not being moved, and yielded
	// who has changed sides because of one.
	crossing map[site]time.Time
	yielded  map[site]bool
}

func newDivision(r *region.Region, by region.Division) *division {
	div := &division{
		Division: by, goes: map[region.MemberID]bool{},
		crossing: map[site]time.Time{}, yielded: map[site]bool{},
	}
	for m := range r.Members() {
		if m.Home == "" {
			div.goes[m.ID] = slices.Contains(by.Members, m.ID)
		}
	}
	return div
}

// publish lets places be given on the sides of a division, see apart.
func (b *boundary) publish(div *division) {
	sides := region.NewSides(div.goes)
	b.sides.Store(&sides)
}

// dividing says whether a division is being prepared.
func (b *boundary) dividing() bool { return b.sides.Load() != nil }

// apart tells who is on the other side than m of a division that is being prepared; nil if
// none is, or it is on neither: its first place decides then.
func (b *boundary) apart(r *region.Region, m region.MemberID) func(region.MemberID) bool {
	if sides := b.sides.Load(); sides != nil {
		return sides.Apart(r, m)
	}
	return nil
}

// adapt brings a division up to date with who came and went: newcomers go with most of
// those who feed them.
func (div *division) adapt(r *region.Region, rtt region.RTT) {
	sides, goes := region.NewSides(div.goes), make(map[region.MemberID]bool, len(div.goes))
	for m := range r.Members() {
		if side, known := sides.Of(r, m.ID); known && m.Home == "" {
			goes[m.ID] = side
		}
	}
	div.settle(r, goes, rtt)
}

// settle makes members go or stay.
func (div *division) settle(r *region.Region, goes map[region.MemberID]bool, rtt region.RTT) {
	div.goes, div.Members = goes, nil
	for m, side := range goes {
		if side {
			div.Members = append(div.Members, m)
		}
	}
	slices.Sort(div.Members)
	div.regate(r, rtt)
}

// yield changes the plan where an edge crosses the border that nobody moves, be it that its
// member will not, or that there is no room: the member goes with those who feed it, or
// becomes the gateway itself. Each does so once.
func (div *division) yield(r *region.Region, crossings []region.Crossing, x region.Untangling, now time.Time) {
	since := div.crossing
	div.crossing = make(map[site]time.Time, len(crossings))
	for _, c := range crossings {
		at := site{c.Stream, c.Member}
		first, known := since[at]
		if !known || c.Moving && !div.shy.unmoved(c.Member) {
			first = now
		}
		div.crossing[at] = first
	}
	for _, c := range crossings {
		at := site{c.Stream, c.Member}
		asked := slices.ContainsFunc(x.Asked, func(steps []region.Step) bool {
			return slices.ContainsFunc(steps, func(s region.Step) bool { return s.Stream == c.Stream && s.Member == c.Member })
		})
		if asked || div.yielded[at] || now.Sub(div.crossing[at]) < yieldAfter {
			continue
		}
		div.crossing[at] = now
		for _, other := range div.others(r, c, x.RTT) {
			moves, left, err := r.Untangle(other.Division, x)
			if err == nil && left <= len(crossings) && (left < len(crossings) || len(moves) > 0) {
				div.Division, div.goes, div.yielded[at] = other.Division, other.goes, true
				return
			}
		}
	}
}

// others are divisions in which an edge would not be in the way.
func (div *division) others(r *region.Region, c region.Crossing, rtt region.RTT) []division {
	goes := maps.Clone(div.goes)
	goes[c.Member] = !goes[c.Member]
	with := division{}
	with.Division = div.Division
	with.settle(r, goes, rtt)
	list := []division{with}
	if s, ok := r.Stream(c.Stream); ok && div.goes[c.Parent] == div.goes[s.Origin] {
		gate := division{Division: div.Division, goes: div.goes}
		gate.Gateways = slices.DeleteFunc(slices.Clone(div.Gateways), func(g region.StreamGateway) bool { return g.Stream == c.Stream })
		gate.Gateways = append(gate.Gateways, region.StreamGateway{Stream: c.Stream, Member: c.Member})
		list = append(list, gate)
	}
	return list
}

// regate chooses a gateway for every tree that needs one and has none. Whoever was
// chosen stays while it can be, for others hang below it by now.
func (div *division) regate(r *region.Region, rtt region.RTT) {
	was := make(map[region.StreamID]region.MemberID)
	for _, g := range div.Gateways {
		was[g.Stream] = g.Member
	}
	div.Gateways = nil
	for s := range r.Streams() {
		var other []region.MemberID
		for n := range r.Nodes(s.ID) {
			if m, _ := r.Member(n.Member); m.Home == "" && div.goes[n.Member] != div.goes[s.Origin] {
				other = append(other, n.Member)
			}
		}
		g := was[s.ID]
		if !slices.Contains(other, g) {
			g = r.BestGateway(s.ID, s.Origin, other, rtt)
		}
		if g != "" {
			div.Gateways = append(div.Gateways, region.StreamGateway{Stream: s.ID, Member: g})
		}
	}
}
