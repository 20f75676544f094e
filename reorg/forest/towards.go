package forest

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

const (
	// mostSeeds is from how many shifts sets are grown at a time, mostGrown how large
	// one may become; one of smallSet is taken at once.
	mostSeeds, mostGrown, smallSet = 64, 64, 4
	// forgoings is how often all shifts are looked at for some that do not pay.
	forgoings = 4
	// forgone is the part of the gain that may be left for fewer shifts.
	forgone = 0.05
)

// A Stage is shifts in one tree that are carried out as one, and their gain.
type Stage struct {
	Shifts []Shift
	Gain   float64
}

// Towards splits the way from the present parents to target into stages, most
// gain first, and goes it. Each stage fits at its time and gains something, except
// that one may only make room for those after it. What gains less than price per
// shift is left as it is. What cannot be reached like that, or needs more than most
// stages (0 = no bound), stays undone.
func (f *Forest) Towards(target []int32, price float64, most int) (stages []Stage) {
	start := f.Parents()
	f.Restore(target)
	f.forgo(start, price)
	target = f.Parents()
	f.Restore(start)

	open := f.differences(target)
	for len(open) > 0 && (most == 0 || len(stages) < most) {
		if i, gain := f.bestSingle(open, slack); i >= 0 {
			stages = append(stages, Stage{[]Shift{open[i]}, gain})
			open = slices.Delete(open, i, i+1)
			continue
		}
		more, rest := f.bundle(open)
		if len(more) == 0 {
			break
		}
		stages, open = append(stages, more...), rest
	}
	return stages
}

// differences are the shifts that lead to target.
func (f *Forest) differences(target []int32) (list []Shift) {
	for v, p := range target {
		if p != f.nodes[v].parent {
			list = append(list, Shift{int32(v), p})
		}
	}
	return list
}

// forgo goes back towards start as far as that costs less than price per shift, the
// cheapest first, and keeps most of what the way to here gains.
func (f *Forest) forgo(start []int32, price float64) {
	if price <= 0 {
		return
	}
	here := f.Parents()
	at := f.total
	f.Restore(start)
	spare := forgone * (f.total - at)
	f.Restore(here)
	open := f.differences(start)
	for range forgoings {
		before := len(open)
		f.promising(open)
		for i := 0; i < len(open); {
			set, rest := f.closure(nil, open, i)
			gain, ok := f.shiftIf(set, f.bears)
			switch {
			case ok && -gain < min(price*float64(len(set)), spare):
				open = rest
				spare += min(gain, 0)
				continue
			case ok:
				f.unshift()
			}
			i++
		}
		if len(open) == before {
			return
		}
	}
}

// promising brings shifts into the order of what they would gain if nothing stood
// in the way, the most first.
func (f *Forest) promising(list []Shift) {
	gain := make(map[int32]float64, len(list))
	for _, s := range list {
		gain[s.Node] = f.promise(s)
	}
	slices.SortStableFunc(list, func(a, b Shift) int { return cmp.Compare(gain[b.Node], gain[a.Node]) })
}

func (f *Forest) promise(s Shift) float64 {
	n := &f.nodes[s.Node]
	return float64(n.size) * (n.delay - f.nodes[s.Parent].delay - f.Edge(s.Parent, s.Node))
}

