package region

import (
	"slices"
	"time"
)

// Expire reverses the reservations whose deadline is before now: a node that
// moved goes back to its old parent, one that had none leaves the tree. A node
// that cannot go back, since its old place is taken, keeps the new one.
func (r *Region) Expire(now time.Time, rtt RTT) []Edit {
	d := r.draft()
	for _, e := range r.streamIDs {
		expired := d.expired(e.slot, now)
		if len(expired) == 0 {
			continue
		}
		// Moves that were decided together are reversed together, if possible.
		if whole := d.fork(); whole.reverse(e.slot, expired, now, rtt) {
			d = whole
			continue
		}
		for _, m := range expired {
			if one := d.fork(); one.reverse(e.slot, []slot{m}, now, rtt) {
				d = one
			} else if d.trees.at(e.slot).nodes.at(m) != nil {
				if d.do(Confirm{e.key, d.name(m)}) != nil {
					return nil
				}
			}
		}
	}
	if d.verify() != nil {
		return nil
	}
	return d.edits
}

func (d *draft) expired(ti slot, now time.Time) []slot {
	var expired []slot
	d.trees.at(ti).each(func(n *node) {
		if n.state == Reserved && n.deadline.Before(now) {
			expired = append(expired, n.member)
		}
	})
	return d.inOrder(expired)
}

// reverse undoes the reservations of members; false if that is impossible.
func (d *draft) reverse(ti slot, members []slot, now time.Time, rtt RTT) bool {
	var leaving []slot
	for _, m := range members {
		if n := d.trees.at(ti).nodes.at(m); n != nil && n.old == none {
			leaving = append(leaving, m)
		}
	}
	// A node may only be able to go back after another one did.
	waiting := slices.DeleteFunc(slices.Clone(members), func(m slot) bool { return slices.Contains(leaving, m) })
	for len(waiting) > 0 {
		before := len(waiting)
		waiting = slices.DeleteFunc(waiting, func(m slot) bool {
			n := d.trees.at(ti).nodes.at(m)
			if d.trees.at(ti).below(n.old, m) {
				return false
			}
			h := hanging{layers: n.layers, hop: n.oldHop, state: Standing}
			return d.hang(ti, m, n.old, h) == nil
		})
		if len(waiting) == before {
			return false
		}
	}
	if len(leaving) > 0 && d.unseat(ti, leaving, now, rtt) != nil {
		return false
	}
	return d.repair(ti, nil, now, rtt) == nil && d.verify() == nil
}
