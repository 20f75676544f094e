package reorg

import (
	"slices"

	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg/forest"
)

// needs finds out, for each move, which earlier ones it cannot do without. The
// forest is brought back to base for that, and forward again.
func (m *charted) needs(base []int32, moves []Move) {
	if len(moves) < 2 {
		return
	}
	end := m.forest.Parents()
	m.forest.Restore(base)
	index := m.index()
	for k := range moves {
		if m.possible(index, moves[k:k+1]) {
			continue
		}
		needed := related(moves, k)
		if !m.possible(index, pick(moves, append(slices.Clone(needed), k))) {
			needed = needed[:0]
			for i := range k {
				needed = append(needed, i)
			}
		}
		moves[k].Needs = needed
	}
	m.forest.Restore(end)
}

// index finds nodes by stream and member.
func (m *charted) index() map[region.StreamID]map[region.MemberID]int32 {
	index := make(map[region.StreamID]map[region.MemberID]int32, len(m.streams))
	for t, stream := range m.streams {
		nodes := make(map[region.MemberID]int32)
		for _, v := range m.forest.Tree(int32(t)) {
			nodes[m.name(v)] = v
		}
		index[stream] = nodes
	}
	return index
}

// possible tries moves in order and undoes them.
func (m *charted) possible(index map[region.StreamID]map[region.MemberID]int32, moves []Move) bool {
	var done [][]forest.Shift
	ok := true
	for _, move := range moves {
		var there, back []forest.Shift
		for _, s := range move.Steps {
			v := index[s.Stream][s.Member]
			there = append(there, forest.Shift{Node: v, Parent: index[s.Stream][s.To]})
			back = append(back, forest.Shift{Node: v, Parent: m.forest.Parent(v)})
			ok = ok && m.name(m.forest.Parent(v)) == s.From
		}
		if ok {
			_, ok = m.forest.Shift(there)
		}
		if !ok {
			break
		}
		done = append(done, back)
	}
	for _, back := range slices.Backward(done) {
		m.forest.Put(back)
	}
	return ok
}

// related lists the moves before k that share a member with it, and those that
// share one with them.
func related(moves []Move, k int) []int {
	touched := make(map[region.MemberID]bool)
	touch := func(move Move) {
		for _, s := range move.Steps {
			touched[s.Member], touched[s.From], touched[s.To] = true, true, true
		}
	}
	touch(moves[k])
	var needed []int
	for i := k - 1; i >= 0; i-- {
		if slices.ContainsFunc(moves[i].Steps, func(s region.Step) bool {
			return touched[s.Member] || touched[s.From] || touched[s.To]
		}) {
			touch(moves[i])
			needed = append(needed, i)
		}
	}
	slices.Reverse(needed)
	return needed
}

func pick(moves []Move, indices []int) []Move {
	picked := make([]Move, len(indices))
	for i, k := range indices {
		picked[i] = moves[k]
	}
	return picked
}
