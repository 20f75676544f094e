package coordinator

import (
	"slices"

	"github.com/skein-mesh/skein/region"
)

// A roleKey names the role of a member for a stream.
type roleKey struct {
	member region.MemberID
	stream region.StreamID
}

// affected finds the roles that a change may have altered: those of the members
// it names, and of their neighbours before and after it. True are those of members that
// were given a place, who may have been told of another one meanwhile: by the answer to
// an admission.
func affected(before, after *region.Region, c region.Change) map[roleKey]bool {
	a := affection{before, after, map[roleKey]bool{}}
	for _, e := range c.Edits {
		switch e := e.(type) {
		case region.PutMember:
			if was, ok := before.Member(e.Member.ID); ok && sameWhereabouts(was, e.Member) {
				continue // no role tells of the rest
			}
			a.member(e.Member.ID)
		case region.DropMember:
			a.member(e.Member)
		case region.PutStream:
			a.node(e.Stream.ID, e.Stream.Origin)
		case region.DropStream:
			a.tree(e.Stream)
		case region.SetNode:
			if was, ok := before.Node(e.Stream, e.Node.Member); ok && sameRole(was, e.Node) {
				continue // only a hop was measured again
			}
			a.node(e.Stream, e.Node.Member)
			a.roles[roleKey{e.Node.Member, e.Stream}] = true
		case region.DropNode:
			a.node(e.Stream, e.Member)
		case region.SetStandbys:
			a.node(e.Stream, e.Member)
		case region.Confirm:
			a.node(e.Stream, e.Member)
		case region.SetGateways:
			was, _ := before.Stream(e.Stream)
			is, _ := after.Stream(e.Stream)
			for _, m := range []region.MemberID{was.Origin, was.Standby, is.Origin, is.Standby} {
				a.node(e.Stream, m)
			}
		}
	}
	return a.roles
}

// sameWhereabouts says whether two states of a member look the same to its peers.
func sameWhereabouts(a, b region.Member) bool {
	return a.Lease == b.Lease && sameEndpoint(a.Endpoint, b.Endpoint)
}

// sameRole says whether two places look the same to all concerned.
func sameRole(a, b region.Node) bool {
	return a.Parent == b.Parent && a.Old == b.Old && a.Layers == b.Layers && a.State == b.State && slices.Equal(a.Standbys, b.Standbys)
}

// An affection gathers affected roles.
type affection struct {
	before, after *region.Region
	roles         map[roleKey]bool
}

// node marks the role of m, and those of whom it does not draw from, or count on, as it
// did before. Others do not hear of it.
func (a affection) node(s region.StreamID, m region.MemberID) {
	a.mark(m, s)
	was, _ := a.before.Node(s, m)
	is, _ := a.after.Node(s, m)
	a.differing(s, feeders(was), feeders(is))
	a.differing(s, warm(was), warm(is))
}

// feeders are those who feed n, or are to.
func feeders(n region.Node) []region.MemberID { return []region.MemberID{n.Parent, n.Old} }

// differing marks the roles of who is among one of two sets only.
func (a affection) differing(s region.StreamID, was, is []region.MemberID) {
	for _, sets := range [2][2][]region.MemberID{{was, is}, {is, was}} {
		for _, peer := range sets[0] {
			if peer != "" && !slices.Contains(sets[1], peer) {
				a.mark(peer, s)
			}
		}
	}
}

func (a affection) mark(m region.MemberID, s region.StreamID) {
	key := roleKey{m, s}
	if _, marked := a.roles[key]; !marked {
		a.roles[key] = false
	}
}

// member marks every role in which m occurs: its address may be another one.
func (a affection) member(m region.MemberID) {
	for _, r := range []*region.Region{a.before, a.after} {
		for s, n := range r.Places(m) {
			a.mark(m, s)
			for _, list := range [][]region.MemberID{feeders(n), warm(n), r.Children(s, m), r.Leaving(s, m), r.Dependents(s, m)} {
				a.differing(s, nil, list)
			}
		}
	}
}

// tree marks every role of a stream that has ended.
func (a affection) tree(s region.StreamID) {
	for n := range a.before.Nodes(s) {
		a.mark(n.Member, s)
	}
}
