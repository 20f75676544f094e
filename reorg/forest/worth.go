package forest

import (
	"cmp"
	"slices"
)

// mostPlaces is how many places a node that can gain little itself looks at.
const mostPlaces = 16

// weigh finds out which nodes are worth looking at, and which places, before a
// pass over all nodes. A step needs to gain s.least. Nearly all nodes of a large
// tree are leaves or little more: they can gain that only by taking the place of
// somebody who carries many, and of such places there are few, for what they
// can gain adds up to no more than twice the total.
func (s *Search) weigh() {
	f := s.f
	s.places = s.places[:0]
	for range f.trees {
		s.places = append(s.places, nil)
	}
	for v := range f.nodes {
		n := &f.nodes[v]
		s.span[v] = 0
		if n.parent == None {
			continue
		}
		span := float64(n.size) * (n.delay - f.nodes[n.parent].delay)
		for x := n.child; x != None; x = f.nodes[x].next {
			span += float64(f.nodes[x].size) * (f.nodes[x].delay - n.delay)
		}
		s.span[v] = span
		if span > s.least/2 {
			s.places[n.tree] = append(s.places[n.tree], int32(v))
		}
	}
	for t, places := range s.places {
		slices.SortFunc(places, func(a, b int32) int {
			return cmp.Or(cmp.Compare(s.span[b], s.span[a]), cmp.Compare(a, b))
		})
		s.places[t] = places[:min(mostPlaces, len(places))]
	}
	for v := range f.nodes {
		s.worths[v] = s.worth(int32(v))
	}
	slices.SortFunc(s.order, func(a, b int32) int {
		if s.worths[a] != s.worths[b] {
			return cmp.Compare(s.worths[b], s.worths[a])
		}
		return cmp.Compare(a, b)
	})
}

// worth is more than v could gain with all below it wherever it went, and more
// than what is below it could gain if another took its place.
func (s *Search) worth(v int32) float64 {
	n := &s.f.nodes[v]
	return float64(n.size)*n.delay + s.span[v]
}

// relieve finds the best step in which v, which gains little itself, takes a place
// where others gain.
func (s *Search) relieve(v int32, best *option) {
	f := s.f
	n := &f.nodes[v]
	if n.child == None && f.free[n.member] <= 0 {
		return // it can feed nobody there
	}
	worth := s.worth(v)
	for _, c := range s.places[n.tree] {
		if worth+s.span[c] <= s.least {
			return
		}
		s.Evaluations++
		p := f.nodes[c].parent
		if p == v || p == n.parent || c == v {
			continue
		}
		m := &f.nodes[p]
		if m.delay >= n.delay || n.layers&^m.layers != 0 || f.free[m.member] >= n.rate {
			continue
		}
		if at := m.delay + f.Cost(m.member, n.member); at < n.delay {
			s.replace(v, p, c, at, float64(n.size)*(n.delay-at), best)
		}
	}
}
