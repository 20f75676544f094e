package region

import (
	"cmp"
	"fmt"
	"slices"
)

// A Division says how a region becomes two: some members go to a new region, the
// child, the others stay. Every tree is cut at one edge, that to a gateway, and
// no packet takes another way than before.
type Division struct {
	Child ID
	// Members that go, by ID. Visitors are not among them: they follow those who
	// feed them.
	Members []MemberID
	// Gateways, by stream: one for every tree with nodes on both sides. It is on
	// the side that the origin is not on, draws all layers, and everybody else
	// on that side hangs below it.
	Gateways []StreamGateway
}

// A StreamGateway draws a stream for its region from another one, of which it is a
// visitor.
type StreamGateway struct {
	Stream StreamID
	Member MemberID
}

// Cut carries out a division on a region as plain data: what stays, and what the
// child begins with. Both are a generation on. ErrUncut says that a tree is not
// ready, see Crossings. It is the same on every replica.
func Cut(s Snapshot, d Division) (stay, gone Snapshot, err error) {
	c, err := newCutter(s, d)
	if err != nil {
		return stay, gone, err
	}
	stay, gone = s, s
	stay.Generation, gone.Generation = s.Generation+1, s.Generation+1
	gone.ID, gone.Revision = d.Child, 1
	stay.Members, stay.Trees, gone.Members, gone.Trees = nil, nil, nil, nil
	for _, t := range s.Trees {
		here, there, err := c.cut(t)
		if err != nil {
			return stay, gone, fmt.Errorf("divide region %s: %w", s.ID, err)
		}
		if len(here.Nodes) > 0 {
			stay.Trees = append(stay.Trees, here)
		}
		if len(there.Nodes) > 0 {
			gone.Trees = append(gone.Trees, there)
		}
	}
	here, there := placesIn(stay.Trees), placesIn(gone.Trees)
	stay.Members = c.members(s.Members, false, here, there)
	gone.Members = c.members(s.Members, true, there, here)
	return stay, gone, nil
}

// A cutter knows who goes and who visits.
type cutter struct {
	parent, child ID
	goes, visits  map[MemberID]bool
	gateways      map[StreamID]MemberID
}

func newCutter(s Snapshot, d Division) (*cutter, error) {
	c := &cutter{
		parent: s.ID, child: d.Child, goes: make(map[MemberID]bool), visits: make(map[MemberID]bool), gateways: make(map[StreamID]MemberID),
	}
	homed := 0
	for _, m := range s.Members {
		if m.Home != "" {
			c.visits[m.ID] = true
		} else {
			homed++
		}
	}
	for _, id := range d.Members {
		_, known := slices.BinarySearchFunc(s.Members, id, func(m Member, id MemberID) int { return cmp.Compare(m.ID, id) })
		switch {
		case !known:
			return nil, fmt.Errorf("divide region %s: %s: %w", s.ID, id, ErrUnknownMember)
		case c.goes[id] || c.visits[id]:
			return nil, invalid("division", "%s is named twice, or a visitor", id)
		}
		c.goes[id] = true
	}
	for _, g := range d.Gateways {
		c.gateways[g.Stream] = g.Member
	}
	switch {
	case d.Child == "" || d.Child == s.ID || len(d.Child) > MaxName:
		return nil, invalid("division", "child %q of region %s", d.Child, s.ID)
	case len(c.goes) == 0 || len(c.goes) == homed:
		return nil, invalid("division", "%d of %d members go", len(c.goes), homed)
	case s.Fate.Into != "":
		return nil, fmt.Errorf("divide region %s: %w", s.ID, ErrFrozen)
	}
	return c, nil
}

// sides tells for every node of a tree whether it goes. Visitors are where their
// parents are.
func (c *cutter) sides(t Tree) map[MemberID]bool {
	goes := make(map[MemberID]bool, len(t.Nodes))
	for _, n := range t.Nodes { // parents before children
		if c.visits[n.Member] {
			goes[n.Member] = goes[n.Parent]
		} else {
			goes[n.Member] = c.goes[n.Member]
		}
	}
	return goes
}

