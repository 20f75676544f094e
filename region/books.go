package region

import (
	"slices"
	"time"
)

// The books: what follows from the nodes of all trees and is needed at every
// decision. A draft keeps them as it edits; Check recomputes them.

// charge adds (sign +1) or takes away (-1) what the edge to n and its standbys cost
// others, but for what is the same with other, which n was or is going to be.
func (d *draft) charge(t *tree, n, other *node, sign int) {
	if n.parent == none {
		return
	}
	rate := t.rate(n)
	var stays []slot
	if other != nil && other.parent == n.parent && t.rate(other) == rate {
		stays = other.relied()
	} else {
		d.ownMember(n.parent).sending += uint64(sign) * rate
	}
	for _, s := range n.relied() {
		if !slices.Contains(stays, s) {
			d.ownMember(s).pledge(n.parent, sign, rate)
		}
	}
}

// relied are the standbys that n counts on, for which room is kept.
func (n *node) relied() []slot { return n.standbys[:min(2, len(n.standbys))] }

func (m *member) pledge(parent slot, sign int, rate uint64) {
	if m.lent {
		m.pledges, m.lent = append(make([]pledge, 0, len(m.pledges)+1), m.pledges...), false
	}
	i := slices.IndexFunc(m.pledges, func(p pledge) bool { return p.parent == parent })
	if i < 0 {
		m.pledges = append(m.pledges, pledge{parent: parent})
		i = len(m.pledges) - 1
	}
	if m.pledges[i].rate += uint64(sign) * rate; m.pledges[i].rate == 0 {
		m.pledges = slices.Delete(m.pledges, i, i+1)
	}
}

// hold adds or takes away what member i, as an old parent, holds for nodes that
// are leaving it.
func (d *draft) hold(t *tree, i slot, sign int) {
	n := t.nodes.at(i)
	if n == nil || len(n.movers) == 0 {
		return
	}
	d.ownMember(i).sending += uint64(sign) * d.held(t, n)
}

// held is what n feeds to nodes that are leaving it.
func (r *Region) held(t *tree, n *node) uint64 {
	var sum uint64
	for _, i := range n.movers {
		sum += r.heldFor(t, t.nodes.at(i))
	}
	return sum
}

// heldFor is what the old parent of n holds for it, beyond what the heir of its
// place draws: a place that is being taken over counts once.
func (r *Region) heldFor(t *tree, n *node) uint64 {
	rate := t.rate(n)
	if n.heir == "" {
		return rate
	}
	if h := t.nodes.at(r.memberIDs.slot(n.heir)); h != nil && h.parent == n.old {
		return rate - min(rate, t.rate(h))
	}
	return rate
}

// rehang makes node i what after says of its edge, hold and standbys: what they were is
// taken out of the accounts and the reverse lists, and what they are is put in.
func (d *draft) rehang(ti, i slot, after node) {
	t := d.ownTree(ti)
	n := d.ownNode(t, i)
	before := *n
	parents := [4]slot{before.parent, before.old, after.parent, after.old}
	for k, p := range parents {
		if p != none && !slices.Contains(parents[:k], p) {
			d.hold(t, p, -1)
		}
	}
	d.charge(t, &before, &after, -1)
	d.refer(t, &before, &after, without)
	after.owner, after.member = n.owner, n.member
	after.children, after.movers, after.dependents = n.children, n.movers, n.dependents
	*n = after
	d.refer(t, n, &before, with)
	d.charge(t, n, &before, +1)
	for k, p := range parents {
		if p != none && !slices.Contains(parents[:k], p) {
			d.hold(t, p, +1)
			d.touch(p)
		}
	}
}

// stand ends a reservation: n draws from its parent, and holds no other place.
func (n *node) stand() {
	n.state, n.deadline, n.old, n.oldHop, n.heir = Standing, time.Time{}, none, 0, ""
}

// nobody names no other node.
var nobody = node{parent: none, old: none}

// refer enters n in, or removes it from, the reverse lists of those it names, but for
// those whom other, which it was or is going to be, names as well.
func (d *draft) refer(t *tree, n, other *node, set func([]slot, slot) []slot) {
	if other == nil {
		other = &nobody
	}
	if n.parent != other.parent && n.parent != none {
		p := d.ownNode(t, n.parent)
		p.children = set(p.children, n.member)
	}
	if n.old != other.old && n.old != none {
		o := d.ownNode(t, n.old)
		o.movers = set(o.movers, n.member)
	}
	for _, s := range n.standbys {
		if !slices.Contains(other.standbys, s) {
			x := d.ownNode(t, s)
			x.dependents = set(x.dependents, n.member)
		}
	}
}
