package region

import "slices"

// An orphan may inherit the place of the parent it lost, if the parent of that
// one is its standby: it is fed from there already, and the lost one no more.
// Whether that is really gone is not for one of its children to say. It is given
// the first of its own standbys that has room, moves there without a gap if it
// lives, and is dropped with its stay if it does not.

// lost is the parent that an orphan says it has lost; none if that is not it.
func (c *candidacy) lost() slot {
	if c.cause != Orphaned || c.k.at < 0 {
		return none
	}
	return c.k.order[c.k.at].parent
}

// inherits says whether the place under the node at position at can only be had,
// and can be had, by the orphan taking over that of its lost parent.
func (c *candidacy) inherits(at place) bool {
	lost := c.lost()
	if lost == none {
		return false
	}
	p, above := c.k.order[c.k.survey.at(lost)], c.k.order[at.parent].member
	if p.parent != above || p.state != Standing || !c.settled(c.k.t, p) || !slices.Contains(c.k.order[c.k.at].standbys, above) {
		return false
	}
	s := c.k.free(at.parent)
	if s.judge() != Full {
		return false
	}
	s.room += c.k.t.rate(p)
	return s.judge() == 0 && c.refuge(p) != none
}

// refuge is the first standby of n that has room for it; none if there is none.
func (c *candidacy) refuge(n *node) slot {
	t := c.trees.at(c.tree)
	for _, x := range n.standbys {
		s := t.nodes.at(x)
		if s == nil || t.below(x, n.member) {
			continue
		}
		if (spot{need: t.rate(n), room: c.room(t, s, n, nil), lacks: n.layers&^s.layers != 0}).judge() == 0 {
			return x
		}
	}
	return none
}

// park hangs the lost parent under its refuge. The orphan has its place by now.
func (c *candidacy) park(lost slot) error {
	t := c.trees.at(c.tree)
	n := t.nodes.at(lost)
	refuge := c.refuge(n)
	if refuge == none {
		return broken("move", "no standby of %s has room", c.name(lost))
	}
	return c.hang(c.tree, lost, refuge, hanging{
		layers: n.layers, hop: c.hop(c.rtt, lost, refuge), state: Reserved, deadline: c.deadline, hold: true, heir: c.name(c.k.member),
	})
}
