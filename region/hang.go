package region

import (
	"slices"
	"strings"
	"time"
)

// A hanging says how a node is put in its place.
type hanging struct {
	layers   LayerMask
	hop      time.Duration
	state    State
	deadline time.Time
	// hold keeps the place at the present parent until the node confirms.
	hold bool
	// heir takes over the place that is held.
	heir MemberID
}

// hang puts or moves the node of m in tree ti under parent. The node keeps the
// standbys that can still be of use.
func (d *draft) hang(ti, m, parent slot, h hanging) error {
	t := d.trees.at(ti)
	next := Node{
		Member: d.name(m), Parent: d.name(parent), Layers: h.layers, Hop: h.hop, State: h.state, Deadline: h.deadline,
	}
	if n := t.nodes.at(m); n != nil {
		if old := n.feeding(); h.hold && old != none {
			next.Old, next.OldHop, next.Heir = d.name(old), n.feedingHop(), h.heir
			if old != n.parent {
				next.Heir = n.heir
			}
		}
		for _, s := range n.standbys {
			if s != parent && !t.below(s, m) && h.layers&^t.nodes.at(s).layers == 0 {
				next.Standbys = append(next.Standbys, d.name(s))
			}
		}
	}
	if next.Old == next.Parent {
		// Back to, or still under, the parent it really draws from.
		next.State, next.Old, next.OldHop, next.Heir = Standing, "", 0, ""
	}
	if next.State == Standing {
		next.Deadline, next.Old, next.OldHop, next.Heir = time.Time{}, "", 0, ""
	}
	return d.do(SetNode{t.stream.ID, next})
}

// feeding is the parent that n draws from as far as anybody can tell: the old
// one until it has confirmed the new one.
func (n *node) feeding() slot {
	if n.old != none {
		return n.old
	}
	return n.parent
}

func (n *node) feedingHop() time.Duration {
	if n.old != none {
		return n.oldHop
	}
	return n.hop
}

// unseat takes members out of tree ti. Their children are hung elsewhere: back
// where they are still being fed from, or under their first feasible standby,
// or at the best place; those for whom there is none leave the tree as well.
func (d *draft) unseat(ti slot, gone []slot, now time.Time, rtt RTT) error {
	for i := 0; i < len(gone); i++ {
		if err := d.release(ti, gone[i]); err != nil {
			return err
		}
		for _, c := range d.largestFirst(ti, gone[i]) {
			if slices.Contains(gone, c) {
				continue
			}
			placed, err := d.rescue(ti, c, gone, nil, now, rtt)
			if err != nil {
				return err
			}
			if !placed {
				gone = append(gone, c)
			}
		}
	}
	if err := d.repair(ti, gone, now, rtt); err != nil {
		return err
	}
	for i := len(gone) - 1; i >= 0; i-- {
		if err := d.do(DropNode{d.trees.at(ti).stream.ID, d.name(gone[i])}); err != nil {
			return err
		}
	}
	return nil
}

// release ends the hold of places at m: it feeds nobody any more.
func (d *draft) release(ti, m slot) error {
	t := d.trees.at(ti)
	for _, x := range d.inOrder(t.nodes.at(m).movers) {
		n := d.export(d.trees.at(ti).nodes.at(x))
		n.Old, n.OldHop, n.Heir = "", 0, ""
		if err := d.do(SetNode{t.stream.ID, n}); err != nil {
			return err
		}
	}
	return nil
}

// inOrder sorts a set of members by name.
func (d *draft) inOrder(set []slot) []slot {
	return slices.SortedFunc(slices.Values(set), func(a, b slot) int {
		return strings.Compare(string(d.name(a)), string(d.name(b)))
	})
}

// largestFirst are the children of m, those with most nodes below them first.
func (d *draft) largestFirst(ti, m slot) []slot {
	t := d.trees.at(ti)
	size := func(s slot) int { return t.size(t.nodes.at(s)) }
	children := d.inOrder(t.nodes.at(m).children)
	slices.SortStableFunc(children, func(a, b slot) int { return size(b) - size(a) })
	return children
}

func (t *tree) size(n *node) int {
	size := 1
	for _, c := range n.children {
		size += t.size(t.nodes.at(c))
	}
	return size
}

// rescue finds a new parent for a node that its present one will feed no more.
func (d *draft) rescue(ti, m slot, gone, avoid []slot, now time.Time, rtt RTT) (bool, error) {
	t := d.trees.at(ti)
	n := t.nodes.at(m)
	k := d.seek(d.survey(t, now), m, n.layers, now, rtt)
	k.gone, k.avoid = gone, avoid
	warm := append([]slot{n.old}, n.standbys...)
	for _, p := range warm {
		if p == none || k.avoids(p) {
			continue
		}
		at := k.survey.at(p)
		if at < 0 || k.free(at).judge() != 0 {
			continue
		}
		return true, d.hang(ti, m, p, hanging{layers: n.layers, hop: k.hops[at], state: Standing})
	}
	at, ok := k.best()
	if !ok {
		return false, nil
	}
	deadline := now.Add(d.Policy.Hold)
	err := d.hang(ti, m, k.order[at.parent].member, hanging{
		layers: n.layers, hop: k.hops[at.parent], state: Reserved, deadline: deadline,
	})
	if err == nil && at.displaced >= 0 {
		x := k.order[at.displaced]
		err = d.hang(ti, x.member, m, hanging{
			layers: x.layers, hop: k.hops[at.displaced], state: Reserved, deadline: deadline, hold: true, heir: d.name(m),
		})
	}
	return err == nil, err
}
