package region

import "time"

// A Self is what a member knows of itself when it ranks the candidates of a View.
type Self struct {
	ID     MemberID
	Free   Rate
	Layers LayerMask
	// Forward is the member's own forwarding time.
	Forward time.Duration
}

// An option is a proposal and its price, as Rank weighs it.
type option struct {
	candidate int
	between   bool
	rtt       time.Duration
	price     time.Duration
}

// Rank orders the places v offers to self, best first, by the same measure the
// coordinators use (with the default Policy), appends at most MaxProposals to
// dst and returns it. rtt overrides the RTTs of the view; nil measures nothing.
// It does not allocate if dst has room.
func Rank(v *View, self Self, rtt func(MemberID) (time.Duration, bool), dst []Proposal) []Proposal {
	layers, err := v.Stream.selects(self.Layers)
	if err != nil {
		return dst
	}
	need := uint64(v.Stream.Rate(layers))
	policy := DefaultPolicy()
	own := policy.Toll(self.Forward, Hazard(0))
	var best [MaxProposals]option
	n := 0
	for i := range v.Candidates {
		c := &v.Candidates[i]
		if c.Member == self.ID || c.Parent == self.ID {
			continue
		}
		d, measured := c.RTT, false
		if rtt != nil {
			d, measured = rtt(c.Member)
			if !measured {
				d = c.RTT
			}
		}
		x := option{candidate: i, rtt: d}
		if d <= 0 {
			d, x.rtt = unknownRTT, 0
		}
		base := c.Delay + policy.Toll(c.Forward, c.Hazard) + d/2
		if (spot{need: need, room: uint64(c.Free)}).judge() == 0 {
			x.price = base
			n = insert(&best, n, x)
		}
		// The view only names a Weakest for which there is room once it moved.
		if c.Weakest == "" || c.Weakest == self.ID || (spot{need: need, room: need, passed: need, spare: uint64(self.Free)}).judge() != 0 {
			continue
		}
		w, ok := c.WeakestRTT, false
		if rtt != nil {
			if w, ok = rtt(c.Weakest); !ok {
				w = c.WeakestRTT
			}
		}
		if w <= 0 {
			w = unknownRTT
		}
		x.between = true
		x.price = base + time.Duration(c.WeakestSubtree)*(d/2+own+w/2-c.WeakestHop)
		n = insert(&best, n, x)
	}
	for _, x := range best[:n] {
		c := &v.Candidates[x.candidate]
		p := Proposal{Parent: c.Member, ParentDelay: c.Delay, RTT: x.rtt}
		if x.between {
			p.Displaced = c.Weakest
		}
		dst = append(dst, p)
	}
	return dst
}

// insert keeps the n best options in order and returns the new n. Among equals
// the earlier candidate comes first.
func insert(best *[MaxProposals]option, n int, x option) int {
	if n == len(best) {
		if x.price >= best[n-1].price {
			return n
		}
		n--
	}
	i := n
	for i > 0 && best[i-1].price > x.price {
		best[i] = best[i-1]
		i--
	}
	best[i] = x
	return n + 1
}
