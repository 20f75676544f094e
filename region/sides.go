package region

// Sides say who is on which side of a division under way. Whoever is not known to be on
// either, say because it came later, is where most of those are who feed it, directly or
// by others.
type Sides struct {
	goes map[MemberID]bool
}

// NewSides are those of members of whom it is known whether they go.
func NewSides(goes map[MemberID]bool) Sides { return Sides{goes} }

// Of says whether a member goes. A visitor, and who is fed by nobody or by both sides
// alike, is on neither.
func (x Sides) Of(r *Region, m MemberID) (goes, known bool) {
	if goes, known = x.goes[m]; known {
		return goes, true
	}
	self, ok := r.Member(m)
	if !ok || self.Home != "" {
		return false, false
	}
	sum := 0
	for s := range r.Places(m) {
		switch goes, known := x.above(r, s, m); {
		case known && goes:
			sum++
		case known:
			sum--
		}
	}
	return sum > 0, sum != 0
}

// above is the side of the next member on the way to the root whose side is known.
func (x Sides) above(r *Region, s StreamID, m MemberID) (goes, known bool) {
	t := r.tree(s)
	for n := t.nodes.at(r.node(s, m).parent); n != nil; n = t.nodes.at(n.parent) {
		if goes, known = x.goes[r.name(n.member)]; known {
			return goes, true
		}
	}
	return false, false
}

// Apart tells who is on the other side than m, see Admission.Apart; nil if m is on neither.
func (x Sides) Apart(r *Region, m MemberID) func(MemberID) bool {
	side, known := x.Of(r, m)
	if !known {
		return nil
	}
	return func(other MemberID) bool {
		goes, known := x.Of(r, other)
		return known && goes != side
	}
}
