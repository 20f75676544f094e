package region

import (
	"cmp"
	"slices"
	"time"
)

// Penalties that order the classes of standbys; far above any delay.
const (
	sharedFate  = 4 * MaxDelay // would be orphaned by the same failure
	withoutRoom = 2 * MaxDelay
	sameBranch  = MaxDelay // hangs below the same child of the root as one chosen before
)

const (
	// enoughStandbys is how many a node must have fewer of before it is given
	// new ones, so that one loss does not rewrite the standbys of a whole tree.
	enoughStandbys = 3
	// mostTended is how many nodes that have lost nothing are looked after at
	// every decision, because they could have better standbys.
	mostTended = 3
	// reliance is the price of a standby on which as many nodes rely as it has
	// room for. When a tenth of the members fails at once several of them come:
	// at 1 ms the first two standbys healed 87 % of the orphans (PlanetLab, mixed
	// slots), at 50 ms 99 %.
	reliance = 50 * time.Millisecond
)

// A reserve is a node that could be standby of another one.
type reserve struct {
	at    int
	price time.Duration
}

// chooseStandbys fills up the standbys of the node at position v, keeping those
// in keep. The order is that in which they are to be tried.
//
// A good standby survives what v may lose (its parent and all below it), has
// room that nobody else needs at the same time, is near, and fails together
// with none of the others.
func (r *Region) chooseStandbys(s *survey, v int, keep, gone []slot, rtt RTT) []slot {
	want := min(max(r.Policy.Standbys, 2), MaxStandbys)
	chosen := append(make([]slot, 0, MaxStandbys), keep...)
	candidates := r.reserves(s, v, gone, rtt)
	for len(chosen) < want {
		best, least := none, time.Duration(0)
		for _, c := range candidates {
			m := s.order[c.at].member
			if slices.Contains(chosen, m) {
				continue
			}
			price := c.price
			if slices.ContainsFunc(chosen, func(o slot) bool { return s.sharesBranch(c.at, s.at(o)) }) {
				price += sameBranch
			}
			if best == none || price < least || price == least && r.name(m) < r.name(best) {
				best, least = m, price
			}
		}
		if best == none {
			break
		}
		chosen = append(chosen, best)
	}
	return chosen
}

// reserves lists the nodes that could be standbys of the one at position v, but
// of many in one branch only the cheapest.
func (r *Region) reserves(s *survey, v int, gone []slot, rtt RTT) []reserve {
	n := s.order[v]
	parent, rate := s.at(n.parent), s.t.rate(n)
	all := make([]reserve, 0, len(s.order))
	for i, x := range s.order {
		m := r.members.at(x.member)
		if x.member == n.parent || s.below(i, v) || n.layers&^x.layers != 0 || uint64(m.capacity()) < rate || slices.Contains(gone, x.member) {
			continue
		}
		price := s.cost[i] + s.toll[i]
		if parent > 0 && s.below(i, parent) {
			price += sharedFate
		}
		if !m.takes(n, rate, x.member) {
			price += withoutRoom
		} else {
			// Spread over room: who already rely on x make it less attractive.
			price += time.Duration(len(x.dependents)) * reliance * time.Duration(rate) / time.Duration(m.free())
		}
		all = append(all, reserve{i, price})
	}
	slices.SortFunc(all, func(a, b reserve) int {
		return cmp.Or(cmp.Compare(a.price, b.price), cmp.Compare(a.at, b.at))
	})
	// Only the cheapest are worth asking for an RTT.
	const shortlist, perBranch = 24, 8
	short := make([]reserve, 0, shortlist)
	for _, c := range all {
		same := 0
		for _, o := range short {
			if s.sharesBranch(c.at, o.at) {
				same++
			}
		}
		if same < perBranch {
			c.price += r.caution(rtt, s.order[c.at].member, n.member)
			short = append(short, c)
		}
		if len(short) == shortlist {
			break
		}
	}
	return short
}

