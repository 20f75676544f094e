package region

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A Fate is what becomes of a region that is to be merged into another one. As
// long as Into is set, nothing else may be changed in it. Over says that the
// other one has taken it in: it exists no more.
//
// Attempt tells mergers of one region apart: the revision on which it was frozen. One
// that is refused may be tried again later.
type Fate struct {
	Into    ID
	Attempt Revision
	Over    bool
}

// A Joint says where a gateway of one of two regions that become one hangs in the
// other one's tree, if neither draws the stream from the other: then it was drawn
// from a third one, and need not be any more. Whose gateway it is says which tree
// hangs below the other.
type Joint struct {
	Stream StreamID
	Node   Node
}

// Unite makes one region of two, as plain data: what frozen holds is added to into.
// It is the reverse of Cut: where one region draws a stream from the other, the
// tree is put together again at the gateway. The result is a generation on from
// both. ErrExists says that a name, or an SSRC, stands for two things.
func Unite(into, frozen Snapshot, joints []Joint) (Snapshot, error) {
	if frozen.Fate.Into != into.ID || into.Fate.Into != "" {
		return Snapshot{}, fmt.Errorf("region %s takes in %s: %w", into.ID, frozen.ID, ErrFrozen)
	}
	out := into
	out.Generation = max(into.Generation, frozen.Generation) + 1
	out.LastLease = max(into.LastLease, frozen.LastLease)
	fail := func(err error) (Snapshot, error) {
		return Snapshot{}, fmt.Errorf("region %s takes in %s: %w", into.ID, frozen.ID, err)
	}
	var err error
	into.Trees, frozen.Trees = slices.Clone(into.Trees), slices.Clone(frozen.Trees)
	into.Members = strayless(into, frozen)
	frozen.Members = strayless(frozen, into)
	out.Trees = into.Trees
	if out.Members, err = joinMembers(into, frozen); err != nil {
		return fail(err)
	}
	hang := make(map[StreamID]Node, len(joints))
	for _, j := range joints {
		hang[j.Stream] = j.Node
	}
	for _, t := range frozen.Trees {
		i, known := slices.BinarySearchFunc(out.Trees, t.Stream.ID, func(t Tree, id StreamID) int { return cmp.Compare(t.Stream.ID, id) })
		switch {
		case known:
			if out.Trees[i], err = joinTrees(into.ID, frozen.ID, out.Trees[i], t, hang[t.Stream.ID]); err != nil {
				return fail(err)
			}
		case t.Stream.From == into.ID:
			// It has ended where it came from.
		default:
			out.Trees = slices.Insert(out.Trees, i, t)
		}
	}
	out.Trees = slices.DeleteFunc(out.Trees, func(t Tree) bool { return t.Stream.From == frozen.ID })
	return out, nil
}

// strayless takes out of a region, and of its trees, the visitors that are said to be
// at home in the other one and have left it: nobody waits for them any more.
func strayless(s, other Snapshot) []Member {
	stray := func(m Member) bool {
		_, there := slices.BinarySearchFunc(other.Members, m.ID, func(m Member, id MemberID) int { return cmp.Compare(m.ID, id) })
		return m.Home == other.ID && !there
	}
	gone := make(map[MemberID]bool)
	for _, m := range s.Members {
		if stray(m) {
			gone[m.ID] = true
		}
	}
	if len(gone) == 0 {
		return s.Members
	}
	for i, t := range s.Trees {
		s.Trees[i].Nodes = pruned(t.Nodes, func(m MemberID) bool { return gone[m] })
	}
	return slices.DeleteFunc(slices.Clone(s.Members), stray)
}

// pruned leaves leaves out of a tree, also as standbys.
func pruned(nodes []Node, out func(MemberID) bool) []Node {
	var kept []Node
	for _, n := range nodes {
		if !out(n.Member) {
			n.Standbys = slices.DeleteFunc(slices.Clone(n.Standbys), out)
			kept = append(kept, n)
		}
	}
	return kept
}

// joinMembers takes everybody once, and from where they are at home.
func joinMembers(into, frozen Snapshot) ([]Member, error) {
	list := slices.Clone(into.Members)
	for _, m := range frozen.Members {
		i, known := slices.BinarySearchFunc(list, m.ID, func(m Member, id MemberID) int { return cmp.Compare(m.ID, id) })
		switch {
		case !known && m.Home == into.ID:
			// It was at home in the other region, and has left it.
			return nil, fmt.Errorf("gateway %s: %w", m.ID, ErrUnknownMember)
		case !known:
			list = slices.Insert(list, i, m)
		case m.Home != "" && list[i].Home != frozen.ID:
			// What is held already is its home, or as good.
		case m.Home == "" && list[i].Home != "":
			list[i] = m
		default:
			return nil, fmt.Errorf("member %s is at home in both: %w", m.ID, ErrExists)
		}
	}
	for _, m := range list {
		if m.Home == frozen.ID {
			return nil, fmt.Errorf("gateway %s: %w", m.ID, ErrUnknownMember)
		}
	}
	return list, nil
}

