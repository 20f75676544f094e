package forest

import "slices"

// None is the parent of a root.
const None = int32(-1)

// Hops tells the time a packet is under way from member a to member b, in ms.
type Hops interface {
	Hop(a, b int32) float64
}

// A Matrix is Hops as a table: hop from member i to member j at [i][j].
type Matrix [][]float32

// Hop looks the hop up.
func (m Matrix) Hop(a, b int32) float64 { return float64(m[a][b]) }

// A Forest is trees over the same members. Members and nodes are numbers from 0;
// every node is the place of one member in one tree. It is not safe for
// concurrent use.
type Forest struct {
	hops Hops
	// rows is hops if that is a Matrix, read without a call.
	rows Matrix
	// extra is what a member adds to each edge below it: forwarding time and
	// weighted hazard, in ms.
	extra []float64
	// free is the uplink a member has left. It is negative only within a move.
	free []int64
	// places lists the nodes of a member.
	places [][]int32

	nodes []node
	trees [][]int32
	total float64
	// uneven: not all nodes draw the same.
	uneven bool

	// journal holds the parents that were left since it was last emptied.
	journal []was
	stack   []int32
}

// A node is the place of a member in one tree.
type node struct {
	member, tree              int32
	parent, child, prev, next int32
	// pinned nodes keep their parent.
	pinned bool
	// size counts the nodes of the subtree, this one included.
	size int32
	// rate is what the parent sends to this node; layers is what it consists of.
	rate   int64
	layers uint16
	// delay from the root with all extras on the way, in ms.
	delay float64
}

// slack covers the rounding of delays that were changed very often, in ms.
const slack = 1e-6

const allLayers = 1<<16 - 1

type was struct{ node, parent int32 }

// New returns a forest without trees. uplink and extra have one entry per
// member; the forest keeps both.
func New(hops Hops, uplink []int64, extra []float64) *Forest {
	f := &Forest{hops: hops, extra: extra, free: uplink, places: make([][]int32, len(uplink))}
	f.rows, _ = hops.(Matrix)
	return f
}

// AddRoot starts a tree with member as its root and returns the root's node.
func (f *Forest) AddRoot(member int32) int32 {
	v := f.add(node{member: member, tree: int32(len(f.trees)), parent: None, layers: allLayers})
	f.trees = append(f.trees, []int32{v})
	return v
}

// Add hangs member under node parent and returns its node. It does not ask
// whether parent has room (see Room) or gets the layers itself.
func (f *Forest) Add(member, parent int32, rate int64, layers uint16) int32 {
	t := f.nodes[parent].tree
	if last := &f.nodes[len(f.nodes)-1]; last.parent != None && last.rate != rate {
		f.uneven = true
	}
	v := f.add(node{member: member, tree: t, parent: None, rate: rate, layers: layers})
	f.trees[t] = append(f.trees[t], v)
	f.link(v, parent)
	return v
}

// Pin forbids a search to move v.
func (f *Forest) Pin(v int32) { f.nodes[v].pinned = true }

func (f *Forest) add(n node) int32 {
	n.child, n.prev, n.next, n.size = None, None, None, 1
	v := int32(len(f.nodes))
	f.nodes = append(f.nodes, n)
	f.places[n.member] = append(f.places[n.member], v)
	return v
}

// Members counts the members, Nodes the nodes, Trees the trees.
func (f *Forest) Members() int { return len(f.free) }

// Nodes counts the nodes of all trees.
func (f *Forest) Nodes() int { return len(f.nodes) }

// Tree lists the nodes of tree t in the order they were added, the root first.
// The caller must not modify it.
func (f *Forest) Tree(t int32) []int32 { return f.trees[t] }

// Member of node v.
func (f *Forest) Member(v int32) int32 { return f.nodes[v].member }

// TreeOf is the tree of node v.
func (f *Forest) TreeOf(v int32) int32 { return f.nodes[v].tree }

// Parent of node v; None for a root.
func (f *Forest) Parent(v int32) int32 { return f.nodes[v].parent }

// Delay of node v from its root, extras included, in ms.
func (f *Forest) Delay(v int32) float64 { return f.nodes[v].delay }

