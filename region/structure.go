package region

import (
	"iter"
	"time"
)

// A Region is the structure of one region: its members, its streams and their
// trees. The zero value is not usable; see New. A Region is not safe for
// concurrent use, but a Clone may be used by another goroutine.
type Region struct{}

// New returns an empty region at generation 1, revision 0, for at most
// maxMembers members (1 to MaxMembers).
func New(id ID, maxMembers int) *Region { panic("todo") }

// Load rebuilds a region from its parts (a snapshot) and checks it.
func Load(s Snapshot) (*Region, error) { panic("todo") }

// A Snapshot is a region as plain data, in canonical order.
type Snapshot struct {
	ID         ID
	Generation Generation
	Revision   Revision
	LastLease  Lease
	MaxMembers int
	Members    []Member // by ID
	Trees      []Tree   // by stream ID
}

// A Tree is a stream and its nodes, parents before children.
type Tree struct {
	Stream Stream
	Nodes  []Node
}

func (r *Region) ID() ID                 { panic("todo") }
func (r *Region) Generation() Generation { panic("todo") }
func (r *Region) Revision() Revision     { panic("todo") }

// Clone returns an independent copy in O(1); both sides copy on write.
func (r *Region) Clone() *Region { panic("todo") }

// Snapshot returns the region as plain data that does not change any more.
func (r *Region) Snapshot() Snapshot { panic("todo") }

// Hash is a SHA-256 over the canonical form; equal structures have equal hashes.
func (r *Region) Hash() [32]byte { panic("todo") }

// Apply carries out c as revision rev, or reports an error (ErrLease,
// ErrLimit, *InvariantError, ...) and leaves r as it was. rev must be greater
// than r.Revision().
func (r *Region) Apply(rev Revision, c Change) error { panic("todo") }

// Check verifies all invariants of DESIGN section 4. For tests, and at long
// intervals in production: O(size).
func (r *Region) Check() error { panic("todo") }

// Describe draws the region as text for tests and people.
func (r *Region) Describe() string { panic("todo") }

// DescribeTree draws one tree, indented, with delays.
func (r *Region) DescribeTree(s StreamID) string { panic("todo") }

func (r *Region) Member(id MemberID) (Member, bool) { panic("todo") }
func (r *Region) Members() iter.Seq[Member]         { panic("todo") } // by ID
func (r *Region) MemberCount() int                  { panic("todo") }
func (r *Region) Stream(id StreamID) (Stream, bool) { panic("todo") }
func (r *Region) Streams() iter.Seq[Stream]         { panic("todo") } // by ID
func (r *Region) StreamCount() int                  { panic("todo") }

// Node returns the place of m in the tree of s.
func (r *Region) Node(s StreamID, m MemberID) (Node, bool) { panic("todo") }

// Nodes yields the tree of s, parents before children.
func (r *Region) Nodes(s StreamID) iter.Seq[Node] { panic("todo") }

// NodeCount counts the nodes of s, the root included.
func (r *Region) NodeCount(s StreamID) int { panic("todo") }

// Places yields every stream in whose tree m has a place, by stream ID.
func (r *Region) Places(m MemberID) iter.Seq2[StreamID, Node] { panic("todo") }

// Children of m in s, by ID. Those still in transition from m are not among them.
func (r *Region) Children(s StreamID, m MemberID) []MemberID { panic("todo") }

// Dependents of m in s: the nodes that have m among their standbys, by ID.
func (r *Region) Dependents(s StreamID, m MemberID) []MemberID { panic("todo") }

// Delay of m in s from the root.
func (r *Region) Delay(s StreamID, m MemberID) (time.Duration, bool) { panic("todo") }

// Path of m in s: root first, m last.
func (r *Region) Path(s StreamID, m MemberID) []MemberID { panic("todo") }

// Sending is what m sends by the structure: edges, and edges held in transition.
func (r *Region) Sending(m MemberID) Rate { panic("todo") }

// Free is what m could still be given: Uplink - Leaf - Sending, at least 0.
func (r *Region) Free(m MemberID) Rate { panic("todo") }

// Rate of the layers of s selected by mask.
func (s Stream) Rate(mask LayerMask) Rate { panic("todo") }
