package region

import (
	"slices"
	"time"
)

// Penalties that order the classes of standbys; far above any delay.
const (
	sharedFate  = 4 * time.Hour // would be orphaned by the same failure
	withoutRoom = 2 * time.Hour
	sameBranch  = time.Hour // hangs below the same child of the root as a standby chosen before
)

// enoughStandbys is how many a node must lack before it is given new ones, so
// that one loss does not rewrite the standbys of a whole tree.
const enoughStandbys = 3

// chooseStandbys fills up the standbys of the node at position v of s, keeping
// those in keep. The order is that in which they are to be tried.
//
// A good standby survives what v may lose (the parent and all below it), has
// room that nobody else needs at the same time, is near, and fails together
// with none of the others.
func (r *Region) chooseStandbys(s *survey, v int, keep []slot, gone []slot, rtt RTT) []slot {
	n := s.order[v]
	if n.parent == none {
		return nil
	}
	want := min(max(r.Policy.Standbys, 2), MaxStandbys)
	chosen := append(make([]slot, 0, want), keep[:min(len(keep), want)]...)
	candidates := r.standbyCandidates(s, v, gone, rtt)
	for len(chosen) < want {
		best, bestPrice := -1, time.Duration(0)
		for i, c := range candidates {
			if slices.Contains(chosen, s.order[c.pos].member) {
				continue
			}
			price := c.price
			for _, o := range chosen {
				if s.sharesBranch(c.pos, s.at(o)) {
					price += sameBranch
					break
				}
			}
			if best < 0 || price < bestPrice ||
				price == bestPrice && r.name(s.order[c.pos].member) < r.name(s.order[candidates[best].pos].member) {
				best, bestPrice = i, price
			}
		}
		if best < 0 {
			break
		}
		chosen = append(chosen, s.order[candidates[best].pos].member)
	}
	return chosen
}

type standbyCandidate struct {
	pos   int
	price time.Duration
}

func (r *Region) standbyCandidates(s *survey, v int, gone []slot, rtt RTT) []standbyCandidate {
	n := s.order[v]
	parent := s.at(n.parent)
	rate := s.t.rate(n)
	candidates := make([]standbyCandidate, 0, len(s.order))
	for i, x := range s.order {
		m := r.members.at(x.member)
		if x.member == n.parent || slices.Contains(gone, x.member) || s.below(i, v) || n.layers&^x.layers != 0 || uint64(m.capacity()) < rate {
			continue
		}
		price := s.cost[i] + s.toll[i]
		if parent > 0 && s.below(i, parent) {
			price += sharedFate
		}
		// Room that is pledged to children of other parents counts: they and v
		// are not orphaned together.
		if pledged := m.pledged(n.parent); uint64(m.free()) < pledged+rate {
			price += withoutRoom
		} else {
			// Spread over room: each node that already relies on x makes it less
			// attractive, the more so the less it can carry.
			price += time.Duration(len(x.dependents)) * time.Millisecond * time.Duration(rate) / time.Duration(m.free())
		}
		candidates = append(candidates, standbyCandidate{i, price})
	}
	// Only the cheapest are worth asking for an RTT.
	const shortlist = 24
	if len(candidates) > shortlist {
		slices.SortFunc(candidates, func(a, b standbyCandidate) int {
			if a.price != b.price {
				return int(min(max(a.price-b.price, -1), 1))
			}
			return a.pos - b.pos
		})
		candidates = candidates[:shortlist]
	}
	for i := range candidates {
		candidates[i].price += r.hop(rtt, s.order[candidates[i].pos].member, n.member)
	}
	return candidates
}

// sharesBranch says whether two nodes hang below the same child of the root.
func (s *survey) sharesBranch(a, b int) bool {
	return a > 0 && b > 0 && s.branch(a) == s.branch(b)
}

func (s *survey) branch(i int) int {
	for s.order[i].parent != s.t.root {
		i = s.at(s.order[i].parent)
	}
	return i
}

// repair brings the standbys of tree ti in order again: those that have become
// useless are dropped (gone counts as useless), those who have too few get more.
// At most tended nodes that are not in disorder are looked after besides.
func (d *draft) repair(ti slot, gone []slot, now time.Time, rtt RTT) error {
	t := d.trees.at(ti)
	if t == nil {
		return nil
	}
	s := d.survey(t, now)
	tended := 0
	const mostTended = 4
	// Begin elsewhere each time, so that everybody's turn comes.
	first := int(uint64(d.revision) % uint64(len(s.order)))
	for i := range s.order {
		v := (first + i) % len(s.order)
		n := s.order[v]
		if v == 0 || slices.Contains(gone, n.member) {
			continue
		}
		keep := make([]slot, 0, MaxStandbys)
		for _, x := range n.standbys {
			if i := s.at(x); i >= 0 && x != n.parent && !slices.Contains(gone, x) && !s.below(i, v) && n.layers&^s.order[i].layers == 0 {
				keep = append(keep, x)
			}
		}
		lost := len(keep) < len(n.standbys)
		if len(keep) < min(enoughStandbys, len(s.order)-2) && (lost || tended < mostTended) {
			if !lost {
				tended++
			}
			keep = d.chooseStandbys(s, v, keep, gone, rtt)
		}
		if !slices.Equal(keep, n.standbys) {
			if err := d.do(SetStandbys{t.stream.ID, d.name(n.member), d.names(keep)}); err != nil {
				return err
			}
			s.order[v] = d.trees.at(ti).nodes.at(n.member)
		}
	}
	return nil
}
