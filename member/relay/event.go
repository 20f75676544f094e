package relay

import (
	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// A Fault says what a peer did. The values are those of PeerFault in proto/skein/v1.
type Fault = link.Fault

// An Event is something the session has to know: one of the types below.
type Event interface{ event() }

type (
	// Established: Parent carries Stream; what it carried before was dropped.
	// Revision is that of the assignment which named Parent, 0 if none did yet.
	Established struct {
		Stream   region.StreamID
		Parent   region.MemberID
		Revision region.Revision
	}
	// ParentSwitched: Stream is drawn from the standby To, because From failed.
	ParentSwitched struct {
		Stream   region.StreamID
		From, To region.MemberID
		Cause    Fault
	}
	// Orphaned: nobody is left to draw Stream from. Failed lists the parent and
	// the standbys that were tried.
	Orphaned struct {
		Stream region.StreamID
		Failed []region.MemberID
	}
	// Settled: Stream, which was sought, is fed by another neighbour, Parent, since
	// From has failed.
	Settled struct {
		Stream       region.StreamID
		Parent, From region.MemberID
		Cause        Fault
	}
	// Forsaken: no neighbour feeds Stream any more, which was sought.
	Forsaken struct{ Stream region.StreamID }
	// Cramped: the neighbour that feeds Stream has no room for all that is wanted of it.
	Cramped struct{ Stream region.StreamID }
	// LeafWanted: this member has use for another leaf budget than it had.
	LeafWanted struct{ Want region.Rate }
	// Refused: Peer did not let this member draw Stream.
	Refused struct {
		Stream region.StreamID
		Peer   region.MemberID
		Fault  Fault
	}
	// ChildAttached: Child draws Stream from this member.
	ChildAttached struct {
		Stream region.StreamID
		Child  region.MemberID
	}
	// ChildDetached: Child does not draw Stream any more.
	ChildDetached struct {
		Stream region.StreamID
		Child  region.MemberID
	}
	// Disagreed: Peer lastingly believes something else of Stream than this member.
	Disagreed struct {
		Stream region.StreamID
		Peer   region.MemberID
		Kind   Disagreement
	}
	// KeyframeWanted: somebody below needs a keyframe of a stream published
	// here. At most one per layer and 500 ms.
	KeyframeWanted struct {
		Stream region.StreamID
		Layer  int
	}
	// Offended: Peer does too much of something; what is too much was dropped.
	Offended struct {
		Peer      region.MemberID
		Offence   link.Offence
		PerSecond int
	}
	// LayersWanted: of a stream published here nobody wants other layers than these
	// any more, or somebody wants these again. All are wanted at first.
	LayersWanted struct {
		Stream region.StreamID
		Layers region.LayerMask
	}
)

func (Established) event()    {}
func (ParentSwitched) event() {}
func (Orphaned) event()       {}
func (Refused) event()        {}
func (ChildAttached) event()  {}
func (ChildDetached) event()  {}
func (KeyframeWanted) event() {}
func (Offended) event()       {}
func (Disagreed) event()      {}
func (LayersWanted) event()   {}
func (Settled) event()        {}
func (Forsaken) event()       {}
func (Cramped) event()        {}
func (LeafWanted) event()     {}
