package region

import (
	"fmt"
	"slices"
)

// The edits of trees, as methods of a draft.

func (d *draft) putStream(s Stream) error {
	if err := s.Validate(); err != nil {
		return err
	}
	origin := d.memberIDs.slot(s.Origin)
	switch {
	case origin == none:
		return fmt.Errorf("origin %s of stream %s: %w", s.Origin, s.ID, ErrUnknownMember)
	case d.tree(s.ID) != nil:
		return fmt.Errorf("stream %s: %w", s.ID, ErrExists)
	case d.streamIDs.len() >= MaxStreams:
		return fmt.Errorf("streams of a region, %d: %w", MaxStreams, ErrLimit)
	case d.ssrcTaken(s.SSRC):
		return fmt.Errorf("SSRC %d of stream %s: %w", s.SSRC, s.ID, ErrExists)
	}
	s.Layers = slices.Clone(s.Layers)
	i := d.trees.vacant()
	t := &tree{owner: d.owner, stream: s, root: origin, count: 1, latest: [4]slot{origin, origin, origin, origin}}
	t.nodes.set(d.owner, origin, &node{
		owner: d.owner, member: origin, parent: none, old: none, layers: s.all(), state: Standing,
	})
	d.streamIDs = d.streamIDs.with(s.ID, i)
	d.trees.set(d.owner, i, t)
	m := d.ownMember(origin)
	m.places, m.published = with(m.places, i), with(m.published, i)
	return nil
}

func (d *draft) ssrcTaken(ssrc uint32) bool {
	for e := range d.streamIDs.all() {
		if d.trees.at(e.slot).stream.SSRC == ssrc {
			return true
		}
	}
	return false
}

func (d *draft) dropStream(id StreamID) error {
	i := d.streamIDs.slot(id)
	if i == none {
		return fmt.Errorf("%s: %w", id, ErrUnknownStream)
	}
	t := d.trees.at(i)
	t.each(func(n *node) {
		d.charge(t, n, nil, -1)
		d.hold(t, n.member, -1)
		m := d.ownMember(n.member)
		m.places, m.published = without(m.places, i), without(m.published, i)
	})
	d.streamIDs = d.streamIDs.without(id)
	d.trees.set(d.owner, i, nil)
	return nil
}

func (d *draft) setNode(id StreamID, set Node) error {
	ti := d.streamIDs.slot(id)
	t := d.trees.at(ti)
	if t == nil {
		return fmt.Errorf("%s: %w", id, ErrUnknownStream)
	}
	set.Hop, set.OldHop, set.Deadline = exact(set.Hop), exact(set.OldHop), instant(set.Deadline)
	if err := set.validate(t.stream); err != nil {
		return fmt.Errorf("node %s: %w", set.Member, err)
	}
	i := d.memberIDs.slot(set.Member)
	if i == none {
		return fmt.Errorf("node %s: %w", set.Member, ErrUnknownMember)
	}
	next, err := d.resolve(t, set)
	if err != nil {
		return fmt.Errorf("node %s: %w", set.Member, err)
	}
	if err := d.checkEdge(t, i, next); err != nil {
		return err
	}
	if t.nodes.at(i) == nil {
		t = d.ownTree(ti)
		t.nodes.set(d.owner, i, &node{owner: d.owner, member: i, parent: none, old: none})
		t.count++
		m := d.ownMember(i)
		m.places = with(m.places, ti)
	}
	d.rehang(ti, i, next)
	t = d.trees.at(ti)
	t.changed(i)
	for a := i; a != none; a = t.nodes.at(a).parent {
		d.suspect(ti, a)
	}
	for _, x := range t.nodes.at(i).dependents {
		d.suspect(ti, x)
	}
	return nil
}

// resolve turns the names in set into slots of nodes of t. The heir may join
// the tree later, or have left it.
func (d *draft) resolve(t *tree, set Node) (node, error) {
	n := node{
		parent: none, layers: set.Layers, hop: set.Hop, state: set.State, deadline: set.Deadline,
		old: none, oldHop: set.OldHop, heir: set.Heir,
	}
	find := func(what string, id MemberID) (slot, error) {
		s := d.memberIDs.slot(id)
		if t.nodes.at(s) == nil {
			return none, broken("tree", "%s %s is not in the tree", what, id)
		}
		return s, nil
	}
	var err error
	if n.parent, err = find("parent", set.Parent); err != nil {
		return n, err
	}
	if set.Old != "" {
		if n.old, err = find("old parent", set.Old); err != nil {
			return n, err
		}
	}
	n.standbys, err = d.resolveStandbys(t, set.Standbys)
	return n, err
}

