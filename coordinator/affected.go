package coordinator

import "github.com/skein-mesh/skein/region"

// A roleKey names the role of a member for a stream.
type roleKey struct {
	member region.MemberID
	stream region.StreamID
}

// affected finds the roles that a change may have altered: those of the members
// it names, and of their neighbours before and after it.
func affected(before, after *region.Region, c region.Change) map[roleKey]bool {
	a := affection{before, after, map[roleKey]bool{}}
	for _, e := range c.Edits {
		switch e := e.(type) {
		case region.PutMember:
			a.member(e.Member.ID)
		case region.DropMember:
			a.member(e.Member)
		case region.PutStream:
			a.node(e.Stream.ID, e.Stream.Origin)
		case region.DropStream:
			a.tree(e.Stream)
		case region.SetNode:
			a.node(e.Stream, e.Node.Member)
		case region.DropNode:
			a.node(e.Stream, e.Member)
		case region.SetStandbys:
			a.node(e.Stream, e.Member)
		case region.Confirm:
			a.node(e.Stream, e.Member)
		}
	}
	return a.roles
}

// An affection gathers affected roles.
type affection struct {
	before, after *region.Region
	roles         map[roleKey]bool
}

// node marks the role of m, and of those m draws from or is to draw from.
func (a affection) node(s region.StreamID, m region.MemberID) {
	a.roles[roleKey{m, s}] = true
	for _, r := range []*region.Region{a.before, a.after} {
		n, ok := r.Node(s, m)
		if !ok {
			continue
		}
		for _, peer := range append([]region.MemberID{n.Parent, n.Old}, n.Standbys...) {
			if peer != "" {
				a.roles[roleKey{peer, s}] = true
			}
		}
	}
}

// member marks every role in which m occurs: its address may be another one.
func (a affection) member(m region.MemberID) {
	for _, r := range []*region.Region{a.before, a.after} {
		for s := range r.Places(m) {
			a.node(s, m)
			for _, list := range [][]region.MemberID{r.Children(s, m), r.Leaving(s, m), r.Dependents(s, m)} {
				for _, peer := range list {
					a.roles[roleKey{peer, s}] = true
				}
			}
		}
	}
}

// tree marks every role of a stream that has ended.
func (a affection) tree(s region.StreamID) {
	for n := range a.before.Nodes(s) {
		a.roles[roleKey{n.Member, s}] = true
	}
}
