package reorg

import (
	"math/bits"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg/forest"
)

// mostRemembered is up to how many members all RTTs are remembered (16 MB).
const mostRemembered = 2048

// A charted region is its trees as a forest, and the names of its numbers.
type charted struct {
	forest  *forest.Forest
	members []region.MemberID
	streams []region.StreamID
}

// chart turns r into a forest. Members keep the order of their IDs, trees that
// of their streams.
func chart(r *region.Region, rtt region.RTT, b Budget, now time.Time) *charted {
	m := &charted{}
	number := make(map[region.MemberID]int32, r.MemberCount())
	var uplink []int64
	var toll []float64
	for member := range r.Members() {
		number[member.ID] = int32(len(m.members))
		m.members = append(m.members, member.ID)
		uplink = append(uplink, int64(member.Uplink)-int64(member.Leaf)-int64(r.Sending(member.ID)))
		toll = append(toll, milliseconds(r.Policy.Toll(member.Forward, region.Hazard(now.Sub(member.Joined)))))
	}
	type edge struct {
		member, parent int32
		rate           int64
		layers         uint16
		settled        bool
	}
	trees := make([][]edge, 0, r.StreamCount())
	standing := make(map[[2]int32]float64)
	for stream := range r.Streams() {
		m.streams = append(m.streams, stream.ID)
		tree := make([]edge, 0, r.NodeCount(stream.ID))
		for n := range r.Nodes(stream.ID) {
			e := edge{member: number[n.Member], parent: forest.None, layers: uint16(n.Layers), settled: n.State != region.Reserved}
			if n.Parent != "" {
				e.parent, e.rate = number[n.Parent], int64(stream.Rate(n.Layers))
				// Adding the node to the forest takes this off again.
				uplink[e.parent] += e.rate
				standing[[2]int32{min(e.member, e.parent), max(e.member, e.parent)}] = milliseconds(n.Hop)
			}
			tree = append(tree, e)
		}
		trees = append(trees, tree)
	}
	m.forest = forest.New(hops(estimates{rtt, m.members, standing, b.Doubt}, b.Shakes > 0), uplink, toll)
	node := make([]int32, len(m.members))
	for _, tree := range trees {
		for _, e := range tree {
			if e.parent == forest.None {
				node[e.member] = m.forest.AddRoot(e.member)
				continue
			}
			node[e.member] = m.forest.Add(e.member, node[e.parent], e.rate, e.layers)
			if !e.settled {
				m.forest.Pin(node[e.member])
			}
		}
	}
	return m
}

// unthinkable is a hop that no move can pay for, in ms.
const unthinkable = 1e6

// estimates asks for RTTs one by one; a guess counts more than it says.
type estimates struct {
	rtt     region.RTT
	members []region.MemberID
	// standing are the hops of the edges that exist: they were measured even if
	// rtt does not know it any more.
	standing map[[2]int32]float64
	doubt    float64
}

func (e estimates) Hop(a, b int32) float64 {
	rtt, measured := e.rtt.RTT(e.members[a], e.members[b])
	hop := max(milliseconds(rtt)/2, 0)
	if measured {
		return hop
	}
	if hop, ok := e.standing[[2]int32{min(a, b), max(a, b)}]; ok {
		return hop
	}
	if e.doubt == 0 {
		return unthinkable
	}
	return hop * max(e.doubt, 1)
}

// A memory asks again only for what it had to forget. It has room for so many
// pairs per member as a round looks at, not for all of them.
type memory struct {
	estimates
	pairs []pair
	shift int
}

// A pair is two members, the smaller first, as one number above 0, and the hop
// between them.
type pair struct {
	key uint32
	hop float32
}

// pairsPerMember is how many pairs a memory has room for, at least.
const pairsPerMember = 64

// newMemory is for at most 2^16 members.
func newMemory(e estimates) *memory {
	width := bits.Len(uint(pairsPerMember*len(e.members) - 1))
	return &memory{estimates: e, pairs: make([]pair, 1<<width), shift: 32 - width}
}

func (m *memory) Hop(a, b int32) float64 {
	const golden = 0x9e3779b9
	key := uint32(min(a, b))<<16 | uint32(max(a, b))
	p := &m.pairs[key*golden>>m.shift]
	if p.key != key {
		*p = pair{key, float32(m.estimates.Hop(a, b))}
	}
	return float64(p.hop)
}

// hops remembers answers. all says that every pair will be asked for, often.
func hops(e estimates, all bool) forest.Hops {
	n := len(e.members)
	if !all || n > mostRemembered {
		return newMemory(e)
	}
	known := make(forest.Matrix, n)
	cells := make([]float32, n*n)
	for i := range known {
		known[i] = cells[i*n : (i+1)*n]
	}
	for i := range int32(n) {
		for j := range i {
			hop := float32(e.Hop(i, j))
			known[i][j], known[j][i] = hop, hop
		}
	}
	return known
}

// named turns shifts into a move. from tells the parents before them.
func (m *charted) named(kind Kind, shifts []forest.Shift, from func(node int32) int32, gain float64) Move {
	move := Move{Kind: kind, Gain: span(gain)}
	for _, s := range shifts {
		move.Steps = append(move.Steps, region.Step{
			Stream: m.streams[m.forest.TreeOf(s.Node)],
			Member: m.name(s.Node),
			From:   m.name(from(s.Node)),
			To:     m.name(s.Parent),
		})
	}
	return move
}

func (m *charted) name(node int32) region.MemberID { return m.members[m.forest.Member(node)] }

var kindOf = [...]Kind{
	forest.Reparent: Reparent,
	forest.Swap:     SubtreeSwap,
	forest.Between:  Promotion,
	forest.Eject:    Chain,
	forest.Exchange: PositionSwap,
}

// taken describes the step that the search has just taken.
func (m *charted) taken(search *forest.Search, kind forest.Kind, gain float64) Move {
	before := make(map[int32]int32)
	var shifts []forest.Shift
	search.Journal(func(node, parent int32) {
		if _, ok := before[node]; !ok {
			before[node] = parent
			shifts = append(shifts, forest.Shift{Node: node, Parent: m.forest.Parent(node)})
		}
	})
	shifts = slices.DeleteFunc(shifts, func(s forest.Shift) bool { return before[s.Node] == s.Parent })
	m.forest.TopDown(shifts)
	return m.named(kindOf[kind], shifts, func(node int32) int32 { return before[node] }, gain)
}

// retrace finds moves that lead from the trees of base to those found, and
// leaves the forest where they end.
func (m *charted) retrace(base []int32, least float64, most int) []Move {
	found := m.forest.Parents()
	m.forest.Restore(base)
	stages := m.forest.Towards(found, least, most)
	at := slices.Clone(base)
	moves := make([]Move, len(stages))
	for i, stage := range stages {
		kind := Chain
		if len(stage.Shifts) == 1 {
			kind = Reparent
		}
		moves[i] = m.named(kind, stage.Shifts, func(node int32) int32 { return at[node] }, stage.Gain)
		for _, s := range stage.Shifts {
			at[s.Node] = s.Parent
		}
	}
	return moves
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