// bestSingle carries out the single shift that gains most, if that is more than
// least.
func (f *Forest) bestSingle(open []Shift, least float64) (int, float64) {
	best, most := -1, least
	for i, s := range open {
		if gain := f.promise(s); gain > most && f.may(s) {
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

// bundle finds shifts that gain only, or fit only, together, and carries them out:
// of the sets that grow from the most promising ones, the smallest; if there is
// none, all that is left.
func (f *Forest) bundle(open []Shift) (stages []Stage, rest []Shift) {
	open = slices.Clone(open)
	f.promising(open)
	var sets [][]Shift
	for i := range open[:min(mostSeeds, len(open))] {
		if set := f.grow(open, i); set != nil {
			sets = append(sets, set)
			if len(set) <= smallSet {
				break
			}
		}
	}
	slices.SortStableFunc(sets, func(a, b []Shift) int { return cmp.Compare(len(a), len(b)) })
	for _, set := range append(sets, open) {
		back := f.standing(set)
		before := f.total
		if stages = f.inStages(set); stages == nil {
			continue
		}
		if before-f.total > slack {
			return stages, slices.DeleteFunc(open, func(s Shift) bool { return slices.Contains(set, s) })
		}
		f.Put(back)
	}
	return nil, open
}

// grow adds to open[i] what stands in its way, and then, as long as all that gains
// nothing, what gains most then; nil if it takes too much.
func (f *Forest) grow(open []Shift, i int) []Shift {
	set, rest := f.closure(nil, open, i)
	back := f.standing(set)
	gain, ok := f.shiftIf(set, f.bears)
	if !ok {
		return nil
	}
	defer func() { f.Put(back) }()
	for gain <= slack {
		if len(set) >= mostGrown || len(rest) == 0 {
			return nil
		}
		more, left := f.next(rest)
		was := f.standing(more)
		g, ok := f.shiftIf(more, f.bears)
		rest = left // those who cannot go stay out
		if ok {
			set, back, gain = append(set, more...), append(back, was...), gain+g
		}
	}
	return set
}

// next picks the shift of rest that gains most if it can be done, or else the most
// promising one with what stands in its way.
func (f *Forest) next(rest []Shift) (more, left []Shift) {
	best, most, likeliest, promised := -1, slack, 0, math.Inf(-1)
	for i, s := range rest {
		gain := f.promise(s)
		if gain > promised {
			likeliest, promised = i, gain
		}
		if gain > most && f.may(s) {
			best, most = i, gain
		}
	}
	if best < 0 {
		return f.closure(nil, rest, likeliest)
	}
	return []Shift{rest[best]}, slices.Delete(slices.Clone(rest), best, best+1)
}

// may says whether a shift is possible by itself.
func (f *Forest) may(s Shift) bool {
	n, p := &f.nodes[s.Node], &f.nodes[s.Parent]
	return f.free[p.member] >= n.rate && n.layers&^p.layers == 0 && !f.Below(s.Parent, s.Node)
}

// closure adds open[i] to a set, and what stands in its way. rest is what is left
// of open.
func (f *Forest) closure(set, open []Shift, i int) (grown, rest []Shift) {
	grown = append(slices.Clone(set), open[i])
	rest = slices.Delete(slices.Clone(open), i, i+1)
	for i := f.obstacle(grown, rest); i >= 0; i = f.obstacle(grown, rest) {
		grown = append(grown, rest[i])
		rest = slices.Delete(rest, i, i+1)
	}
	return grown, rest
}

// inStages carries out a set: what is in one tree as one, if it can be, or else, as
// trees make room for one another, in an order in which each part fits. If there is
// none, it is nil and the set is undone.
func (f *Forest) inStages(set []Shift) (stages []Stage) {
	back := f.standing(set)
	for left := slices.Clone(set); len(left) > 0; {
		part, rest := f.fitting(left)
		if part.Shifts == nil {
			f.Put(back)
			return nil
		}
		stages, left = append(stages, part), rest
	}
	return stages
}

// fitting carries out a part of what is left to do: all of it in one tree, or else,
// if there are several, the single shift that gains most, or loses least.
func (f *Forest) fitting(left []Shift) (part Stage, rest []Shift) {
	trees := map[int32][]Shift{}
	for _, s := range left {
		t := f.nodes[s.Node].tree
		trees[t] = append(trees[t], s)
	}
	for _, t := range slices.Sorted(maps.Keys(trees)) {
		if gain, ok := f.Shift(trees[t]); ok {
			f.TopDown(trees[t])
			return Stage{trees[t], gain}, slices.DeleteFunc(left, func(s Shift) bool { return f.nodes[s.Node].tree == t })
		}
	}
	if len(trees) == 1 {
		return Stage{}, nil
	}
	f.promising(left)
	for i, s := range left {
		if gain, ok := f.Shift([]Shift{s}); ok {
			return Stage{[]Shift{s}, gain}, slices.Delete(left, i, i+1)
		}
	}
	return Stage{}, nil
}

// standing are the shifts that undo a set.
func (f *Forest) standing(set []Shift) []Shift {
	back := make([]Shift, len(set))
	for i, s := range set {
		back[i] = Shift{s.Node, f.nodes[s.Node].parent}
	}
	return back
}

// Put hangs nodes without asking whether they fit: it undoes what was carried out.
func (f *Forest) Put(back []Shift) { f.shiftIf(back, func() bool { return true }) }

// unshift undoes the last Shift.
func (f *Forest) unshift() {
	back := make([]Shift, len(f.journal))
	for i, w := range f.journal {
		back[i] = Shift{w.node, w.parent}
	}
	f.Put(back)
}

// TopDown orders shifts that were carried out so that they can also be carried
// out one by one, without a loop in between: from the root down.
func (f *Forest) TopDown(shifts []Shift) {
	slices.SortStableFunc(shifts, func(a, b Shift) int { return cmp.Compare(f.Depth(a.Node), f.Depth(b.Node)) })
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
