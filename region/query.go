package region

import (
	"iter"
	"slices"
	"strings"
	"time"
)

// What a Region tells about itself. Nothing that is returned changes any more;
// slices inside it are shared and must not be modified.

// ID is the name of the region.
func (r *Region) ID() ID { return r.id }

// Generation counts the changes of the region's boundary or group.
func (r *Region) Generation() Generation { return r.generation }

// Revision is that of the latest change.
func (r *Region) Revision() Revision { return r.revision }

// LastLease is the highest lease ever given in this region.
func (r *Region) LastLease() Lease { return r.lastLease }

// Fate says whether the region is being, or has been, merged into another one.
func (r *Region) Fate() Fate { return r.fate }

// MaxMembers is how many members the region may have.
func (r *Region) MaxMembers() int { return r.maxMembers }

// Member returns the present stay of id. Its slices must not be modified.
func (r *Region) Member(id MemberID) (Member, bool) {
	if m := r.members.at(r.memberIDs.slot(id)); m != nil {
		return m.Member, true
	}
	return Member{}, false
}

// Members yields all members by ID.
func (r *Region) Members() iter.Seq[Member] {
	return func(yield func(Member) bool) {
		for e := range r.memberIDs.all() {
			if !yield(r.members.at(e.slot).Member) {
				return
			}
		}
	}
}

// Oldest are the at most n members that came first, of those that fit, oldest first.
// Among members of the same age it is those whose IDs are first.
func (r *Region) Oldest(n int, fits func(*Member) bool) []Member {
	oldest := make([]*Member, 0, n+1)
	for e := range r.memberIDs.all() {
		m := &r.members.at(e.slot).Member
		if len(oldest) == n && (n == 0 || !m.Joined.Before(oldest[n-1].Joined)) || !fits(m) {
			continue
		}
		i := len(oldest)
		for i > 0 && m.Joined.Before(oldest[i-1].Joined) {
			i--
		}
		oldest = slices.Insert(oldest, i, m)
		oldest = oldest[:min(len(oldest), n)]
	}
	list := make([]Member, len(oldest))
	for i, m := range oldest {
		list[i] = *m
	}
	return list
}

// MemberCount counts the members.
func (r *Region) MemberCount() int { return r.memberIDs.len() }

// HomedCount is the number of members that are at home here.
func (r *Region) HomedCount() int {
	n := 0
	for m := range r.Members() {
		if m.Home == "" {
			n++
		}
	}
	return n
}

// Stream returns the stream of that name. Its slices must not be modified.
func (r *Region) Stream(id StreamID) (Stream, bool) {
	if t := r.tree(id); t != nil {
		return t.stream, true
	}
	return Stream{}, false
}

// Streams yields all streams by ID.
func (r *Region) Streams() iter.Seq[Stream] {
	return func(yield func(Stream) bool) {
		for e := range r.streamIDs.all() {
			if !yield(r.trees.at(e.slot).stream) {
				return
			}
		}
	}
}

// StreamCount counts the streams.
func (r *Region) StreamCount() int { return r.streamIDs.len() }

// Node returns the place of m in the tree of s.
func (r *Region) Node(s StreamID, m MemberID) (Node, bool) {
	if n := r.node(s, m); n != nil {
		return r.export(n), true
	}
	return Node{}, false
}

// Nodes yields the tree of s, parents before children and siblings by ID.
func (r *Region) Nodes(s StreamID) iter.Seq[Node] {
	return func(yield func(Node) bool) {
		t := r.tree(s)
		if t == nil {
			return
		}
		pending := []slot{t.root}
		for len(pending) > 0 {
			n := t.nodes.at(pending[len(pending)-1])
			pending = pending[:len(pending)-1]
			if !yield(r.export(n)) {
				return
			}
			first := len(pending)
			pending = append(pending, n.children...)
			slices.SortFunc(pending[first:], func(a, b slot) int {
				return strings.Compare(string(r.name(b)), string(r.name(a)))
			})
		}
	}
}

// NodeCount counts the nodes of s, the root included.
func (r *Region) NodeCount(s StreamID) int {
	if t := r.tree(s); t != nil {
		return t.count
	}
	return 0
}

