package coordinator

// Failpoints are the steps of a division and of a merger at which a coordinator may
// die; see Config.Failpoint.
var Failpoints = []string{
	splitChosen, splitMoved, splitUntangled, splitDecided, splitCommitted,
	childTold, childWritten, childHosted, childStands, childLeads,
	mergeChosen, mergeFrozen, mergeAsked, absorbDecided, absorbCommitted, refuseCommitted, mergeAnswered, mergeOver, mergeUnfrozen,
}

// In their order.
const (
	splitChosen    = "split.chosen"    // who goes is known
	splitMoved     = "split.moved"     // some have moved so that trees can be cut
	splitUntangled = "split.untangled" // all trees can be cut
	splitDecided   = "split.decided"   // before the division is put into the log
	splitCommitted = "split.committed" // it is in the log
	childTold      = "child.told"      // a replica has learnt of the child
	childWritten   = "child.written"   // it stands on the roster
	childHosted    = "child.hosted"    // its replica runs
	childStands    = "child.stands"    // before it asks for votes
	childLeads     = "child.leads"     // it has a leader

	mergeChosen     = "merge.chosen"     // the heir is known
	mergeFrozen     = "merge.frozen"     // the region is frozen
	mergeAsked      = "merge.asked"      // before the heir is asked
	absorbDecided   = "absorb.decided"   // before the heir puts its word into its log
	absorbCommitted = "absorb.committed" // it has taken the region in
	refuseCommitted = "refuse.committed" // it has refused to
	mergeAnswered   = "merge.answered"   // the region knows
	mergeOver       = "merge.over"       // its log has ended
	mergeUnfrozen   = "merge.unfrozen"   // it goes on by itself
)

func (c *Config) pass(failpoint string) {
	if c.Failpoint != nil {
		c.Failpoint(failpoint)
	}
}
