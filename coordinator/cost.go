package coordinator

import (
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A bill lists what members cost in trees: the delay, with the price of what
// their ancestors' leaving would cost them. Its total is what reorg.Plan makes
// smaller.
type bill []time.Duration

// costs are those of all members in all trees.
func costs(r *region.Region, now time.Time) (b bill) {
	for s := range r.Streams() {
		b = append(b, costsOf(r, s.ID, now)...)
	}
	return b
}

// costsOf are those in one tree.
func costsOf(r *region.Region, s region.StreamID, now time.Time) bill {
	type place struct{ cost, toll time.Duration }
	at := make(map[region.MemberID]place, r.NodeCount(s))
	b := make(bill, 0, r.NodeCount(s))
	for n := range r.Nodes(s) {
		m, _ := r.Member(n.Member)
		p := place{toll: r.Policy.Toll(m.Forward, region.Hazard(now.Sub(m.Joined)))}
		if n.Parent != "" {
			up := at[n.Parent]
			p.cost = up.cost + up.toll + n.Hop
			b = append(b, p.cost)
		}
		at[n.Member] = p
	}
	return b
}

func (b bill) total() (sum time.Duration) {
	for _, c := range b {
		sum += c
	}
	return sum
}

// share turns a fraction of what all would cost together if all cost as much as
// the median one into a fraction of the total: a few who say that everybody is far
// from them would otherwise make all that can be saved for others look like
// nothing.
func (b bill) share(fraction float64) float64 {
	if len(b) == 0 {
		return fraction
	}
	sorted := slices.Sorted(slices.Values(b))
	median := float64(sorted[len(sorted)/2])
	return fraction * min(1, median*float64(len(b))/float64(max(b.total(), 1)))
}
