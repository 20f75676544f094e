package region

import "slices"

// kept is the room that m keeps free for the first copy of each stream it
// publishes, t excepted. Without it the children of one stream could keep the
// others from ever leaving their origin.
func (r *Region) kept(m slot, t *tree) int64 {
	var sum int64
	for _, i := range r.members.at(m).published {
		x := r.trees.at(i)
		if x != t && len(x.nodes.at(m).children) == 0 {
			sum += int64(x.stream.Rate(x.stream.all()))
		}
	}
	return sum
}

// makeRoom moves a child of another stream away from the origin of a tree that
// nobody could join yet, because the origin was full before it published the
// stream. The room is there when the child has confirmed its new parent; until
// then the newcomer is refused and comes again.
func (c *candidacy) makeRoom() []Edit {
	root := c.k.t.root
	if c.k.t.count > 1 || c.leaves(root) {
		return nil
	}
	for _, ti := range c.members.at(root).places {
		children := c.largestFirst(ti, root, c.now)
		slices.Reverse(children)
		for _, child := range children {
			if edits := c.moveAway(ti, child, root); edits != nil {
				return edits
			}
		}
	}
	return nil
}

// leaves says whether somebody is about to leave p already.
func (r *Region) leaves(p slot) bool {
	for _, i := range r.members.at(p).places {
		if t := r.trees.at(i); r.held(t, t.nodes.at(p)) > 0 {
			return true
		}
	}
	return false
}

// moveAway moves a child of parent elsewhere, if that frees what the newcomer
// needs; nil if it does not, or there is no other place.
func (c *candidacy) moveAway(ti, child, parent slot) []Edit {
	t := c.trees.at(ti)
	n := t.nodes.at(child)
	if room := c.room(c.k.t, c.k.order[0], nil, nil); n.old != none || room+t.rate(n) < c.k.need {
		return nil
	}
	k := c.seek(c.survey(t, c.now), child, n.layers, c.now, c.rtt)
	defer k.survey.done()
	k.avoid = []slot{parent}
	at, ok := k.best()
	if !ok {
		return nil
	}
	saved := c.draft.fork()
	err := c.hang(ti, child, k.order[at.parent].member, hanging{
		layers: n.layers, hop: c.hop(c.rtt, child, k.order[at.parent].member), state: Reserved, deadline: c.deadline, hold: true,
	})
	if err == nil && at.displaced >= 0 {
		err = c.displace(ti, k, at.displaced, c.deadline, c.rtt)
	}
	if err == nil {
		err = c.repair(ti, nil, c.now, c.rtt)
	}
	if err == nil {
		err = c.verify()
	}
	if err != nil {
		c.draft = saved
		return nil
	}
	return c.edits
}
