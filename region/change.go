package region

import "time"

// A Change is a decision: the edits that lead from one revision to the next.
// It is plain data. Whoever decided it, everyone applies it alike.
type Change struct {
	// Time is the leader's clock when it decided.
	Time time.Time
	// Base is the revision the decision was made on.
	Base  Revision
	Edits []Edit
}

// An Edit is one step of a Change: one of the Put, Drop, Set and Confirm types
// below. An unknown kind of edit stops a replica, so kinds are only added with
// a new version of the log.
type Edit interface{ edit() }

type (
	// PutMember adds a member or replaces its record. A Lease below the one
	// held fails with ErrLease.
	PutMember struct{ Member Member }
	// DropMember removes a member that has no place in any tree and publishes
	// nothing.
	DropMember struct {
		Member MemberID
		Lease  Lease
	}
	// PutStream adds a stream with its origin as root.
	PutStream struct{ Stream Stream }
	// DropStream removes a stream with its whole tree.
	DropStream struct{ Stream StreamID }
	// SetNode puts or moves a node with all below it.
	SetNode struct {
		Stream StreamID
		Node   Node
	}
	// DropNode takes a node without children out of a tree.
	DropNode struct {
		Stream StreamID
		Member MemberID
	}
	// SetStandbys replaces the standbys of a node.
	SetStandbys struct {
		Stream   StreamID
		Member   MemberID
		Standbys []MemberID
	}
	// Confirm ends the reservation of a node: the edge stands, what was held
	// at the old parent is free.
	Confirm struct {
		Stream StreamID
		Member MemberID
	}
	// SetGateways names those who draw a stream from another region: Origin now,
	// Standby should Origin fail. Where Origin was not the root, it leaves its
	// parent with all below it, and the former root hangs under it: Hop away, and
	// reserved until Deadline unless that is zero. From is the region where the
	// stream is drawn from now on; empty: the one before.
	SetGateways struct {
		Stream          StreamID
		Origin, Standby MemberID
		Hop             time.Duration
		Deadline        time.Time
		From            ID
	}
	// SetGeneration raises the region's generation.
	SetGeneration struct{ Generation Generation }
	// Divide leaves of the region what stays when others found a new one, see Cut.
	Divide struct{ Division Division }
	// SetFate freezes the region on its way into another one, frees it again, or
	// ends it: then everybody is dropped.
	SetFate struct{ Fate Fate }
	// Absorb takes in a region that is frozen for that, see Unite.
	Absorb struct {
		Region Snapshot
		Joints []Joint
	}
)

func (PutMember) edit()     {}
func (DropMember) edit()    {}
func (PutStream) edit()     {}
func (DropStream) edit()    {}
func (SetNode) edit()       {}
func (DropNode) edit()      {}
func (SetStandbys) edit()   {}
func (Confirm) edit()       {}
func (SetGateways) edit()   {}
func (SetGeneration) edit() {}
func (Divide) edit()        {}
func (SetFate) edit()       {}
func (Absorb) edit()        {}