// Places yields every stream in whose tree m has a place, by stream ID.
func (r *Region) Places(m MemberID) iter.Seq2[StreamID, Node] {
	return func(yield func(StreamID, Node) bool) {
		i := r.memberIDs.slot(m)
		if i == none {
			return
		}
		for _, t := range r.placesOf(i) {
			if !yield(t.stream.ID, r.export(t.nodes.at(i))) {
				return
			}
		}
	}
}

// Children of m in s, by ID. Those still in transition from m are not among them.
func (r *Region) Children(s StreamID, m MemberID) []MemberID {
	if n := r.node(s, m); n != nil {
		return r.sorted(n.children)
	}
	return nil
}

// Leaving lists the nodes that are in transition from m in s, by ID: m feeds
// them until they have confirmed their new parent.
func (r *Region) Leaving(s StreamID, m MemberID) []MemberID {
	if n := r.node(s, m); n != nil {
		return r.sorted(n.movers)
	}
	return nil
}

// Dependents of m in s: the nodes that have m among their standbys, by ID.
func (r *Region) Dependents(s StreamID, m MemberID) []MemberID {
	if n := r.node(s, m); n != nil {
		return r.sorted(n.dependents)
	}
	return nil
}

// DependentsAmong are the dependents of m in s that have it among their first standbys,
// so many of them, by ID.
func (r *Region) DependentsAmong(s StreamID, m MemberID, first int) []MemberID {
	t, i := r.tree(s), r.memberIDs.slot(m)
	if t == nil || t.nodes.at(i) == nil {
		return nil
	}
	var list []MemberID
	for _, d := range t.nodes.at(i).dependents {
		standbys := t.nodes.at(d).standbys
		if slices.Contains(standbys[:min(len(standbys), first)], i) {
			list = append(list, r.name(d))
		}
	}
	slices.Sort(list)
	return list
}

// Delay of m in s from the root: the hops on its path and the forwarding times
// of all its ancestors.
func (r *Region) Delay(s StreamID, m MemberID) (time.Duration, bool) {
	t := r.tree(s)
	n := r.node(s, m)
	if n == nil {
		return 0, false
	}
	return r.delay(t, n), true
}

func (r *Region) delay(t *tree, n *node) time.Duration {
	var d time.Duration
	for n.parent != none {
		d += n.hop + r.members.at(n.parent).Forward
		n = t.nodes.at(n.parent)
	}
	return d
}

// Path of m in s: root first, m last.
func (r *Region) Path(s StreamID, m MemberID) []MemberID {
	t := r.tree(s)
	var path []MemberID
	for n := r.node(s, m); n != nil; n = t.nodes.at(n.parent) {
		path = append(path, r.name(n.member))
	}
	slices.Reverse(path)
	return path
}

// Sending is what m sends by the structure: edges, and edges held in transition.
func (r *Region) Sending(m MemberID) Rate {
	if x := r.members.at(r.memberIDs.slot(m)); x != nil {
		return Rate(x.sending)
	}
	return 0
}

// Free is what m could still be given: Uplink - Leaf - Sending, at least 0.
func (r *Region) Free(m MemberID) Rate {
	if x := r.members.at(r.memberIDs.slot(m)); x != nil {
		return x.free()
	}
	return 0
}

// sorted gives the names of set, in order.
func (r *Region) sorted(set []slot) []MemberID {
	names := r.names(set)
	slices.Sort(names)
	return names
}

func (r *Region) names(set []slot) []MemberID {
	if len(set) == 0 {
		return nil
	}
	names := make([]MemberID, len(set))
	for i, s := range set {
		names[i] = r.name(s)
	}
	return names
}

// placesOf lists the trees in which member i has a node, by stream ID.
func (r *Region) placesOf(i slot) []*tree {
	places := r.members.at(i).places
	trees := make([]*tree, len(places))
	for k, s := range places {
		trees[k] = r.trees.at(s)
	}
	slices.SortFunc(trees, func(a, b *tree) int {
		return strings.Compare(string(a.stream.ID), string(b.stream.ID))
	})
	return trees
}

func (r *Region) export(n *node) Node {
	return Node{
		Member:   r.name(n.member),
		Parent:   r.name(n.parent),
		Layers:   n.layers,
		Hop:      n.hop,
		State:    n.state,
		Deadline: n.deadline,
		Old:      r.name(n.old),
		OldHop:   n.oldHop,
		Heir:     n.heir,
		Standbys: r.names(n.standbys),
	}
}
