package region

import "slices"

// The books: what follows from the nodes of all trees and is needed at every
// decision. A draft keeps them as it edits; Check recomputes them.

// charge adds (sign +1) or takes away (-1) what the edge to node i and its
// standbys cost others.
func (d *draft) charge(t *tree, i slot, sign int) {
	n := t.nodes.at(i)
	if n.parent == none {
		return
	}
	rate := t.rate(n)
	d.ownMember(n.parent).sending += uint64(sign) * rate
	for _, s := range n.standbys[:min(2, len(n.standbys))] {
		d.ownMember(s).pledge(n.parent, sign, rate)
	}
}

func (m *member) pledge(parent slot, sign int, rate uint64) {
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

// rehang changes node i: its edge, hold and standbys are taken out of the
// accounts and the reverse lists, change is called, and they are put back.
func (d *draft) rehang(ti, i slot, change func(*node)) {
	t := d.ownTree(ti)
	n := d.ownNode(t, i)
	before := *n
	parents := [4]slot{before.parent, before.old, none, none}
	after := before
	change(&after)
	parents[2], parents[3] = after.parent, after.old
	each := func(visit func(slot)) {
		for k, p := range parents {
			if p != none && !slices.Contains(parents[:k], p) {
				visit(p)
			}
		}
	}
	each(func(p slot) { d.hold(t, p, -1) })
	d.charge(t, i, -1)
	d.refer(t, &before, without)
	after.children, after.movers, after.dependents = n.children, n.movers, n.dependents
	*n = after
	d.refer(t, &after, with)
	d.charge(t, i, +1)
	each(func(p slot) { d.hold(t, p, +1); d.touch(p) })
}

// refer enters n in, or removes it from, the reverse lists of those it names.
func (d *draft) refer(t *tree, n *node, set func([]slot, slot) []slot) {
	if n.parent != none {
		p := d.ownNode(t, n.parent)
		p.children = set(p.children, n.member)
	}
	if n.old != none {
		o := d.ownNode(t, n.old)
		o.movers = set(o.movers, n.member)
	}
	for _, s := range n.standbys {
		x := d.ownNode(t, s)
		x.dependents = set(x.dependents, n.member)
	}
}