func (d *draft) resolveStandbys(t *tree, ids []MemberID) ([]slot, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	standbys := make([]slot, len(ids))
	for k, id := range ids {
		standbys[k] = d.memberIDs.slot(id)
		if t.nodes.at(standbys[k]) == nil {
			return nil, broken("standby", "standby %s is not in the tree", id)
		}
	}
	return standbys, nil
}

// checkEdge checks that member i may become next without a cycle and without
// anybody having to forward what it does not get.
func (d *draft) checkEdge(t *tree, i slot, next node) error {
	switch p := t.nodes.at(next.parent); {
	case i == t.root:
		return broken("tree", "%s is the root", d.name(i))
	case t.below(next.parent, i):
		return broken("tree", "parent %s hangs below %s", d.name(next.parent), d.name(i))
	case next.layers&^p.layers != 0:
		return broken("layers", "%s wants layers %b, its parent %s has %b", d.name(i), next.layers, d.name(p.member), p.layers)
	}
	n := t.nodes.at(i)
	if n == nil || n.layers&^next.layers == 0 {
		return nil
	}
	for _, c := range n.children {
		if t.nodes.at(c).layers&^next.layers != 0 {
			return broken("layers", "child %s draws layers that %s would no longer get", d.name(c), d.name(i))
		}
	}
	return nil
}

func (d *draft) dropNode(id StreamID, m MemberID) error {
	ti := d.streamIDs.slot(id)
	t := d.trees.at(ti)
	if t == nil {
		return fmt.Errorf("%s: %w", id, ErrUnknownStream)
	}
	i := d.memberIDs.slot(m)
	n := t.nodes.at(i)
	switch {
	case n == nil:
		return broken("tree", "%s is not in the tree", m)
	case i == t.root:
		return broken("tree", "%s is the root", m)
	case len(n.children) > 0 || len(n.movers) > 0:
		return broken("tree", "%s still feeds %d nodes", m, len(n.children)+len(n.movers))
	case len(n.dependents) > 0:
		return broken("standby", "%s is still standby of %d nodes", m, len(n.dependents))
	}
	t = d.ownTree(ti)
	if n.old != none {
		still := *n
		still.old, still.oldHop, still.heir = none, 0, ""
		d.rehang(ti, i, still)
		n = t.nodes.at(i)
	}
	if t.stream.Standby == m {
		t.stream.Standby = ""
	}
	d.hold(t, n.parent, -1)
	d.charge(t, n, nil, -1)
	d.refer(t, n, nil, without)
	parent := n.parent
	t.nodes.set(d.owner, i, nil)
	t.count--
	t.changed(parent)
	d.hold(t, parent, +1)
	d.touch(parent)
	x := d.ownMember(i)
	x.places = without(x.places, ti)
	return nil
}

func (d *draft) setStandbys(id StreamID, m MemberID, ids []MemberID) error {
	ti := d.streamIDs.slot(id)
	t := d.trees.at(ti)
	if t == nil {
		return fmt.Errorf("%s: %w", id, ErrUnknownStream)
	}
	i := d.memberIDs.slot(m)
	n := t.nodes.at(i)
	if n == nil || n.parent == none {
		return broken("standby", "%s is no node with a parent", m)
	}
	set := d.export(n)
	set.Standbys = ids
	if err := set.validate(t.stream); err != nil {
		return fmt.Errorf("node %s: %w", m, err)
	}
	standbys, err := d.resolveStandbys(t, ids)
	if err != nil {
		return fmt.Errorf("node %s: %w", m, err)
	}
	next := *n
	next.standbys = standbys
	d.rehang(ti, i, next)
	d.suspect(ti, i)
	return nil
}

func (d *draft) confirm(id StreamID, m MemberID) error {
	ti := d.streamIDs.slot(id)
	t := d.trees.at(ti)
	if t == nil {
		return fmt.Errorf("%s: %w", id, ErrUnknownStream)
	}
	i := d.memberIDs.slot(m)
	n := t.nodes.at(i)
	if n == nil {
		return broken("tree", "%s is not in the tree", m)
	}
	next := *n
	next.stand()
	d.rehang(ti, i, next)
	return nil
}
