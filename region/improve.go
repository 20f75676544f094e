package region

import "time"

// Improve decides at most one move in the tree of s that makes the cost smaller
// by at least minGain, a fraction of the total: another parent for one node, two
// nodes that swap, or a parent and a child that exchange places. Called after
// every change of a tree it keeps that tree near the best one; 0.005 leaves out
// nine tenths of the moves for a few percent of delay.
func (r *Region) Improve(s StreamID, minGain float64, now time.Time, hold time.Duration, rtt RTT) []Edit {
	t := r.tree(s)
	if t == nil || t.count < 3 {
		return nil
	}
	v := r.survey(t, now)
	least := max(time.Duration(minGain*float64(v.total())), time.Microsecond)
	x := r.search(t, least, v, rtt)
	for _, g := range x.best() {
		if edits, err := r.Move(g.steps(x), now, hold, rtt); err == nil {
			return edits
		}
	}
	return nil
}
