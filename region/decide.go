package region

import "time"

// Decisions. Each returns the edits that carry it out and modifies nothing; the
// decider applies them to its working copy before it takes the next request.

// Join decides the stay of m. m.Lease is ignored unless it is the present lease
// of that member (a stay that goes on): then its record is brought up to date.
// Otherwise a new lease is given, and an earlier stay of the same member ends.
func (r *Region) Join(m Member, now time.Time, rtt RTT) ([]Edit, Member, error) { panic("todo") }

// Leave ends a stay: the member's streams end, those it fed hang elsewhere
// (their standbys first), then the member is dropped. lease 0 = whichever.
func (r *Region) Leave(id MemberID, lease Lease, now time.Time, rtt RTT) ([]Edit, error) {
	panic("todo")
}

// Publish decides a new stream of s.Origin and gives it an SSRC. Publishing
// what the member publishes already yields no edits.
func (r *Region) Publish(s Stream, lease Lease, now time.Time) ([]Edit, Stream, error) {
	panic("todo")
}

// Unpublish ends a stream.
func (r *Region) Unpublish(s StreamID, origin MemberID, lease Lease) ([]Edit, error) { panic("todo") }

// View picks what self needs to know to find its place in s.
func (r *Region) View(s StreamID, self MemberID, layers LayerMask, rtt RTT) (View, error) {
	panic("todo")
}

// Admit decides an admission at time now. An error means that the request is
// malformed or names an unknown stream or stay; a refusal is no error.
// An accepted edge is Reserved until now + hold.
func (r *Region) Admit(a Admission, now time.Time, hold time.Duration, rtt RTT) ([]Edit, Decision, error) {
	panic("todo")
}

// Release takes m out of the tree of s; its children hang elsewhere.
func (r *Region) Release(s StreamID, m MemberID, lease Lease, now time.Time, rtt RTT) ([]Edit, error) {
	panic("todo")
}

// Confirmed ends the reservation of the edge parent -> m, if that is the edge
// which is reserved; otherwise it yields no edits.
func (r *Region) Confirmed(s StreamID, m, parent MemberID) []Edit { panic("todo") }

// Expire reverses the reservations whose deadline is before now: a node that
// moved goes back to its old parent, one that had none leaves the tree.
func (r *Region) Expire(now time.Time, rtt RTT) []Edit { panic("todo") }

// Improve decides at most one move in the tree of s that makes the cost at
// least minGain (a fraction of the total) smaller.
func (r *Region) Improve(s StreamID, minGain float64, now time.Time, hold time.Duration, rtt RTT) []Edit {
	panic("todo")
}

// A Self is what a member knows of itself when it ranks the candidates of a View.
type Self struct {
	ID     MemberID
	Free   Rate
	Layers LayerMask
	// Forward is the member's own forwarding time.
	Forward time.Duration
}

// Rank orders the places v offers to self, best first, by the same measure the
// coordinators use, appends at most MaxProposals to dst and returns it. rtt
// overrides the RTTs of the view. It does not allocate if dst has room.
func Rank(v *View, self Self, rtt func(MemberID) (time.Duration, bool), dst []Proposal) []Proposal {
	panic("todo")
}

