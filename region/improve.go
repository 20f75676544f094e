package region

import "time"

// Improve decides at most one move in the tree of s: another parent for one node,
// two nodes that swap, with all below them or by themselves, or one that takes the
// place of another, which then hangs below it. Each parent that changes must take
// at least minGain, a fraction of the total, off the cost. Called after every
// change of a tree it keeps that tree near the best one; 0.00125 leaves out three
// quarters of the changes that 0 makes.
func (r *Region) Improve(s StreamID, minGain float64, now time.Time, hold time.Duration, rtt RTT) []Edit {
	t := r.tree(s)
	if t == nil || t.count < 3 {
		return nil
	}
	v := r.survey(t, now)
	defer v.done()
	least := max(time.Duration(minGain*float64(v.total())), time.Microsecond)
	x := r.search(t, least, v, rtt)
	for _, g := range x.best() {
		if edits, err := r.Move(g.steps(x), now, hold, rtt); err == nil {
			return edits
		}
	}
	return nil
}

// Remeasure brings the hops in the tree of s up to date with what rtt knows by
// now. Parent and child measure their link from the moment it stands, so that
// no edge rests on a guess for long. Differences below a tenth or 2 ms, which
// decide nothing, are left alone.
func (r *Region) Remeasure(s StreamID, rtt RTT) []Edit {
	var edits []Edit
	for n := range r.Nodes(s) {
		d, measured := rtt.RTT(n.Member, n.Parent)
		if n.Parent == "" || !measured || d <= 0 {
			continue
		}
		hop := exact(min(d/2, MaxDelay))
		if off := (hop - n.Hop).Abs(); off > max(n.Hop/10, 2*time.Millisecond) {
			n.Hop = hop
			edits = append(edits, SetNode{s, n})
		}
	}
	return edits
}