// cut divides a tree. A part without nodes does not exist.
func (c *cutter) cut(t Tree) (here, there Tree, err error) {
	goes := c.sides(t)
	root := goes[t.Stream.Origin]
	gateway := c.gateways[t.Stream.ID]
	home, away := Tree{Stream: t.Stream}, Tree{Stream: t.Stream}
	away.Stream.Origin, away.Stream.From, away.Stream.Standby = gateway, c.region(root), ""
	if s := t.Stream.Standby; s != "" && goes[s] != root {
		home.Stream.Standby = ""
	}
	for _, n := range t.Nodes {
		if changes(n, goes) {
			return here, there, fmt.Errorf("%w: %s is on its way from %s in %s", ErrUncut, n.Member, n.Old, t.Stream.ID)
		}
		if crosses(n, goes) {
			if !c.fit(t, n, goes) {
				return here, there, fmt.Errorf("%w: %s hangs under %s in %s", ErrUncut, n.Member, n.Parent, t.Stream.ID)
			}
			leaf := n
			leaf.Standbys = c.same(n.Standbys, goes, root)
			home.Nodes = append(home.Nodes, leaf)
			away.Nodes = append(away.Nodes, Node{Member: gateway, Layers: n.Layers, State: Standing})
			continue
		}
		n.Standbys = c.same(n.Standbys, goes, goes[n.Member])
		if goes[n.Member] == root {
			home.Nodes = append(home.Nodes, n)
		} else {
			away.Nodes = append(away.Nodes, n)
		}
	}
	if root {
		return away, home, nil
	}
	return home, away, nil
}

// crosses says whether the edge to n is between the sides.
func crosses(n Node, goes map[MemberID]bool) bool {
	return n.Parent != "" && goes[n.Parent] != goes[n.Member]
}

// changes says whether n is on its way from one side to the other.
func changes(n Node, goes map[MemberID]bool) bool {
	return n.Old != "" && (goes[n.Old] != goes[n.Member] || n.Heir != "" && goes[n.Heir] != goes[n.Member])
}

// fit says whether a tree can be cut at the edge to n: it is the gateway, draws
// everything, and from the side of the origin.
func (c *cutter) fit(t Tree, n Node, goes map[MemberID]bool) bool {
	return n.Member == c.gateways[t.Stream.ID] && goes[n.Parent] == goes[t.Stream.Origin] && n.Layers == t.Stream.all()
}

func (c *cutter) region(goes bool) ID {
	if goes {
		return c.child
	}
	return c.parent
}

// same keeps the standbys on one side.
func (c *cutter) same(standbys []MemberID, goes map[MemberID]bool, side bool) []MemberID {
	var kept []MemberID
	for _, s := range standbys {
		if goes[s] == side {
			kept = append(kept, s)
		}
	}
	return kept
}

// placesIn are those with a place in trees.
func placesIn(trees []Tree) map[MemberID]bool {
	placed := make(map[MemberID]bool)
	for _, t := range trees {
		for _, n := range t.Nodes {
			placed[n.Member] = true
		}
	}
	return placed
}

// members are those of one side: who is homed there, and the visitors with a place
// in its trees. Visitors without a place stay where they are.
func (c *cutter) members(all []Member, goes bool, here, there map[MemberID]bool) []Member {
	var list []Member
	for _, m := range all {
		switch {
		case c.visits[m.ID]:
			if !here[m.ID] && (goes || there[m.ID]) {
				continue
			}
		case c.goes[m.ID] == goes:
		case here[m.ID]:
			m.Home, m.Uplink, m.Leaf = c.region(!goes), 0, 0
		default:
			continue
		}
		list = append(list, m)
	}
	return list
}

// Crossings are the edges that keep a division from being carried out: nodes with
// their parent on the other side, gateways excepted, in the order of the trees.
// Nodes on their way between the sides count, too.
func (r *Region) Crossings(d Division) ([]Crossing, error) {
	s := r.Snapshot()
	c, err := newCutter(s, d)
	if err != nil {
		return nil, err
	}
	var list []Crossing
	for _, t := range s.Trees {
		goes := c.sides(t)
		for _, n := range t.Nodes {
			if changes(n, goes) || crosses(n, goes) && !c.fit(t, n, goes) {
				list = append(list, Crossing{Stream: t.Stream.ID, Member: n.Member, Parent: n.Parent, Moving: changes(n, goes)})
			}
		}
	}
	return list, nil
}

// A Crossing is an edge between the two sides of a division.
type Crossing struct {
	Stream         StreamID
	Member, Parent MemberID
	// Moving: it is being mended already.
	Moving bool
}
