package region

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// untangleTries is how many parents are tried for a node that is to move.
const untangleTries = 16

// An Untangling says how Untangle proposes moves.
type Untangling struct {
	// Now and Hold are those of the moves, see Move.
	Now  time.Time
	Hold time.Duration
	RTT  RTT
	// Most bounds the moves, and Each those that touch one member.
	Most, Each int
	// Asked are moves that were proposed before and are not decided yet: what is proposed
	// now is to be possible after them.
	Asked [][]Step
	// Avoid says that a member is not to be hung under a parent at the moment; nil =
	// nothing is avoided.
	Avoid func(member, parent MemberID) bool
}

// Untangle proposes moves after which fewer edges cross a division: gateways under
// somebody on the side of the origin, everybody else under somebody on their own
// side. Each is for Move, in order, and may depend on those before it; when they are
// confirmed, it is to be asked again. left counts the crossings that
// remain, those that are being mended among them; 0 means that the division can be
// carried out once its gateways draw all layers, see Complete. No moves while some
// remain means that there is no room, or that all that helps is avoided.
func (r *Region) Untangle(by Division, x Untangling) (moves [][]Step, left int, err error) {
	list, err := r.Crossings(by)
	if err != nil || len(list) == 0 {
		return nil, 0, err
	}
	u := r.untangler(by)
	u.x, u.touched = x, make(map[MemberID]int)
	for _, steps := range x.Asked {
		u.foresee(steps)
	}
	list = append(list, u.buried(list)...)
	// Gateways first: the others are to hang below them.
	slices.SortStableFunc(list, func(a, b Crossing) int {
		return cmp.Compare(bit(u.gateways[a.Stream] != a.Member), bit(u.gateways[b.Stream] != b.Member))
	})
	for _, c := range list {
		if !c.Moving && len(u.moves) < x.Most {
			u.mend(c, list)
		}
	}
	rest, err := u.Crossings(by)
	return u.moves, len(rest), err
}

// Complete returns the edits with which the gateways of a division draw all layers, as
// far as their parents get them.
func (r *Region) Complete(by Division) []Edit {
	u := r.untangler(by)
	for _, s := range by.Gateways {
		u.complete(s)
	}
	return u.edits
}

type untangler struct {
	*draft
	goes     map[MemberID]bool
	gateways map[StreamID]MemberID
	x        Untangling
	moves    [][]Step
	touched  map[MemberID]int // how many of the moves touch a member
}

func (r *Region) untangler(by Division) *untangler {
	u := &untangler{draft: r.draft(), goes: make(map[MemberID]bool), gateways: make(map[StreamID]MemberID)}
	for _, m := range by.Members {
		u.goes[m] = true
	}
	for _, g := range by.Gateways {
		u.gateways[g.Stream] = g.Member
	}
	return u
}

// buried are the gateways of streams with crossings that hang below others of their own
// side: those could never hang below them.
func (u *untangler) buried(list []Crossing) (more []Crossing) {
	for _, s := range slices.Sorted(maps.Keys(u.gateways)) {
		g := u.gateways[s]
		n, ok := u.Node(s, g)
		tangled := slices.ContainsFunc(list, func(c Crossing) bool { return c.Stream == s })
		if ok && tangled && n.Parent != "" && u.goes[n.Parent] == u.goes[g] {
			more = append(more, Crossing{Stream: s, Member: g, Parent: n.Parent})
		}
	}
	return more
}

// foresee takes it that a move is carried out, if it still can be.
func (u *untangler) foresee(steps []Step) {
	if edits, err := u.Move(steps, u.x.Now, u.x.Hold, u.x.RTT); err == nil {
		_ = u.do(edits...) // they were made on this draft
	}
	u.touch(steps)
}

func (u *untangler) touch(steps []Step) {
	for _, s := range steps {
		u.touched[s.Member]++
		u.touched[s.To]++
	}
}

// complete lets a gateway draw all layers, if its parent gets them.
func (u *untangler) complete(g StreamGateway) {
	t, n := u.tree(g.Stream), u.node(g.Stream, g.Member)
	if n == nil || n.parent == none || n.layers == t.stream.all() || n.state == Reserved {
		return
	}
	saved := u.fork()
	next := u.export(n)
	next.Layers = t.stream.all()
	if u.do(SetNode{g.Stream, next}) != nil || u.verify() != nil {
		u.draft = saved
	}
}

