package region

import "slices"

// Check verifies all invariants of DESIGN section 4. For tests, and at long
// intervals in production: O(size). It recomputes everything from the nodes, so
// it also finds mistakes in the books a Region keeps.
func (r *Region) Check() error {
	if r.memberIDs.len() > 2*r.maxMembers || r.streamIDs.len() > MaxStreams {
		return broken("limit", "%d members of %d, %d streams of %d", r.memberIDs.len(), r.maxMembers, r.streamIDs.len(), MaxStreams)
	}
	a := audit{
		Region: r, sending: make(map[slot]uint64), pledges: make(map[[2]slot]uint64),
		places: make(map[slot]int), published: make(map[slot]int),
	}
	ssrcs := make(map[uint32]StreamID, r.streamIDs.len())
	for e := range r.streamIDs.all() {
		t := r.trees.at(e.slot)
		if t == nil || t.stream.ID != e.key {
			return broken("books", "stream %s is not where the index says", e.key)
		}
		if other, ok := ssrcs[t.stream.SSRC]; ok {
			return broken("ssrc", "%s and %s share %d", other, e.key, t.stream.SSRC)
		}
		ssrcs[t.stream.SSRC] = e.key
		if err := r.checkTree(t, e.slot); err != nil {
			return err
		}
		a.count(t)
	}
	for e := range r.memberIDs.all() {
		m := r.members.at(e.slot)
		if m == nil || m.ID != e.key {
			return broken("books", "member %s is not where the index says", e.key)
		}
		if err := a.check(e.slot, m); err != nil {
			return err
		}
	}
	if len(a.pledges) > 0 {
		return broken("books", "%d pledges are missing", len(a.pledges))
	}
	return nil
}

// An audit keeps the books anew.
type audit struct {
	*Region
	sending           map[slot]uint64
	pledges           map[[2]slot]uint64 // by standby and parent
	places, published map[slot]int
}

func (a *audit) count(t *tree) {
	a.published[t.root]++
	t.each(func(n *node) {
		a.places[n.member]++
		a.sending[n.member] += a.held(t, n)
		if n.parent == none {
			return
		}
		a.sending[n.parent] += t.rate(n)
		for _, s := range n.standbys[:min(2, len(n.standbys))] {
			a.pledges[[2]slot{s, n.parent}] += t.rate(n)
		}
	})
}

func (a *audit) check(i slot, m *member) error {
	switch {
	case m.Lease == 0 || m.Home == "" && m.Lease > a.lastLease:
		return broken("lease", "%s holds %d, the last one given is %d", m.ID, m.Lease, a.lastLease)
	case a.sending[i] > uint64(m.capacity()):
		return broken("uplink", "%s sends %d kbit/s of %d", m.ID, a.sending[i], m.capacity())
	case a.sending[i] != m.sending:
		return broken("books", "%s sends %d kbit/s, the books say %d", m.ID, a.sending[i], m.sending)
	case a.places[i] != len(m.places) || a.published[i] != len(m.published):
		return broken("books", "%s has %d places and %d streams, the books say %d and %d",
			m.ID, a.places[i], a.published[i], len(m.places), len(m.published))
	}
	for _, p := range m.pledges {
		if a.pledges[[2]slot{i, p.parent}] != p.rate {
			return broken("books", "%s pledged %d kbit/s for the children of %s", m.ID, p.rate, a.name(p.parent))
		}
		delete(a.pledges, [2]slot{i, p.parent})
	}
	return nil
}

func (r *Region) checkTree(t *tree, ti slot) error {
	id := t.stream.ID
	root := t.nodes.at(t.root)
	if root == nil || root.parent != none || r.name(t.root) != t.stream.Origin {
		return broken("tree", "%s: the root is not its origin", id)
	}
	if err := t.stream.Validate(); err != nil {
		return err
	}
	if s := t.stream.Standby; s != "" && (s == t.stream.Origin || t.nodes.at(r.memberIDs.slot(s)) == nil) {
		return broken("gateway", "%s: %s is no standby of %s", id, s, t.stream.Origin)
	}
	var err error
	count := 0
	t.each(func(n *node) {
		count++
		if err == nil {
			err = r.checkNode(t, ti, n)
		}
	})
	if err == nil && count != t.count {
		err = broken("books", "%s has %d nodes, the books say %d", id, count, t.count)
	}
	return err
}

func (r *Region) checkNode(t *tree, ti slot, n *node) error {
	id, name := t.stream.ID, r.name(n.member)
	if name == "" || !slices.Contains(r.members.at(n.member).places, ti) {
		return broken("books", "%s: node %d is not among the places of its member", id, n.member)
	}
	steps := 0
	for a := n; a.member != t.root; a = t.nodes.at(a.parent) {
		if steps++; steps > t.count || a.parent == none || t.nodes.at(a.parent) == nil {
			return broken("tree", "%s: %s does not reach the root", id, name)
		}
	}
	for _, c := range n.children {
		if x := t.nodes.at(c); x == nil || x.parent != n.member {
			return broken("books", "%s: %s is no child of %s", id, r.name(c), name)
		}
	}
	for _, c := range n.movers {
		if x := t.nodes.at(c); x == nil || x.old != n.member {
			return broken("books", "%s: %s is not leaving %s", id, r.name(c), name)
		}
	}
	for _, c := range n.dependents {
		if x := t.nodes.at(c); x == nil || !slices.Contains(x.standbys, n.member) {
			return broken("books", "%s: %s has no standby %s", id, r.name(c), name)
		}
	}
	if n.parent == none {
		return nil
	}
	if err := r.export(n).validate(t.stream); err != nil {
		return err
	}
	p := t.nodes.at(n.parent)
	switch {
	case !slices.Contains(p.children, n.member):
		return broken("books", "%s: %s does not know its child %s", id, r.name(p.member), name)
	case n.layers&^p.layers != 0:
		return broken("layers", "%s: %s draws layers that %s does not get", id, name, r.name(p.member))
	case n.old != none && (t.nodes.at(n.old) == nil || !slices.Contains(t.nodes.at(n.old).movers, n.member)):
		return broken("books", "%s: %s is not known as leaving", id, name)
	}
	return r.checkStandbys(t, n)
}

// checkStandbys says whether the standbys of n are of use: none is n, its
// parent, below n, or without the layers that n draws.
func (r *Region) checkStandbys(t *tree, n *node) error {
	for _, s := range n.standbys {
		x := t.nodes.at(s)
		var why string
		switch {
		case x == nil || !slices.Contains(x.dependents, n.member):
			why = "does not know of it"
		case s == n.parent:
			why = "is its parent"
		case t.below(s, n.member):
			why = "hangs below it"
		case n.layers&^x.layers != 0:
			why = "does not get its layers"
		default:
			continue
		}
		return broken("standby", "%s: standby %s of %s %s", t.stream.ID, r.name(s), r.name(n.member), why)
	}
	return nil
}

// each visits the nodes in no order that means anything.
func (t *tree) each(visit func(*node)) {
	for _, k := range t.nodes.chunks {
		if k == nil {
			continue
		}
		for _, n := range k.items {
			if n != nil {
				visit(n)
			}
		}
	}
}
