package forest

import (
	"cmp"
	"slices"
)

// fits tells whether the moves in the journal left nobody with too many
// children, or with children that want what it does not get, and whether they
// can be made before what was there is broken.
func (f *Forest) fits() bool { return f.bears() && (!f.uneven || f.passes()) }

// bears tells the former alone: whether what the journal leads to can stand.
func (f *Forest) bears() bool {
	for _, w := range f.journal {
		n := &f.nodes[w.node]
		if p := &f.nodes[n.parent]; f.free[p.member] < 0 || n.layers&^p.layers != 0 {
			return false
		}
	}
	return true
}

// passes tells whether parents can bear the moves while they are under way. Who
// leaves is fed until it is fed elsewhere, and whoever comes shares the place of
// one who leaves, the largest with the largest. If all draw the same, parents
// that can bear the result can always bear the way there.
func (f *Forest) passes() bool {
	type change struct {
		node, from int32
	}
	var changes []change
	for _, w := range f.journal {
		if !slices.ContainsFunc(changes, func(c change) bool { return c.node == w.node }) {
			changes = append(changes, change{w.node, w.parent})
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int {
		return cmp.Compare(f.nodes[b.node].rate, f.nodes[a.node].rate)
	})
	for _, c := range changes {
		var coming []int64
		for _, o := range changes {
			if f.nodes[o.node].parent == c.from && o.from != c.from {
				coming = append(coming, f.nodes[o.node].rate)
			}
		}
		held := int64(0)
		for _, o := range changes {
			if o.from != c.from || f.nodes[o.node].parent == c.from {
				continue
			}
			rate := f.nodes[o.node].rate
			if len(coming) > 0 {
				rate -= min(rate, coming[0])
				coming = coming[1:]
			}
			held += rate
		}
		if f.free[f.nodes[c.from].member] < held {
			return false
		}
	}
	return true
}