// Size counts the nodes of the subtree of v, v included.
func (f *Forest) Size(v int32) int { return int(f.nodes[v].size) }

// Total is the sum of all delays, in ms.
func (f *Forest) Total() float64 { return f.total }

// Free is the uplink that member has left.
func (f *Forest) Free(member int32) int64 { return f.free[member] }

// Room tells whether the member of p has uplink left for a node of that rate.
func (f *Forest) Room(p int32, rate int64) bool { return f.free[f.nodes[p].member] >= rate }

// Children appends the children of v to dst.
func (f *Forest) Children(v int32, dst []int32) []int32 {
	for c := f.nodes[v].child; c != None; c = f.nodes[c].next {
		dst = append(dst, c)
	}
	return dst
}

// Depth counts the edges from the root to v.
func (f *Forest) Depth(v int32) int {
	depth := 0
	for p := f.nodes[v].parent; p != None; p = f.nodes[p].parent {
		depth++
	}
	return depth
}

// Degree counts the children of v.
func (f *Forest) Degree(v int32) int {
	n := 0
	for c := f.nodes[v].child; c != None; c = f.nodes[c].next {
		n++
	}
	return n
}

// Edge is what hanging node v under node p adds to p's delay.
func (f *Forest) Edge(p, v int32) float64 {
	return f.Cost(f.nodes[p].member, f.nodes[v].member)
}

// Cost is what member b receives later than member a if a feeds it.
func (f *Forest) Cost(a, b int32) float64 {
	if f.rows != nil {
		return f.extra[a] + float64(f.rows[a][b])
	}
	return f.extra[a] + f.hops.Hop(a, b)
}

// Below tells whether p is v or hangs below it.
func (f *Forest) Below(p, v int32) bool {
	for limit := f.nodes[v].delay; p != None; p = f.nodes[p].parent {
		if p == v {
			return true
		}
		if f.nodes[p].delay < limit-slack {
			return false
		}
	}
	return false
}

// Move hangs v with all below it under p, which must not be below v.
func (f *Forest) Move(v, p int32) {
	f.journal = append(f.journal, was{v, f.nodes[v].parent})
	f.unlink(v)
	f.link(v, p)
}

// Mark empties the journal: Back returns to this point.
func (f *Forest) Mark() { f.journal = f.journal[:0] }

// Back undoes all moves since Mark.
func (f *Forest) Back() {
	for _, w := range slices.Backward(f.journal) {
		f.unlink(w.node)
		f.link(w.node, w.parent)
	}
	f.journal = f.journal[:0]
}

func (f *Forest) unlink(v int32) {
	n := &f.nodes[v]
	p := n.parent
	if n.prev == None {
		f.nodes[p].child = n.next
	} else {
		f.nodes[n.prev].next = n.next
	}
	if n.next != None {
		f.nodes[n.next].prev = n.prev
	}
	f.free[f.nodes[p].member] += n.rate
	for ; p != None; p = f.nodes[p].parent {
		f.nodes[p].size -= n.size
	}
	n.prev, n.next, n.parent = None, None, None
}

func (f *Forest) link(v, p int32) {
	n := &f.nodes[v]
	n.parent, n.prev, n.next = p, None, f.nodes[p].child
	if n.next != None {
		f.nodes[n.next].prev = v
	}
	f.nodes[p].child = v
	f.free[f.nodes[p].member] -= n.rate
	for q := p; q != None; q = f.nodes[q].parent {
		f.nodes[q].size += n.size
	}
	f.shift(v, f.nodes[p].delay+f.Edge(p, v)-n.delay)
}

// shift adds d to the delay of v and of all below it.
func (f *Forest) shift(v int32, d float64) {
	if d == 0 {
		return
	}
	f.stack = append(f.stack[:0], v)
	for len(f.stack) > 0 {
		u := f.stack[len(f.stack)-1]
		f.stack = f.stack[:len(f.stack)-1]
		f.nodes[u].delay += d
		f.total += d
		for c := f.nodes[u].child; c != None; c = f.nodes[c].next {
			f.stack = append(f.stack, c)
		}
	}
}