// mend hangs a node under the nearest member on the side where its parent must be.
// Where nobody there has room it trades places with one that crosses the other way,
// or takes the place of another node, which then hangs under it, or somebody there
// is relieved of a child.
func (u *untangler) mend(c Crossing, all []Crossing) {
	if n, ok := u.Node(c.Stream, c.Member); !ok || n.Parent != c.Parent || n.State == Reserved {
		return // it has been mended along with another one
	}
	stream, _ := u.Stream(c.Stream)
	side := u.goes[c.Member]
	if u.gateways[c.Stream] == c.Member {
		side = u.goes[stream.Origin]
	}
	if u.goes[c.Parent] == side {
		return // a gateway that only lacks layers
	}
	parents := u.parents(c, side)
	for _, p := range parents {
		if u.Free(p) > 0 && u.try(Step{c.Stream, c.Member, c.Parent, p}) {
			return
		}
	}
	for _, o := range all {
		other := o.Stream == c.Stream && u.goes[o.Member] != side && u.goes[o.Parent] == side && u.gateways[o.Stream] != o.Member
		if other && u.try(Step{c.Stream, c.Member, c.Parent, o.Parent}, Step{o.Stream, o.Member, o.Parent, c.Parent}) {
			return
		}
	}
	for _, p := range parents {
		for _, x := range u.Children(c.Stream, p) {
			if u.goes[x] == u.goes[c.Member] && u.try(Step{c.Stream, c.Member, c.Parent, p}, Step{c.Stream, x, p, c.Member}) {
				return
			}
		}
	}
	for _, p := range parents {
		if u.relieve(p) {
			return // and there is room when that is confirmed
		}
	}
}

// relieve moves a child of p, in any tree, to somebody on the child's side who has
// room for it.
func (u *untangler) relieve(p MemberID) bool {
	for s := range u.Places(p) {
		for _, x := range u.Children(s, p) {
			if u.gateways[s] == x {
				continue
			}
			c := Crossing{Stream: s, Member: x, Parent: p}
			for _, z := range u.parents(c, u.goes[x]) {
				if z != p && u.Free(z) > 0 && u.try(Step{s, x, p, z}) {
					return true
				}
			}
		}
	}
	return false
}

// try proposes steps if they can be carried out.
func (u *untangler) try(steps ...Step) bool {
	for _, s := range steps {
		full := u.touched[s.Member] >= u.x.Each || u.touched[s.To] >= u.x.Each
		if full || u.x.Avoid != nil && u.x.Avoid(s.Member, s.To) {
			return false
		}
	}
	edits, err := u.Move(steps, u.x.Now, u.x.Hold, u.x.RTT)
	if err != nil || u.do(edits...) != nil {
		return false
	}
	u.touch(steps)
	u.moves = append(u.moves, steps)
	return true
}

// parents are the members on a side that could feed a node if they had room, those
// first with which its delay is least; at most untangleTries.
func (u *untangler) parents(c Crossing, side bool) []MemberID {
	type candidate struct {
		member MemberID
		delay  time.Duration
	}
	t, self := u.tree(c.Stream), u.memberIDs.slot(c.Member)
	child, _ := u.Node(c.Stream, c.Member)
	var list []candidate
	for n := range u.Nodes(c.Stream) {
		m, _ := u.Member(n.Member)
		if m.Home != "" || u.goes[n.Member] != side || child.Layers&^n.Layers != 0 || t.below(u.memberIDs.slot(n.Member), self) {
			continue
		}
		if m.Uplink-m.Leaf < t.stream.Rate(child.Layers) {
			continue
		}
		delay, _ := u.Delay(c.Stream, n.Member)
		hop, _ := u.x.RTT.RTT(n.Member, c.Member)
		list = append(list, candidate{n.Member, delay + m.Forward + hop/2})
	}
	room := func(m MemberID) uint64 { return bit(u.Free(m) < t.stream.Rate(child.Layers)) }
	slices.SortFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(room(a.member), room(b.member)), cmp.Compare(a.delay, b.delay), cmp.Compare(a.member, b.member))
	})
	var parents []MemberID
	for _, x := range list[:min(len(list), untangleTries)] {
		parents = append(parents, x.member)
	}
	return parents
}
