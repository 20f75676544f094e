package region

import "time"

// A Proposal is a place that a member computed for itself: a free place under
// Parent, or the place between Parent and its child Displaced.
type Proposal struct {
	Parent MemberID
	// Displaced is the child of Parent that is to hang under the newcomer;
	// empty for a free place.
	Displaced MemberID
	// ParentDelay is the delay of Parent that the proposal rests on.
	ParentDelay time.Duration
	// RTT to Parent as measured by the proposer; 0 if it was not measured.
	RTT time.Duration
}

// A Cause says why a member asks for a place. Smaller ones are served first.
type Cause uint8

// The causes, in order of urgency.
const (
	Orphaned Cause = iota + 1
	Gateway
	Joining
	Improving
)

// An Admission is a member's request for a place in the tree of a stream.
type Admission struct {
	Stream StreamID
	Child  MemberID
	Lease  Lease
	Layers LayerMask
	Cause  Cause
	// Proposals in order of preference, at most MaxProposals.
	Proposals []Proposal
	// Place asks the coordinators to choose when no proposal is valid.
	Place bool
	// Avoid lists members that lately refused or failed this child.
	Avoid []MemberID
	// Apart tells who is on the other side of a division under way; nil = nobody. An edge
	// from there is given only if nobody on the child's side has room, unless the child is
	// an orphan that draws over it already.
	Apart func(MemberID) bool
}

// A Reason says why a proposal was refused.
type Reason uint8

// The reasons.
const (
	// Full: the parent has no room.
	Full Reason = iota + 1
	// Stale: the facts that the proposal rests on have changed (the parent's
	// delay, the displaced child, the parent's place in the tree).
	Stale
	// Loop: the parent hangs below the child.
	Loop
	// Unknown: the parent is no member, or does not have the stream.
	Unknown
	// Unfit: the child cannot hold the place (it lacks the uplink for the
	// displaced child, or would take the last free place without offering one).
	Unfit
	// Avoided: the parent is set aside for this child for a while.
	Avoided
)

// A Refusal is the answer to one proposal.
type Refusal struct {
	Proposal Proposal
	Reason   Reason
}

// A Decision is the answer to an Admission.
type Decision struct {
	// Accepted is the place given; zero if Refused.
	Accepted Node
	// OK is false if the admission was refused.
	OK bool
	// Refusals of the proposals before the accepted one, or of all.
	Refusals []Refusal

	draft *draft // on which it was accepted
}

// Next is the structure as revision rev that an accepted admission leads to: the one
// that Apply makes of its edits, at no cost, and for one caller. The structure it was
// decided on stays as it was.
func (d Decision) Next(rev Revision, now time.Time) *Region { return d.draft.settle(rev, now) }

// A View is the part of a region's structure that is sent to one member, picked
// for it, so that it can compute its insertion point.
type View struct {
	Region     ID
	Generation Generation
	Revision   Revision
	Stream     Stream
	// Candidates are at most MaxCandidates possible parents. For trees of that
	// size this is the whole tree.
	Candidates []Candidate
}

// A Candidate is a possible parent as it appears in a View.
type Candidate struct {
	Member   MemberID
	Endpoint Endpoint
	// Parent is where the candidate itself hangs; empty for the root.
	Parent MemberID
	// Delay from the root, in the layers asked for.
	Delay time.Duration
	// Forward is the candidate's forwarding time.
	Forward time.Duration
	// Hazard of the candidate and of all its ancestors, per second.
	Hazard float64
	// Free is the uplink that is neither used nor held.
	Free Rate
	// Subtree counts the nodes below the candidate, itself included.
	Subtree int
	// RTT from the asking member, if the coordinators know it; 0 otherwise.
	RTT time.Duration
	// Weakest is the child of this candidate that the asking member would
	// displace best; empty if none.
	Weakest MemberID
	// WeakestSubtree counts the nodes below Weakest, itself included.
	WeakestSubtree int
	// WeakestHop is the hop from the candidate to Weakest, WeakestRTT the RTT
	// from the asking member to it (0 if not known).
	WeakestHop, WeakestRTT time.Duration
}
