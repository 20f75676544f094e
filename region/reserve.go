package region

import (
	"slices"
	"time"
)

// A reserve is a node that could be standby of another one.
type reserve struct {
	at    int
	price time.Duration
	// crowd is the price of the others who already rely on it.
	crowd time.Duration
}

// spread is how much crowd counts for the standby that follows on chosen ones.
func (c reserve) spread(chosen int) time.Duration {
	if chosen == 0 {
		return c.crowd / firstReliance
	}
	return c.crowd
}

// pick is the best next standby of member i, none if there is none.
//
// A good standby survives what is lost with the parent, has room that nobody
// else needs at the same time, is near, and fails together with none of those
// chosen before.
func (b *brood) pick(i int, was []slot) slot {
	f := &b.members[i]
	best, least := none, time.Duration(0)
	worse := func(price time.Duration) bool { return best != none && price-b.r.Policy.NewLink > least }
	consider := func(at int, price time.Duration) {
		m := b.order[at].member
		if worse(price) || slices.Contains(f.standbys, m) {
			return
		}
		// Only the first two are counted on.
		if len(f.standbys) < 2 && b.room(m) < f.rate {
			price += withoutRoom
		}
		if b.sharesBranches(at, f.standbys) {
			price += sameBranch
		}
		if slices.Contains(was, m) {
			price -= b.r.Policy.NewLink
		}
		if best == none || price < least || price == least && b.r.name(m) < b.r.name(best) {
			best, least = m, price
		}
	}
	for k := 0; k < len(b.outside); k++ {
		c := &b.outside[k]
		if worse(c.price + c.spread(0)) {
			// However near they are, the rest of this part is no better.
			if k >= b.roomless {
				break
			}
			k = b.roomless - 1
			continue
		}
		if hop := b.caution(f, k); hop != barred {
			consider(c.at, c.price+c.spread(len(f.standbys))+hop)
		}
	}
	if !b.mortal(b.parent) || worse(relyOnHeir) {
		return best
	}
	for k, o := range b.members {
		price := b.cost[o.at] + b.toll[o.at] + relyOnHeir
		if k == i || worse(price) || !b.feeds(o.at, f) {
			continue
		}
		if k > i || !b.sure(k) {
			price += sharedFate - relyOnHeir
		}
		consider(o.at, price)
	}
	return best
}

// caution is the hop from the outsider of index k to f, barred if it cannot feed it.
func (b *brood) caution(f *fledgling, k int) time.Duration {
	if f.cautions == nil {
		f.cautions = slices.Repeat([]time.Duration{unknownHop}, len(b.outside))
	}
	if f.cautions[k] == unknownHop {
		at := b.outside[k].at
		f.cautions[k] = barred
		if b.feeds(at, f) {
			f.cautions[k] = b.r.caution(b.rtt, b.order[at].member, b.order[f.at].member)
		}
	}
	return f.cautions[k]
}

// feeds says whether the node at position at could feed f, had it room.
func (b *brood) feeds(at int, f *fledgling) bool {
	x := b.order[at]
	return b.order[f.at].layers&^x.layers == 0 && int64(b.r.members.at(x.member).capacity()) >= f.rate && !b.below(at, f.at)
}

// sharesBranches says whether the node at position at hangs below the same child of
// the root as one of these.
func (b *brood) sharesBranches(at int, others []slot) bool {
	for _, o := range others {
		if b.sharesBranch(at, b.at(o)) {
			return true
		}
	}
	return false
}

// placeBits are enough for any position in a tree. Below the bits of a price they make
// one number of both.
const placeBits = 14

// priced is a price, which may be below 0, and where something stands, as one number.
// Prices of several days are all the same.
func priced(price time.Duration, at int) uint64 {
	const most = 1<<(63-placeBits) - 1
	return uint64(min(max(price, -most), most)+most)<<placeBits | uint64(at)
}

// survivors finds out who outside the brood could be standby of its members: of
// those with room, and of many in one branch, only the cheapest.
func (b *brood) survivors() {
	if b.outside != nil {
		return
	}
	parent, rate := b.order[b.parent], int64(MaxRate)
	for _, f := range b.members {
		rate = min(rate, f.rate)
	}
	work := b.r.work()
	work.reserves, work.keys = sized(work.reserves, len(b.order)), sized(work.keys, len(b.order))
	all, order := work.reserves[:0], work.keys[:0]
	for i, x := range b.order {
		m := b.r.members.at(x.member)
		if x == parent || b.orphaned(i) || int64(m.capacity()) < rate || slices.Contains(b.gone, x.member) {
			continue
		}
		c := reserve{at: i, price: b.cost[i] + b.toll[i]}
		if room := b.room(x.member); room < rate {
			c.price += withoutRoom
		} else {
			c.crowd = time.Duration(len(b.t.nodes.at(x.member).dependents)) * reliance * time.Duration(rate) / time.Duration(room)
		}
		order = append(order, priced(c.price+c.spread(0), len(all)))
		all = append(all, c)
	}
	h := newHeap(order)
	size := len(b.order[b.parent].children)
	shortlist, perBranch := 24+min(2*size, 40), 8+size
	b.outside, b.roomless = make([]reserve, 0, shortlist), -1
	for len(h) > 0 && len(b.outside) < shortlist {
		c := all[h.pop()&(1<<placeBits-1)]
		same := 0
		for _, o := range b.outside {
			if b.sharesBranch(c.at, o.at) {
				same++
			}
		}
		if same < perBranch {
			if c.price >= withoutRoom {
				c.price -= withoutRoom // weighed anew for each
				if b.roomless < 0 {
					b.roomless = len(b.outside)
				}
			}
			b.outside = append(b.outside, c)
		}
	}
	if b.roomless < 0 {
		b.roomless = len(b.outside)
	}
}
