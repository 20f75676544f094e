package forest

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// everyPair is how many relays a tree may have for each node to look at all of
// them. In larger trees it looks at those nearest to the root and at a sample,
// so that the work grows with the number of nodes and not with its square. That
// finds 9 of 10 gains in a quarter of the time (490 nodes of PlanetLab).
const (
	everyPair = 128
	hubs      = 96
)

// A Search improves a forest.
type Search struct {
	f   *Forest
	rng *rand.Rand
	// Wide lets every node look at every relay, however many there are.
	Wide bool
	// Evaluations counts the possible steps that were looked at.
	Evaluations int

	pool, all  [][]int32
	neighbours [][]int32
	// version counts the steps taken; place and at remember vacancies of seen.
	version     int32
	seen, place []int32
	at          []float64
	// least is what a step must gain; span, worths, places and order follow from
	// it, see weigh.
	least  float64
	span   []float64
	worths []float64
	places [][]int32
	order  []int32
}

// NewSearch returns a search on f. rng is used by Anneal and in trees of more
// than 128 relays only.
func NewSearch(f *Forest, rng *rand.Rand) *Search {
	n := len(f.nodes)
	order := make([]int32, n)
	for v := range order {
		order[v] = int32(v)
	}
	return &Search{f: f, rng: rng, version: 1,
		pool: make([][]int32, len(f.trees)), all: make([][]int32, len(f.trees)),
		seen: make([]int32, n), place: make([]int32, n), at: make([]float64, n),
		span: make([]float64, n), worths: make([]float64, n), order: order}
}

// candidates lists the possible parents in tree t that are looked at.
func (s *Search) candidates(t int32) []int32 {
	if s.pool[t] == nil {
		s.pool[t] = s.draw(s.relays(t))
	}
	return s.pool[t]
}

// relays lists the nodes of tree t whose members have uplink to share.
func (s *Search) relays(t int32) []int32 {
	if s.all[t] != nil {
		return s.all[t]
	}
	f := s.f
	relays := make([]int32, 0, len(f.trees[t]))
	for _, v := range f.trees[t] {
		capacity := f.free[f.nodes[v].member]
		for _, x := range f.places[f.nodes[v].member] {
			for c := f.nodes[x].child; c != None; c = f.nodes[c].next {
				capacity += f.nodes[c].rate
			}
		}
		if capacity > 0 {
			relays = append(relays, v)
		}
	}
	s.all[t] = relays
	return relays
}

// draw leaves of a large number of relays the ones next to the root and a sample.
func (s *Search) draw(relays []int32) []int32 {
	if s.Wide || len(relays) <= everyPair {
		return relays
	}
	f := s.f
	drawn := slices.Clone(relays)
	slices.SortFunc(drawn, func(a, b int32) int {
		if x, y := f.nodes[a].delay, f.nodes[b].delay; x != y {
			return cmp.Compare(x, y)
		}
		return cmp.Compare(a, b)
	})
	rest := drawn[hubs:]
	s.rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	return drawn[:everyPair]
}

// A Limit bounds a climb.
type Limit struct {
	// Steps and Evaluations are the most to be taken; 0 = no bound.
	Steps, Evaluations int
	// MinGain is the least a step must gain, in ms.
	MinGain float64
}

// Climb takes the best step it sees, again and again, until none gains more
// than the limit asks for. taken, if not nil, is called after each step with
// its kind and gain; Journal holds its moves at that time.
func (s *Search) Climb(l Limit, taken func(kind Kind, gain float64)) {
	least := max(l.MinGain, slack)
	s.least = least
	end := math.MaxInt
	if l.Evaluations > 0 {
		end = s.Evaluations + l.Evaluations
	}
	for steps := 0; ; {
		clear(s.pool)
		// Half of what is left is kept for looking again at what was found.
		queue := s.look(least, s.Evaluations+(end-s.Evaluations)/2)
		if len(queue) == 0 {
			return
		}
		progress := false
		for len(queue) > 0 {
			// What was best may have changed since it was seen: look again, and
			// let it wait if it is no longer ahead of the others.
			o := s.best(queue[0].v)
			if o.gain > least && len(queue) > 1 && o.gain < queue[1].gain {
				queue[0] = o
				sink(queue)
				continue
			}
			queue = queue[1:]
			if s.Evaluations > end {
				return
			}
			if o.gain <= least {
				continue
			}
			if gain := s.apply(o, least); gain > 0 {
				progress = true
				if steps++; taken != nil {
					taken(o.kind, gain)
				}
				if steps == l.Steps {
					return
				}
				if again := s.best(o.v); again.gain > least {
					queue = append(queue, again)
					rise(queue)
				}
			}
		}
		if !progress {
			return
		}
	}
}

// look finds the best step of every node, best first. It begins with the nodes
// that could gain most: those are looked at even if the limit is low.
func (s *Search) look(least float64, end int) []option {
	var queue []option
	s.weigh()
	for _, v := range s.order {
		if s.Evaluations > end {
			break
		}
		if o := s.best(v); o.gain > least {
			queue = append(queue, o)
		}
	}
	slices.SortStableFunc(queue, func(a, b option) int { return cmp.Compare(b.gain, a.gain) })
	return queue
}

// sink moves the first option down to its place.
func sink(queue []option) {
	o := queue[0]
	i := 1
	for ; i < len(queue) && queue[i].gain > o.gain; i++ {
		queue[i-1] = queue[i]
	}
	queue[i-1] = o
}

// rise moves the last option up to its place.
func rise(queue []option) {
	i := len(queue) - 1
	o := queue[i]
	for ; i > 0 && queue[i-1].gain < o.gain; i-- {
		queue[i] = queue[i-1]
	}
	queue[i] = o
}

// Journal lists the nodes that the last step moved and their former parents,
// in order; a node may appear twice. It is valid until the next step.
func (s *Search) Journal(each func(node, parent int32)) {
	for _, w := range s.f.journal {
		each(w.node, w.parent)
	}
}
