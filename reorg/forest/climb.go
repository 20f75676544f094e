package forest

// A Kind is the shape of a step of the search.
type Kind uint8

// The kinds of steps.
const (
	nothing Kind = iota
	// Reparent: v goes to p.
	Reparent
	// Swap: v goes to p in place of c, and c to where v was.
	Swap
	// Between: v goes between p and its child c.
	Between
	// Eject: v goes to p in place of c, and c to the free place q.
	Eject
	// Exchange: v and c change places, and what hangs below them stays.
	Exchange
)

// An option is a step that was looked at.
type option struct {
	kind       Kind
	v, p, c, q int32
	gain       float64
}

// best finds the step that makes the most of moving v to a shorter delay. The
// gain is exact for steps within one tree that do not interact, and an estimate
// otherwise: apply tells.
func (s *Search) best(v int32) option {
	f := s.f
	n := &f.nodes[v]
	best := option{v: v}
	if n.parent == None || n.pinned {
		return best
	}
	if s.worth(v) <= s.least {
		s.relieve(v, &best)
		return best
	}
	size, pv := float64(n.size), n.parent
	for _, p := range s.candidates(n.tree) {
		s.Evaluations++
		if p == v || p == pv {
			continue
		}
		m := &f.nodes[p]
		if m.delay >= n.delay || n.layers&^m.layers != 0 {
			continue
		}
		at := m.delay + f.Cost(m.member, n.member)
		if at >= n.delay {
			continue
		}
		gain := size * (n.delay - at)
		if f.free[m.member] >= n.rate {
			if gain > best.gain {
				best = option{kind: Reparent, v: v, p: p, gain: gain}
			}
			continue
		}
		s.displace(v, p, at, gain, &best)
	}
	return best
}

// displace looks at taking the place of a child of p for v, which would then
// have delay at.
func (s *Search) displace(v, p int32, at, gain float64, best *option) {
	for c := s.f.nodes[p].child; c != None; c = s.f.nodes[c].next {
		s.Evaluations++
		s.replace(v, p, c, at, gain, best)
	}
}

// replace looks at v taking the place of c, a child of p, with delay at.
func (s *Search) replace(v, p, c int32, at, gain float64, best *option) {
	f := s.f
	m := &f.nodes[c]
	if c == v || m.pinned || m.rate < f.nodes[v].rate-f.free[f.nodes[p].member] {
		return
	}
	if gain+m.delay+s.span[v]+s.span[c] <= max(best.gain, s.least) {
		return
	}
	s.exchange(v, c, at, max(best.gain, s.least), best)
	if f.Below(v, c) {
		s.promote(v, p, c, at, best)
		return
	}
	if gain <= best.gain {
		return
	}
	s.makeRoom(v, p, c, at, gain, best)
	if gain <= best.gain {
		return
	}
	if q, d := s.vacancy(c); q != None {
		if g := gain - float64(m.size)*(d-m.delay); g > best.gain {
			*best = option{kind: Eject, v: v, p: p, c: c, q: q, gain: g}
		}
	}
}

// makeRoom looks at c, a child of p that does not carry v, going below v or to
// where v was, when v takes its place with delay at.
func (s *Search) makeRoom(v, p, c int32, at, gain float64, best *option) {
	f := s.f
	n, m, was := &f.nodes[v], &f.nodes[c], &f.nodes[f.nodes[v].parent]
	size := float64(m.size)
	// What no hop could make pay is not asked for.
	if most := gain - size*(at-m.delay); most > best.gain && f.free[n.member] >= m.rate {
		if g := most - size*f.Edge(v, c); g > best.gain {
			*best = option{kind: Between, v: v, p: p, c: c, gain: g}
		}
	}
	if most := gain - size*(was.delay-m.delay); most > best.gain && f.free[was.member]+n.rate >= m.rate {
		if g := most - size*f.Edge(n.parent, c); g > best.gain {
			*best = option{kind: Swap, v: v, p: p, c: c, gain: g}
		}
	}
}

// promote looks at lifting v over its ancestor c, which then hangs below v.
func (s *Search) promote(v, p, c int32, at float64, best *option) {
	f := s.f
	n, m := &f.nodes[v], &f.nodes[c]
	if room := f.free[n.member]; room < m.rate {
		return
	}
	rest := float64(m.size - n.size)
	most := float64(n.size)*(n.delay-at) - rest*(at-m.delay)
	if most <= best.gain {
		return
	}
	if g := most - rest*f.Edge(v, c); g > best.gain {
		*best = option{kind: Between, v: v, p: p, c: c, gain: g}
	}
}

