package region

import (
	"slices"
	"time"
)

// maxExpired is how many reservations are reversed at a time, or a few more: what
// was decided together stays together. A crowd that nobody confirms in time must
// neither hold up whoever asks for a place nor make a change that no log takes.
const maxExpired = 128

// Overdue reports whether there is a reservation whose deadline is before now.
func (r *Region) Overdue(now time.Time) bool {
	found := false
	for e := range r.streamIDs.all() {
		r.trees.at(e.slot).each(func(n *node) { found = found || n.overdue(now) })
		if found {
			return true
		}
	}
	return false
}

// Expire reverses reservations whose deadline is before now: a node that moved
// goes back to its old parent, one that had none leaves the tree. A node that
// cannot go back, since its old place is taken, keeps the new one. If there are
// many, the latest of each tree are left for another time; see Overdue.
func (r *Region) Expire(now time.Time, rtt RTT) []Edit {
	d := r.draft()
	left := maxExpired
	for e := range r.streamIDs.all() {
		if left <= 0 {
			break
		}
		expired := d.expired(e.slot, now, left)
		if len(expired) == 0 {
			continue
		}
		left -= len(expired)
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

func (n *node) overdue(now time.Time) bool { return n.state == Reserved && n.deadline.Before(now) }

// expired are the members of a tree whose reservations are over: those that ended
// first, until there are limit and the next ended later.
func (d *draft) expired(ti slot, now time.Time, limit int) []slot {
	var over []*node
	d.trees.at(ti).each(func(n *node) {
		if n.overdue(now) {
			over = append(over, n)
		}
	})
	slices.SortFunc(over, func(a, b *node) int { return a.deadline.Compare(b.deadline) })
	var expired []slot
	for i, n := range over {
		if i >= limit && n.deadline.After(over[i-1].deadline) {
			break
		}
		expired = append(expired, n.member)
	}
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
