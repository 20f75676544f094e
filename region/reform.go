package region

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A region whose group was lost for good is formed anew out of what its members
// hold. No data of the group is needed for that, only their word.

const (
	// ReformJump is by how much the generation of a region grows at least when it
	// is formed anew; changes of its boundary count by one.
	ReformJump Generation = 1 << 20
	// reformLease and reformRevision are by how much leases and revisions go on
	// beyond the latest that any member knows: those of members that are silent
	// may be later, and must still be older than all that are given from then on.
	reformLease    Lease    = 1 << 20
	reformRevision Revision = 1 << 20
)

// A Testimony is what a member holds of a region.
type Testimony struct {
	// Member as it joined, in the stay it has.
	Member Member
	// Generation and Revision are the latest it was told.
	Generation Generation
	Revision   Revision
	Holdings   []Holding
}

// A Holding is a place in a tree, as its member holds it.
type Holding struct {
	Stream Stream
	// Parent is empty if the member publishes the stream, or draws it from another
	// region.
	Parent   MemberID
	Layers   LayerMask
	Hop      time.Duration // half the RTT to Parent
	Standbys []MemberID
}

// Reform makes the region of generation g that its members hold. What one says
// counts as far as the others bear it out: a place whose parent has not testified
// is left out, with all below it, as is what would break an invariant. Who is left
// out, or testifies too late, joins as anybody does.
func Reform(id ID, g Generation, maxMembers int, heard []Testimony) (*Region, error) {
	if g < ReformJump {
		return nil, invalid("generation", "%d of a region that is formed anew, want at least %d", g, ReformJump)
	}
	heard = slices.Clone(heard)
	slices.SortFunc(heard, func(a, b Testimony) int {
		return cmp.Or(cmp.Compare(a.Member.Lease, b.Member.Lease), cmp.Compare(a.Member.ID, b.Member.ID))
	})
	d := &draft{Region: New(id, maxMembers)}
	claims := map[StreamID][]claim{}
	lease, revision := Lease(0), Revision(0)
	for _, t := range heard {
		lease, revision = max(lease, t.Member.Lease), max(revision, t.Revision)
		d.lastLease = 0 // leases need not be in order, as in a snapshot
		if d.putMember(t.Member) != nil {
			continue
		}
		for _, h := range t.Holdings {
			claims[h.Stream.ID] = append(claims[h.Stream.ID], claim{t.Member.ID, h})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(claims)) {
		d.replant(claims[id])
	}
	d.generation, d.revision, d.lastLease = g, revision+reformRevision, lease+reformLease
	if err := d.Check(); err != nil {
		return nil, fmt.Errorf("form region %s anew: %w", id, err)
	}
	return d.Region, nil
}

// A claim is what one member says that it holds of the stream at hand.
type claim struct {
	member MemberID
	Holding
}

// replant makes the tree that the members of one stream hold.
func (d *draft) replant(claims []claim) {
	slices.SortFunc(claims, func(a, b claim) int { return cmp.Compare(a.member, b.member) })
	root := rootOf(claims)
	if root == nil {
		return // whoever publishes it says so anew when it comes
	}
	stream := root.Stream
	standby := stream.Standby
	stream.Origin, stream.Standby = root.member, ""
	if d.putStream(stream) != nil {
		return
	}
	below := map[MemberID][]claim{}
	for _, p := range claims {
		if p.member != root.member {
			below[p.Parent] = append(below[p.Parent], p)
		}
	}
	var placed []claim
	for next := []MemberID{root.member}; len(next) > 0; next = next[1:] {
		for _, p := range below[next[0]] {
			if d.attempt(SetNode{stream.ID, Node{
				Member: p.member, Parent: p.Parent, Layers: p.Layers & stream.all(), Hop: p.Hop, State: Standing,
			}}) {
				placed, next = append(placed, p), append(next, p.member)
			}
		}
	}
	for _, p := range placed {
		// One at a time: one that is of no use must not cost the others.
		var good []MemberID
		for _, s := range p.Standbys {
			if d.attempt(SetStandbys{stream.ID, p.member, append(slices.Clone(good), s)}) {
				good = append(good, s)
			}
		}
	}
	if standby != "" && standby != root.member {
		d.attempt(SetGateways{Stream: stream.ID, Origin: root.member, Standby: standby})
	}
}

// rootOf is the place of who publishes a stream or, of those who draw it from
// another region, that of the gateway; nil if nobody does.
func rootOf(claims []claim) *claim {
	var root *claim
	rank := func(p *claim) int {
		switch p.member {
		case p.Stream.Origin:
			return 0
		case p.Stream.Standby:
			return 1
		}
		return 2
	}
	for i := range claims {
		p := &claims[i]
		if p.Parent == "" && (root == nil || cmp.Or(cmp.Compare(rank(p), rank(root)), cmp.Compare(p.member, root.member)) < 0) {
			root = p
		}
	}
	if root == nil || root.Stream.From == "" && root.Stream.Origin != root.member {
		return nil
	}
	return root
}

// attempt carries out an edit if that breaks nothing, and reports whether it did.
func (d *draft) attempt(e Edit) bool {
	try := d.fork()
	try.touched, try.suspects = nil, nil
	if try.edit(e) != nil || try.verify() != nil {
		return false
	}
	*d = *try
	return true
}
