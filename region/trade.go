package region

import "time"

// mostTraded is how many parents may change when two nodes change places: the one
// move after an event is to be a small one.
const mostTraded = 8

// A family is what hangs directly under a node, added up.
type family struct {
	rate int64
	size int32
	// cost of each child, times its size.
	cost time.Duration
	// tied: one of them cannot move.
	tied bool
}

// families adds up the children of every node.
func (x *search) families() {
	x.family = make([]family, len(x.order))
	for i := 1; i < len(x.order); i++ {
		f := &x.family[x.up[i]]
		f.rate += x.rate[i]
		f.size += x.size[i]
		f.cost += time.Duration(x.size[i]) * x.cost[i]
		f.tied = f.tied || !x.movable(i)
	}
}

// weighTrade lets a and b change places, while what hangs below them stays there.
// Bounds that cost nothing come first, for it asks for the hops to all children.
func (x *search) weighTrade(a, b int) {
	fa, fb := &x.family[a], &x.family[b]
	if !x.movable(b) || fa.tied || fb.tied || fa.size+fb.size == 0 || x.rate[a] != x.rate[b] ||
		x.slack[a]+fa.rate < fb.rate || x.slack[b]+fb.rate < fa.rate || x.below(a, b) || x.below(b, a) {
		return
	}
	ka, kb := x.order[a].children, x.order[b].children
	pa, pb, changed := x.up[a], x.up[b], time.Duration(len(ka)+len(kb))
	if pa != pb {
		changed += 2
	}
	if changed > mostTraded {
		return
	}
	least := x.floor * changed
	// saved is what is saved at most if a costs ca in its new place, and b cb.
	saved := func(ca, cb time.Duration) time.Duration {
		return x.cost[a] - ca + fa.cost - time.Duration(fa.size)*(cb+x.toll[b]) +
			x.cost[b] - cb + fb.cost - time.Duration(fb.size)*(ca+x.toll[a])
	}
	if saved(x.cost[pb]+x.toll[pb], x.cost[pa]+x.toll[pa]) <= least || !x.feeds(pa, b) || !x.feeds(pb, a) {
		return
	}
	save := saved(x.under(a, pb), x.under(b, pa))
	for _, of := range [...]struct {
		children []slot
		parent   int
	}{{ka, b}, {kb, a}} {
		for _, c := range of.children {
			i := x.survey.at(c)
			if save <= least || !x.feeds(of.parent, i) {
				return
			}
			save -= time.Duration(x.size[i]) * x.hop(of.parent, i)
		}
	}
	x.keep(gain{trade, a, b, save / changed})
}

// swapChildren are the steps that hang the children of a under b and the reverse.
func (x *search) swapChildren(a, b int, step func(m, to int) Step) (steps []Step) {
	for _, c := range x.order[a].children {
		steps = append(steps, step(x.survey.at(c), b))
	}
	for _, c := range x.order[b].children {
		steps = append(steps, step(x.survey.at(c), a))
	}
	return steps
}