// joinTrees puts together what one region draws from the other, or what both draw
// from a third.
func joinTrees(into, frozen ID, a, b Tree, hang Node) (Tree, error) {
	switch {
	case b.Stream.From == into:
		return expand(a, b)
	case a.Stream.From == frozen:
		return expand(b, a)
	}
	above, below, ok := stacked(a, b, hang.Member == a.Stream.Origin)
	if !ok || hang.Member != below.Stream.Origin || slices.ContainsFunc(above.Nodes, func(n Node) bool { return n.Member == hang.Member }) {
		return Tree{}, fmt.Errorf("stream %s: %w", b.Stream.ID, ErrExists)
	}
	above.Nodes = append(slices.Clip(above.Nodes), hang)
	return expand(above, below)
}

// stacked puts the tree of b below that of a, two trees of one stream, or, if turned, the
// other way round. ok is false if they are of two streams, or if what is published in
// one of the two regions would be drawn from elsewhere.
func stacked(a, b Tree, turned bool) (above, below Tree, ok bool) {
	above, below = a, b
	if turned {
		above, below = b, a
	}
	return above, below, a.Stream.SSRC == b.Stream.SSRC && below.Stream.From != ""
}

// Joints decides where gateways hang if r takes in frozen, see Joint: under the
// nearest member with room. The edges are reserved until now + hold. ErrLimit if
// there is no room.
//
// published says where a stream is published that the two draw from two other regions.
// Whoever draws it from there feeds the other one, which may draw it from somebody who
// draws it, by any number of regions, from the first. ErrUncut if neither does: who hangs
// below whom is not known then.
func (r *Region) Joints(frozen Snapshot, published func(StreamID) ID, now time.Time, hold time.Duration, rtt RTT) ([]Joint, error) {
	other, err := Load(frozen)
	if err != nil {
		return nil, err
	}
	room := make(map[MemberID]Rate)
	var joints []Joint
	for _, b := range frozen.Trees {
		mine := r.tree(b.Stream.ID)
		if mine == nil || b.Stream.From == r.id || mine.stream.From == frozen.ID {
			continue
		}
		turned, err := detour(mine.stream, b.Stream, published)
		if err != nil {
			return nil, err
		}
		above, below, ok := stacked(Tree{Stream: mine.stream}, Tree{Stream: b.Stream}, turned)
		if !ok {
			return nil, fmt.Errorf("stream %s is published in %s and in %s: %w", b.Stream.ID, r.id, frozen.ID, ErrExists)
		}
		in := r
		if below.Stream.Origin != b.Stream.Origin {
			in = other
		}
		gateway := below.Stream.Origin
		parent, hop := in.joint(above.Stream, gateway, room, rtt)
		if parent == "" {
			return nil, fmt.Errorf("stream %s: nobody in %s can feed %s: %w", b.Stream.ID, in.id, gateway, ErrLimit)
		}
		room[parent] -= above.Stream.Rate(above.Stream.all())
		joints = append(joints, Joint{Stream: b.Stream.ID, Node: Node{
			Member: gateway, Parent: parent, Layers: above.Stream.all(), Hop: hop, State: Reserved, Deadline: now.Add(hold),
		}})
	}
	return joints, nil
}

// detour says whether a is drawn from further away than b, two streams that are one.
func detour(a, b Stream, published func(StreamID) ID) (bool, error) {
	if a.From == b.From || a.From == "" || b.From == "" {
		return b.From == "", nil
	}
	switch published(a.ID) {
	case a.From:
		return false, nil
	case b.From:
		return true, nil
	}
	return false, fmt.Errorf("stream %s is drawn from %s and from %s: %w: neither publishes it", a.ID, a.From, b.From, ErrUncut)
}

// joint finds the member of a tree under which a gateway of another region has the
// least delay. room is what is left at those that were asked for before.
func (r *Region) joint(s Stream, gateway MemberID, room map[MemberID]Rate, rtt RTT) (best MemberID, hop time.Duration) {
	var least time.Duration
	for n := range r.Nodes(s.ID) {
		m, _ := r.Member(n.Member)
		if _, asked := room[n.Member]; !asked {
			room[n.Member] = r.Free(n.Member)
		}
		if m.Home != "" || n.Layers != s.all() || room[n.Member] < s.Rate(s.all()) || n.Member == gateway {
			continue
		}
		delay, _ := r.Delay(s.ID, n.Member)
		way, _ := rtt.RTT(n.Member, gateway)
		if total := delay + m.Forward + way/2; best == "" || total < least {
			best, least, hop = n.Member, total, min(way/2, MaxDelay)
		}
	}
	return best, hop
}

// expand puts the tree of below in the place of its root, which is a leaf of
// above.
func expand(above, below Tree) (Tree, error) {
	at := slices.IndexFunc(above.Nodes, func(n Node) bool { return n.Member == below.Stream.Origin })
	if at < 0 || slices.ContainsFunc(above.Nodes, func(n Node) bool { return n.Parent == below.Stream.Origin }) {
		return Tree{}, fmt.Errorf("gateway %s of %s: %w: it is no leaf where it draws the stream", below.Stream.Origin, below.Stream.ID, ErrUncut)
	}
	// Who stands by for the gateway has a place in both, and needs that above no more.
	twice := func(m MemberID) bool {
		return m != below.Stream.Origin && slices.ContainsFunc(below.Nodes, func(n Node) bool { return n.Member == m })
	}
	out := Tree{Stream: above.Stream, Nodes: pruned(above.Nodes, twice)}
	for _, n := range below.Nodes {
		if n.Member != below.Stream.Origin {
			out.Nodes = append(out.Nodes, n)
		}
	}
	return out, nil
}
