package region

import "time"

// A Region is the structure of one region: its members, its streams and their
// trees. The zero value is not usable; see New. A Region is not safe for
// concurrent use, but a Clone may be used by another goroutine; see also Freeze.
//
// It keeps times to the millisecond and durations to the microsecond, as the
// log does, so that a decision and its replay cannot differ.
type Region struct {
	// Policy guides decisions made on this Region and its clones. It is no part
	// of the structure: neither Snapshot nor Hash know it.
	Policy Policy
	// Work is memory for the decisions and views of this Region alone, not of its
	// clones; nil: each finds its own.
	Work *Workspace

	id         ID
	generation Generation
	revision   Revision
	lastLease  Lease
	maxMembers int
	fate       Fate
	// clock is the time of the latest change: the present, as far as the
	// structure knows. It only serves to judge ages.
	clock time.Time

	owner     *owner
	memberIDs index[MemberID]
	members   table[member]
	streamIDs index[StreamID]
	trees     table[tree]
}

// A member is what a Region keeps of a Member.
type member struct {
	owner *owner
	Member
	// sending is the sum over all trees of the edges to its children and of
	// what is held for those that are leaving it.
	sending uint64
	// pledges sum up, by parent, the rates of those who would come here if that
	// parent failed (nodes with this member as first or second standby). The
	// largest one is the room worth keeping: two parents rarely fail together.
	pledges []pledge
	// lent says that pledges are also held by another record.
	lent bool
	// places are the streams in whose trees the member has a node, published
	// those of which it is the root.
	places, published []slot
}

type pledge struct {
	parent slot
	rate   uint64
}

// A tree is the distribution of one stream. It stores what was decided; delays
// and sizes follow from it, see survey.
type tree struct {
	owner  *owner
	stream Stream
	root   slot
	count  int
	nodes  table[node] // by slot of the member
	// latest are the members around whom the tree changed last: a hint where to
	// look for improvements, no part of the structure.
	latest [4]slot
}

// A node is what a tree keeps of a Node, with the reverse of every reference.
type node struct {
	owner    *owner
	member   slot
	parent   slot
	layers   LayerMask
	hop      time.Duration
	state    State
	deadline time.Time
	old      slot
	oldHop   time.Duration
	heir     MemberID // by name: it may leave the tree and join it again
	standbys []slot

	children   []slot // nodes with this one as parent
	movers     []slot // nodes with this one as old parent
	dependents []slot // nodes with this one among their standbys
}

// New returns an empty region at generation 1, revision 0, for at most
// maxMembers members (1 to MaxMembers; other values are brought into range).
func New(id ID, maxMembers int) *Region {
	return &Region{
		Policy:     DefaultPolicy(),
		id:         id,
		generation: 1,
		maxMembers: min(max(maxMembers, 1), MaxMembers),
		owner:      new(owner),
	}
}

// Clone returns an independent copy in O(1); both sides copy on write.
func (r *Region) Clone() *Region {
	c := *r
	c.owner = new(owner)
	if r.owner != nil { // else it is frozen
		r.owner = new(owner)
	}
	c.Work = nil
	return &c
}

// As is the structure as of another revision: decisions that were made one after the
// other become one change.
func (r *Region) As(rev Revision) *Region {
	c := r.Clone()
	c.revision = rev
	return c
}

// Freeze returns a copy that is never to be modified, and so may be read, and cloned,
// by many goroutines at the same time.
func (r *Region) Freeze() *Region {
	c := r.Clone()
	c.owner = nil
	return c
}

// Rate of the layers of s selected by mask.
func (s Stream) Rate(mask LayerMask) Rate {
	var sum Rate
	for i, rate := range s.Layers {
		if mask&(1<<i) != 0 {
			sum += rate
		}
	}
	return sum
}

// all is the mask of the layers that s has.
func (s Stream) all() LayerMask { return 1<<len(s.Layers) - 1 }

// capacity is what the coordinators may plan with.
func (m *member) capacity() Rate { return m.Uplink - m.Leaf }

func (m *member) free() Rate { return Rate(max(m.slack(), 0)) }

// slack is what is free; negative only inside a draft.
func (m *member) slack() int64 { return int64(m.capacity()) - int64(m.sending) }

// mostPledged is the room worth keeping free for nodes that may be orphaned.
func (m *member) mostPledged() uint64 {
	var most uint64
	for _, p := range m.pledges {
		most = max(most, p.rate)
	}
	return most
}

// pledged is the room promised to those who lose parent.
func (m *member) pledged(parent slot) uint64 {
	for _, p := range m.pledges {
		if p.parent == parent {
			return p.rate
		}
	}
	return 0
}

// changed notes where the tree has changed.
func (t *tree) changed(m slot) {
	if t.latest[0] != m {
		copy(t.latest[1:], t.latest[:])
		t.latest[0] = m
	}
}

func (t *tree) rate(n *node) uint64 { return uint64(t.stream.Rate(n.layers)) }

// below says whether n is a or hangs below it.
func (t *tree) below(n, a slot) bool {
	for n != none {
		if n == a {
			return true
		}
		n = t.nodes.at(n).parent
	}
	return false
}

func (r *Region) tree(id StreamID) *tree { return r.trees.at(r.streamIDs.slot(id)) }

func (r *Region) node(s StreamID, m MemberID) *node {
	if t := r.tree(s); t != nil {
		return t.nodes.at(r.memberIDs.slot(m))
	}
	return nil
}

func (r *Region) name(i slot) MemberID {
	if m := r.members.at(i); m != nil {
		return m.ID
	}
	return ""
}
