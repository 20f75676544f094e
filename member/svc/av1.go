package svc

// The dependency descriptor of the RTP payload format for AV1, appendix A. Frames refer to
// templates, which come with keyframes.

const (
	maxTemplates = 64
	maxTargets   = 32
)

// What a frame is to a decode target.
const (
	absent     = 0
	switchable = 2
)

type template struct {
	spatial, temporal int
	targets           [maxTargets]uint8
	refers            bool // to other frames
}

// A structure is what the templates are until the next one comes.
type structure struct {
	known     bool
	offset    int
	targets   int
	templates []template
}

// read reads the descriptor of a packet. ok is false for one that is malformed, or of
// templates that did not come.
func (s *structure) read(b []byte) (t part, ok bool) {
	r := bits{data: b}
	t.begins, t.ends = r.flag(), r.flag()
	id := r.number(6)
	r.number(16) // the frame's
	var dtis, diffs bool
	if len(b) > 3 {
		fresh := r.flag()
		active := r.flag()
		dtis, diffs = r.flag(), r.flag()
		r.flag() // chains of its own
		if fresh {
			next := readStructure(&r)
			if r.bad {
				return t, false
			}
			*s = next
		}
		if active {
			r.skip(s.targets)
		}
	}
	at := (id + maxTemplates - s.offset) % maxTemplates
	if r.bad || !s.known || at >= len(s.templates) {
		return t, false
	}
	f := s.templates[at]
	if dtis {
		for i := range s.targets {
			f.targets[i] = uint8(r.number(2))
		}
	}
	if diffs {
		f.refers = false
		for size := r.number(2); size > 0 && !r.bad; size = r.number(2) {
			r.skip(4 * size)
			f.refers = true
		}
	}
	t.spatial, t.temporal = f.spatial, f.temporal
	t.key = f.spatial == 0 && !f.refers
	t.open = t.key || f.targets[s.smallest()] == switchable
	return t, !r.bad
}

// smallest is the decode target of the smallest picture with all its temporal layers.
func (s *structure) smallest() (best int) {
	most := -1
	for i := range s.targets {
		spatial, temporal := 0, 0
		for _, t := range s.templates {
			if t.targets[i] != absent {
				spatial, temporal = max(spatial, t.spatial), max(temporal, t.temporal)
			}
		}
		if spatial == 0 && temporal > most {
			best, most = i, temporal
		}
	}
	return best
}

func readStructure(r *bits) (s structure) {
	s.known, s.offset, s.targets = true, r.number(6), r.number(5)+1
	var t template
	for more := true; more && !r.bad; {
		if len(s.templates) == maxTemplates {
			r.bad = true
			return s
		}
		s.templates = append(s.templates, t)
		switch r.number(2) {
		case 1:
			t.temporal++
		case 2:
			t.spatial++
			t.temporal = 0
		case 3:
			more = false
		}
		r.bad = r.bad || t.spatial > 3 || t.temporal > 7
	}
	for i := range s.templates {
		for j := range s.targets {
			s.templates[i].targets[j] = uint8(r.number(2))
		}
	}
	for i := range s.templates {
		for r.flag() && !r.bad {
			r.skip(4)
			s.templates[i].refers = true
		}
	}
	if chains := r.nonSymmetric(s.targets + 1); chains > 0 {
		for range s.targets {
			r.nonSymmetric(chains)
		}
		r.skip(4 * len(s.templates) * chains)
	}
	if r.flag() && !r.bad { // resolutions
		r.skip(32 * (s.templates[len(s.templates)-1].spatial + 1))
	}
	return s
}

// bits reads numbers of any width; bad, once the data has ended.
type bits struct {
	data []byte
	at   int
	bad  bool
}

func (r *bits) number(width int) (n int) {
	if r.at+width > 8*len(r.data) {
		r.bad = true
		return 0
	}
	for range width {
		n = n<<1 | int(r.data[r.at/8]>>(7-r.at%8)&1)
		r.at++
	}
	return n
}

func (r *bits) flag() bool { return r.number(1) != 0 }

func (r *bits) skip(width int) {
	r.at += width
	r.bad = r.bad || r.at > 8*len(r.data)
}

// nonSymmetric reads a number below n: ns(n) of AV1.
func (r *bits) nonSymmetric(n int) int {
	width := 0
	for x := n; x > 0; x >>= 1 {
		width++
	}
	short := 1<<width - n
	v := r.number(width - 1)
	if v < short {
		return v
	}
	return v<<1 - short + r.number(1)
}
