package region

import "time"

// Improve decides at most one move in the tree of s that makes the cost at
// least minGain (a fraction of the total) smaller: another parent for one node,
// two nodes that swap, or a parent and a child that exchange places.
func (r *Region) Improve(s StreamID, minGain float64, now time.Time, hold time.Duration, rtt RTT) []Edit {
	t := r.tree(s)
	if t == nil || t.count < 3 {
		return nil
	}
	x := r.search(t, now, rtt)
	least := time.Duration(max(minGain, 0) * float64(x.total()))
	for _, g := range x.best(max(least, time.Microsecond)) {
		if edits, err := r.Move(g.steps(x), now, hold, rtt); err == nil {
			return edits
		}
	}
	return nil
}
