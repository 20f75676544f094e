package forest

import (
	"cmp"
	"slices"
)

// A Shift hangs a node under a parent.
type Shift struct{ Node, Parent int32 }

// Shift carries out several shifts as one, whatever their order, and returns
// what they gain. If they would close a loop or leave a parent with too many
// children, it returns false and everything stays as it was.
func (f *Forest) Shift(shifts []Shift) (gain float64, ok bool) {
	before := f.total
	f.Mark()
	for _, s := range shifts {
		f.journal = append(f.journal, was{s.Node, f.nodes[s.Node].parent})
		f.unlink(s.Node)
	}
	linked := 0
	for _, s := range shifts {
		if f.under(s.Parent, s.Node) {
			break
		}
		f.link(s.Node, s.Parent)
		linked++
	}
	if linked == len(shifts) && f.fits() {
		return before - f.total, true
	}
	for _, s := range shifts[:linked] {
		f.unlink(s.Node)
	}
	for _, w := range f.journal {
		f.link(w.node, w.parent)
	}
	f.total = before
	return 0, false
}

// under is Below for nodes whose delays are not up to date.
func (f *Forest) under(p, v int32) bool {
	for ; p != None; p = f.nodes[p].parent {
		if p == v {
			return true
		}
	}
	return false
}

// A Stage is shifts in one tree that are carried out as one, and their gain.
type Stage struct {
	Shifts []Shift
	Gain   float64
}

// Towards splits the way from the present parents to target into stages, most
// gain first, and goes it. Each stage fits and gains more than least at its
// time, except that one may only make room in a tree for the next. What cannot
// be reached like that, or needs more than most stages (0 = no bound), stays
// undone.
func (f *Forest) Towards(target []int32, least float64, most int) []Stage {
	least = max(least, slack)
	var open []Shift
	for v, p := range target {
		if p != f.nodes[v].parent {
			open = append(open, Shift{int32(v), p})
		}
	}
	var stages []Stage
	for len(open) > 0 && (most == 0 || len(stages) < most) {
		if single, gain := f.bestSingle(open, least); single >= 0 {
			stages = append(stages, Stage{[]Shift{open[single]}, gain})
			open = append(open[:single:single], open[single+1:]...)
			continue
		}
		set, rest, gain := f.bundle(open, least)
		if len(set) == 0 {
			break
		}
		open = rest
		stages = append(stages, f.staged(set, gain)...)
	}
	return stages
}

// staged splits a set that was just carried out by trees, in an order in which
// each part fits. If there is none the set is undone.
func (f *Forest) staged(set []Shift, gain float64) []Stage {
	var parts [][]Shift
	slices.SortStableFunc(set, func(a, b Shift) int { return cmp.Compare(f.nodes[a.Node].tree, f.nodes[b.Node].tree) })
	for i, s := range set {
		if i == 0 || f.nodes[s.Node].tree != f.nodes[set[i-1].Node].tree {
			parts = append(parts, nil)
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], s)
	}
	if len(parts) == 1 {
		f.TopDown(set)
		return []Stage{{set, gain}}
	}
	f.unshift()
	before := f.Parents()
	var stages []Stage
	for len(parts) > 0 {
		fitting := slices.IndexFunc(parts, func(part []Shift) bool {
			gain, ok := f.Shift(part)
			if ok {
				f.TopDown(part)
				stages = append(stages, Stage{part, gain})
			}
			return ok
		})
		if fitting < 0 {
			f.Restore(before)
			return nil
		}
		parts = slices.Delete(parts, fitting, fitting+1)
	}
	return stages
}

// TopDown orders shifts that were carried out so that they can also be carried
// out one by one, without a loop in between: from the root down.
func (f *Forest) TopDown(shifts []Shift) {
	slices.SortStableFunc(shifts, func(a, b Shift) int { return cmp.Compare(f.Depth(a.Node), f.Depth(b.Node)) })
}

// bestSingle carries out the single shift that gains most.
func (f *Forest) bestSingle(open []Shift, least float64) (int, float64) {
	best, most := -1, least
	for i, s := range open {
		n, p := &f.nodes[s.Node], &f.nodes[s.Parent]
		gain := float64(n.size) * (n.delay - p.delay - f.Edge(s.Parent, s.Node))
		if gain > most && f.free[p.member] >= n.rate && n.layers&^p.layers == 0 && !f.Below(s.Parent, s.Node) {
			best, most = i, gain
		}
	}
	if best < 0 {
		return -1, 0
	}
	gain, ok := f.Shift(open[best : best+1])
	if !ok {
		return -1, 0
	}
	return best, gain
}

// bundle finds shifts that gain only, or fit only, together. It starts with the
// one that looks best, adds what stands in the way, then whatever is next.
func (f *Forest) bundle(open []Shift, least float64) (set, rest []Shift, gain float64) {
	rest = append(rest, open...)
	add := func(i int) {
		set = append(set, rest[i])
		rest = append(rest[:i], rest[i+1:]...)
	}
	for len(rest) > 0 {
		if i := f.obstacle(set, rest); i >= 0 {
			add(i)
			continue
		}
		if len(set) > 0 {
			if gain, ok := f.Shift(set); ok {
				if gain > least {
					return set, rest, gain
				}
				f.unshift()
			}
		}
		add(f.likeliest(rest))
	}
	if gain, ok := f.Shift(set); ok {
		if gain > least {
			return set, rest, gain
		}
		f.unshift()
	}
	return nil, open, 0
}

// unshift undoes the last Shift.
func (f *Forest) unshift() {
	back := make([]Shift, len(f.journal))
	for i, w := range f.journal {
		back[i] = Shift{w.node, w.parent}
	}
	f.Shift(back)
}

// likeliest is the shift that would gain most if nothing stood in the way.
func (f *Forest) likeliest(open []Shift) int {
	best, most := 0, 0.0
	for i, s := range open {
		n := &f.nodes[s.Node]
		gain := float64(n.size) * (n.delay - f.nodes[s.Parent].delay - f.Edge(s.Parent, s.Node))
		if i == 0 || gain > most {
			best, most = i, gain
		}
	}
	return best
}

// obstacle finds one of rest that has to happen for set to be possible: a node
// that must leave a full parent, or one between a node and its parent to be.
func (f *Forest) obstacle(set, rest []Shift) int {
	parent := make(map[int32]int32, len(set))
	need := make(map[int32]int64, len(set))
	for _, s := range set {
		n := &f.nodes[s.Node]
		parent[s.Node] = s.Parent
		need[f.nodes[s.Parent].member] += n.rate
		need[f.nodes[n.parent].member] -= n.rate
	}
	for i, s := range rest {
		m := f.nodes[f.nodes[s.Node].parent].member
		if n := need[m]; n > 0 && n > f.free[m] {
			return i
		}
	}
	for _, s := range set {
		between := make(map[int32]bool)
		p := s.Parent
		for steps := 0; p != None && p != s.Node && steps <= len(f.nodes); steps++ {
			between[p] = true
			if q, ok := parent[p]; ok {
				p = q
			} else {
				p = f.nodes[p].parent
			}
		}
		if p != s.Node {
			continue
		}
		for i, o := range rest {
			if between[o.Node] {
				return i
			}
		}
	}
	return -1
}
