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
	// KeyframeWanted: somebody below needs a keyframe of a stream published
	// here. At most one per layer and 500 ms.
	KeyframeWanted struct {
		Stream region.StreamID
		Layer  int
	}
)

func (Established) event()    {}
func (ParentSwitched) event() {}
func (Orphaned) event()       {}
func (Refused) event()        {}
func (ChildAttached) event()  {}
func (ChildDetached) event()  {}
func (KeyframeWanted) event() {}