// takes says whether m has room for n, were the parent of n to fail. What is
// pledged to siblings of n is needed at the same time; what is pledged to the
// children of others is not.
func (m *member) takes(n *node, rate uint64, self slot) bool {
	need := m.pledged(n.parent)
	if i := slices.Index(n.standbys, self); i != 0 && i != 1 {
		need += rate
	}
	return uint64(m.free()) >= need
}

// sound is the soundness of standbys both of which have room, in two branches.
const sound = 5

// soundness weighs the first two of standbys for n: their room first, and then
// whether one failure could take both.
func (r *Region) soundness(s *survey, n *node, standbys []slot) int {
	standbys = standbys[:min(2, len(standbys))]
	points := 0
	for _, x := range standbys {
		if r.members.at(x).takes(n, s.t.rate(n), x) {
			points += 2
		}
	}
	if len(standbys) < 2 || !s.sharesBranch(s.at(standbys[0]), s.at(standbys[1])) {
		points++
	}
	return points
}

// Tend decides better standbys for some of the nodes of s whose standbys have no
// room any more or could fail together. Decisions see to it by the way, but only
// to a few nodes each; a tree that has come to rest is tended in its quiet time.
// turn numbers the calls, so that everybody's turn comes.
func (r *Region) Tend(s StreamID, turn int, now time.Time, rtt RTT) []Edit {
	d := r.draft()
	if d.tend(d.streamIDs.slot(s), nil, turn, now, rtt) != nil || d.verify() != nil {
		return nil
	}
	return d.edits
}

// repair brings the standbys of tree ti in order again: those that have become
// useless are dropped (gone counts as useless), those who have too few get more,
// and some of those whose standbys ran out of room get others.
func (d *draft) repair(ti slot, gone []slot, now time.Time, rtt RTT) error {
	return d.tend(ti, gone, int(d.revision), now, rtt)
}

// tend is repair that begins elsewhere each turn.
func (d *draft) tend(ti slot, gone []slot, turn int, now time.Time, rtt RTT) error {
	t := d.trees.at(ti)
	if t == nil {
		return nil
	}
	s := d.survey(t, now)
	enough := min(enoughStandbys, len(s.order)-2)
	tended := 0
	// Begin elsewhere each time, so that everybody's turn comes.
	first := int(uint(turn) % uint(len(s.order)))
	for i := range s.order {
		v := (first + i) % len(s.order)
		n := s.order[v]
		if v == 0 || slices.Contains(gone, n.member) {
			continue
		}
		keep, standbys := d.useful(s, v, gone), n.standbys
		lost := len(keep) < len(standbys) || slices.Contains(d.suspects, suspect{ti, n.member})
		switch {
		case len(keep) < enough && (lost || tended < mostTended):
			standbys = d.chooseStandbys(s, v, keep, gone, rtt)
			tended++
		case len(keep) < len(standbys):
			standbys = slices.Clone(keep)
		case tended < mostTended && d.soundness(s, n, standbys) < sound:
			others := d.chooseStandbys(s, v, nil, gone, rtt)
			if d.soundness(s, n, others) > d.soundness(s, n, standbys) {
				standbys = others
			}
			tended++
		}
		if slices.Equal(standbys, n.standbys) {
			continue
		}
		if err := d.do(SetStandbys{t.stream.ID, d.name(n.member), d.names(standbys)}); err != nil {
			return err
		}
		s.order[v] = d.trees.at(ti).nodes.at(n.member)
	}
	return nil
}

// useful are the standbys of the node at position v that can still serve it;
// valid until the next call.
func (d *draft) useful(s *survey, v int, gone []slot) []slot {
	n := s.order[v]
	d.kept = d.kept[:0]
	for _, x := range n.standbys {
		i := s.at(x)
		if i >= 0 && x != n.parent && !s.below(i, v) && n.layers&^s.order[i].layers == 0 && !slices.Contains(gone, x) {
			d.kept = append(d.kept, x)
		}
	}
	return d.kept
}
