package region

import (
	"cmp"
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

// vacate takes member i out of tree ti, whatever it takes: should those below
// it not all find places together, they leave the tree with it.
func (d *draft) vacate(ti, i slot, now time.Time, rtt RTT) error {
	saved := d.fork()
	err := d.unseat(ti, []slot{i}, now, rtt)
	if err == nil {
		err = d.verify()
	}
	if err == nil {
		return nil
	}
	*d = *saved
	t := d.trees.at(ti)
	var all []slot
	for pending := []slot{i}; len(pending) > 0; pending = pending[1:] {
		all = append(all, pending[0])
		pending = append(pending, d.inOrder(t.nodes.at(pending[0]).children)...)
	}
	if err := d.unseat(ti, all, now, rtt); err != nil {
		return err
	}
	return d.verify()
}

// unseat takes members out of tree ti. Their children are hung elsewhere: back
// where they are still being fed from, or under their first feasible standby,
// or at the best place; those for whom there is none leave the tree as well,
// and then it is their children's turn.
func (d *draft) unseat(ti slot, gone []slot, now time.Time, rtt RTT) error {
	for first := 0; first < len(gone); {
		var orphans []slot
		for ; first < len(gone); first++ {
			if err := d.release(ti, gone[first]); err != nil {
				return err
			}
			for _, c := range d.largestFirst(ti, gone[first], now) {
				if !slices.Contains(gone, c) {
					orphans = append(orphans, c)
				}
			}
		}
		// One that found a place may have room for another.
		for before := len(orphans) + 1; 0 < len(orphans) && len(orphans) < before; {
			before = len(orphans)
			var left []slot
			for _, c := range orphans {
				placed, err := d.rescue(ti, c, gone, nil, now, rtt)
				if err != nil {
					return err
				}
				if !placed {
					left = append(left, c)
				}
			}
			orphans = left
		}
		gone = append(gone, orphans...)
	}
	if err := d.repair(ti, gone, now, rtt); err != nil {
		return err
	}
	// Those who leave together do not count on one another any more.
	for _, g := range gone {
		n := d.trees.at(ti).nodes.at(g)
		if slices.ContainsFunc(n.standbys, func(s slot) bool { return slices.Contains(gone, s) }) {
			if err := d.do(SetStandbys{d.trees.at(ti).stream.ID, d.name(g), nil}); err != nil {
				return err
			}
		}
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

// largestFirst are the children of m, those with most nodes below them first;
// among equals, those that can feed most.
func (d *draft) largestFirst(ti, m slot, now time.Time) []slot {
	t := d.trees.at(ti)
	children := d.inOrder(t.nodes.at(m).children)
	if len(children) > 1 {
		s := d.survey(t, now)
		defer s.done()
		slices.SortStableFunc(children, func(a, b slot) int {
			return cmp.Or(
				cmp.Compare(s.size[s.at(b)], s.size[s.at(a)]),
				cmp.Compare(d.members.at(b).free(), d.members.at(a).free()))
		})
	}
	return children
}

// rescue finds a new parent for a node that its present one will feed no more:
// the old one that still feeds it, or the first standby that can, or the best
// place there is. What still hangs below the gone is no place to be.
func (d *draft) rescue(ti, m slot, gone, avoid []slot, now time.Time, rtt RTT) (bool, error) {
	t := d.trees.at(ti)
	n := t.nodes.at(m)
	for _, p := range append([]slot{n.old}, n.standbys...) {
		x := t.nodes.at(p)
		if x == nil || d.cutOff(t, p, gone) || slices.Contains(avoid, p) {
			continue
		}
		s := spot{need: t.rate(n), room: d.room(t, x, n, gone), lacks: n.layers&^x.layers != 0, loops: t.below(p, m)}
		if s.judge() == 0 {
			return true, d.hang(ti, m, p, hanging{layers: n.layers, hop: d.hop(rtt, m, p), state: Standing})
		}
	}
	k := d.seek(d.survey(t, now), m, n.layers, now, rtt)
	defer k.survey.done()
	k.gone, k.avoid = gone, avoid
	for _, g := range gone {
		k.cutOff = append(k.cutOff, k.survey.at(g))
	}
	at, ok := k.best()
	if !ok {
		return false, nil
	}
	h := hanging{layers: n.layers, hop: d.hop(rtt, m, k.order[at.parent].member), state: Reserved, deadline: now.Add(d.Policy.Hold)}
	err := d.hang(ti, m, k.order[at.parent].member, h)
	if err == nil && at.displaced >= 0 {
		err = d.displace(ti, k, at.displaced, h.deadline, rtt)
	}
	return err == nil, err
}

// cutOff says whether p is, or hangs below, one of those about to leave.
func (d *draft) cutOff(t *tree, p slot, gone []slot) bool {
	return slices.ContainsFunc(gone, func(g slot) bool { return t.below(p, g) })
}

// displace hangs the node at position c, whose place k has taken, under k.
func (d *draft) displace(ti slot, k *seeker, c int, deadline time.Time, rtt RTT) error {
	x := k.order[c]
	return d.hang(ti, x.member, k.member, hanging{
		layers: x.layers, hop: d.hop(rtt, k.member, x.member), state: Reserved, deadline: deadline, hold: true, heir: d.name(k.member),
	})
}