// exchange looks at v taking the place of c, at delay at, and c that of v,
// while what hangs below the two places stays there, if that gains more than
// least. c is not below v.
func (s *Search) exchange(v, c int32, at, least float64, best *option) {
	f := s.f
	n, m := &f.nodes[v], &f.nodes[c]
	if n.rate != m.rate || n.size == m.size && n.size == 1 {
		return
	}
	// Nobody is nearer than at once: what that would gain is looked at first.
	var needV, needC int64
	most := n.delay - at + m.delay + float64(n.size)*at
	for x := m.child; x != None; x = f.nodes[x].next {
		needV += f.nodes[x].rate
		most += float64(f.nodes[x].size) * (f.nodes[x].delay - at)
	}
	for x := n.child; x != None; x = f.nodes[x].next {
		needC += f.nodes[x].rate
		most += float64(f.nodes[x].size) * f.nodes[x].delay
	}
	if most <= least || f.free[n.member]+needC < needV || f.free[m.member]+needV < needC || f.pinsBelow(v) || f.pinsBelow(c) {
		return
	}
	// When v is below c, the child of c on the way to v is on; the nodes between
	// the two places move with it.
	on := f.towards(c, v)
	g := n.delay - at
	shift := 0.0
	for x := m.child; x != None; x = f.nodes[x].next {
		s.Evaluations++
		if x == v {
			continue
		}
		edge, moved := f.Edge(v, x), float64(f.nodes[x].size)
		later := at + edge - f.nodes[x].delay
		if x == on {
			shift = later
			moved -= float64(n.size)
		}
		g -= moved * later
		// Each hop that is known makes the most that can be had less.
		if most -= moved * edge; most <= least {
			return
		}
	}
	lower := at + f.Edge(v, c)
	if on != v {
		lower = f.nodes[n.parent].delay + shift + f.Edge(n.parent, c)
	}
	g -= lower - m.delay
	for x := n.child; x != None; x = f.nodes[x].next {
		s.Evaluations++
		g -= float64(f.nodes[x].size) * (lower + f.Edge(c, x) - f.nodes[x].delay)
	}
	if g > least {
		*best = option{kind: Exchange, v: v, c: c, gain: g}
	}
}

// towards is the child of c that is v or has v below it; None if v is not below c.
func (f *Forest) towards(c, v int32) int32 {
	if !f.Below(v, c) {
		return None
	}
	for f.nodes[v].parent != c {
		v = f.nodes[v].parent
	}
	return v
}

func (f *Forest) pinsBelow(v int32) bool {
	for c := f.nodes[v].child; c != None; c = f.nodes[c].next {
		if f.nodes[c].pinned {
			return true
		}
	}
	return false
}

// vacancy finds the free place where c would have the least delay, and that
// delay. It may be a little out of date.
func (s *Search) vacancy(c int32) (int32, float64) {
	f := s.f
	if s.seen[c] != s.version {
		s.seen[c] = s.version
		n := &f.nodes[c]
		s.place[c], s.at[c] = None, 0
		for _, q := range s.candidates(n.tree) {
			s.Evaluations++
			m := &f.nodes[q]
			if f.free[m.member] < n.rate || q == n.parent || n.layers&^m.layers != 0 {
				continue
			}
			d := m.delay + f.Cost(m.member, n.member)
			if (s.place[c] == None || d < s.at[c]) && !f.Below(q, c) {
				s.place[c], s.at[c] = q, d
			}
		}
	}
	return s.place[c], s.at[c]
}

// apply carries o out and returns what it gained; if that is not more than
// least, or if o is no longer possible, everything stays as it was.
func (s *Search) apply(o option, least float64) float64 {
	f := s.f
	before := f.total
	f.Mark()
	if !s.carryOut(o) || before-f.total <= least || !f.fits() {
		f.Back()
		f.total = before
		return 0
	}
	s.version++
	return before - f.total
}

func (s *Search) carryOut(o option) bool {
	f := s.f
	pv := f.nodes[o.v].parent
	switch o.kind {
	case Reparent:
		return f.try(o.v, o.p)
	case Swap:
		return f.nodes[o.c].parent == o.p && f.try(o.v, o.p) && f.try(o.c, pv)
	case Between:
		return f.nodes[o.c].parent == o.p && f.try(o.v, o.p) && f.try(o.c, o.v)
	case Eject:
		return f.try(o.v, o.p) && f.try(o.c, o.q)
	case Exchange:
		return f.swapPlaces(o.v, o.c)
	}
	return false
}

// try moves v under p unless p is below v.
func (f *Forest) try(v, p int32) bool {
	if f.Below(p, v) {
		return false
	}
	f.Move(v, p)
	return true
}

// swapPlaces exchanges the places of v and c; v may be below c.
func (f *Forest) swapPlaces(v, c int32) bool {
	pv, pc := f.nodes[v].parent, f.nodes[c].parent
	if pv == None || pc == None || f.Below(c, v) {
		return false
	}
	ofV, ofC := f.Children(v, nil), f.Children(c, nil)
	f.Move(v, pc)
	for _, x := range ofV {
		f.Move(x, c)
	}
	for _, x := range ofC {
		if x != v {
			f.Move(x, v)
		}
	}
	if pv == c {
		pv = v
	}
	f.Move(c, pv)
	return true
}
