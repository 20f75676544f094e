package region

import "time"

// A survey is what follows from a tree as it stands: one pass over the nodes,
// parents before children, so that everything below a node follows it.
type survey struct {
	r     *Region
	t     *tree
	order []*node
	// pos is where a member's node stands in order, plus one; 0 if it has none.
	pos []int32
	// cost of a node is its delay and the price of its ancestors' hazards: what
	// the sum that makes a tree good or bad counts for it.
	cost []time.Duration
	// toll of a node is what its children pay for it, besides the hop.
	toll []time.Duration
	// size counts a node and all below it.
	size []int32
	// branch of a node is the child of the root that it hangs below, or is.
	branch []int32
	// pending is memory for making a survey, hops for the one who seeks a place by it.
	pending []slot
	hops    []time.Duration
}

func (r *Region) survey(t *tree, now time.Time) *survey {
	s := r.work().take()
	s.r, s.t = r, t
	s.order = sized(s.order, t.count)[:0]
	s.pos = sized(s.pos, len(r.members.chunks)*chunkSize)
	clear(s.pos)
	s.cost, s.toll = sized(s.cost, t.count), sized(s.toll, t.count)
	s.size, s.branch = sized(s.size, t.count), sized(s.branch, t.count)
	s.pending = append(sized(s.pending, t.count)[:0], t.root)
	for len(s.pending) > 0 {
		last := len(s.pending) - 1
		n := t.nodes.at(s.pending[last])
		s.pending = append(s.pending[:last], n.children...)
		i := len(s.order)
		s.order = append(s.order, n)
		s.pos[n.member] = int32(i + 1)
		s.size[i] = 1
		s.toll[i] = r.tollOf(r.members.at(n.member), now)
		s.cost[i], s.branch[i] = 0, 0
		if n.parent != none {
			p := s.pos[n.parent] - 1
			s.cost[i] = s.cost[p] + s.toll[p] + n.hop
			s.branch[i] = int32(i)
			if p > 0 {
				s.branch[i] = s.branch[p]
			}
		}
	}
	for i := len(s.order) - 1; i > 0; i-- {
		s.size[s.pos[s.order[i].parent]-1] += s.size[i]
	}
	return s
}

// done gives the memory of a survey that nobody looks at any more to the next one.
func (s *survey) done() {
	w := s.r.Work
	s.r, s.t = nil, nil
	if w != nil {
		w.surveys = append(w.surveys, s)
	}
}

func (r *Region) tollOf(m *member, now time.Time) time.Duration {
	return r.Policy.Toll(m.Forward, Hazard(now.Sub(m.Joined)))
}

// at is the position of member m in s.order, -1 if it has no node.
func (s *survey) at(m slot) int { return int(s.pos[m]) - 1 }

// below says whether the node at position i is the one at a or hangs below it.
func (s *survey) below(i, a int) bool { return i >= a && i < a+int(s.size[a]) }

// falls says whether the node at position i loses its stream with the one at p.
// All do with the origin, and then nothing helps; but where the root is a gateway
// another one takes over, and those below that lose nothing.
func (s *survey) falls(i, p int) bool {
	if p > 0 {
		return s.below(i, p)
	}
	return s.mortal(p) && !s.below(i, s.standbyGateway())
}

// mortal says whether the tree outlives the node at position p.
func (s *survey) mortal(p int) bool { return p > 0 || s.standbyGateway() > 0 }

// standbyGateway is the position of the standby gateway; 0 if there is none.
func (s *survey) standbyGateway() int {
	if i := s.r.memberIDs.slot(s.t.stream.Standby); i != none {
		return max(s.at(i), 0)
	}
	return 0
}

// sharesBranch says whether two nodes hang below the same child of the root.
func (s *survey) sharesBranch(a, b int) bool { return a > 0 && b > 0 && s.branch[a] == s.branch[b] }

// total is the cost of the whole tree.
func (s *survey) total() time.Duration {
	var sum time.Duration
	for _, c := range s.cost {
		sum += c
	}
	return sum
}

// unknownRTT is assumed where neither a measurement nor a guess exists: about
// the median between two places on earth.
const unknownRTT = 130 * time.Millisecond

// hop is half the RTT between two members, as far as rtt knows or guesses it.
func (r *Region) hop(rtt RTT, a, b slot) time.Duration {
	d, _ := rtt.RTT(r.name(a), r.name(b))
	if d <= 0 {
		d = unknownRTT
	}
	return min(d/2, MaxDelay)
}

// caution is hop as it is weighed against others: a guess counts double, for who
// picks the best of many guesses picks those that are most wrong. While members
// join and half of the pairs are unknown, that brings trees on PlanetLab from
// 1.6 to 1.3 times their bound.
func (r *Region) caution(rtt RTT, a, b slot) time.Duration {
	d, measured := rtt.RTT(r.name(a), r.name(b))
	switch {
	case d <= 0:
		d = unknownRTT
	case !measured:
		d *= 2
	}
	return min(d/2, MaxDelay)
}
