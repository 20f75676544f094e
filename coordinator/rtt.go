package coordinator

import (
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/region"
)

const (
	// unknownRTT is the guess for members of which nothing is known: that of a
	// continent, so that neither a measured neighbour nor a measured stranger
	// loses against it.
	unknownRTT = 40 * time.Millisecond
	// maxRTT is the longest round trip that is taken for a measurement.
	maxRTT = 5 * time.Second
	// freshRTT is how long a sample counts as known.
	freshRTT = 30 * time.Minute
	// agreeRTT is how far apart the samples of the two ends may be in time for
	// both to count; else the newer one does.
	agreeRTT = 5 * time.Minute
	// A way has become another one if its round trip takes longer by jumpShare and
	// jumpLeast.
	jumpShare, jumpLeast = 0.5, 10 * time.Millisecond
	// One long sample is an accident, jumpSamples in a row are not.
	jumpSamples = 2
	// jumpPeers is how many ways of a member must have become longer within
	// jumpWindow for all it is known of before to be forgotten. The words of two
	// others do not suffice.
	jumpPeers  = 3
	jumpWindow = 30 * time.Second
	// A member has at most maxWitnesses, and fewer than minWitnesses say nothing.
	maxWitnesses, minWitnesses = 24, 8
	// floorEvery is how often it is looked again at what others witness of a way whose
	// ends say the same as before.
	floorEvery = time.Minute
)

// rtts is what a leader knows of the round-trip times between the members of a
// region: their own samples, and an estimate by network coordinates where there
// is none. It is bounded by the square of the region's members.
//
// Nobody can make a way seem shorter than its other end says: of the two ends'
// samples the longer one counts. Nor can both ends together make it seem much shorter
// than others witness: who is 10 ms from one end and 60 from the other knows that it
// takes 50. Who exaggerates makes itself unattractive, which it could as well do by
// offering no uplink.
type rtts struct {
	mu sync.RWMutex
	// numbers are by which members are known here: samples come a hundred times as
	// often as members. places and ways are by these numbers.
	numbers map[region.MemberID]int32
	places  []*place // nil where the number is free
	free    []int32
	ways    map[way]*sample
	// news counts the ways that are news.
	news int
}

// A way is between two members, the smaller number first.
type way struct{ a, b int32 }

func wayOf(a, b int32) way { return way{min(a, b), max(a, b)} }

// A sample is what is known of a way.
type sample struct {
	ends [2]measurement // by the end that measured
	// floor is what the round trip takes at least by what others say; 0 unless both
	// ends say far less. It was found at floored.
	floor   time.Duration
	floored time.Time
	// heeded is what was known when trees were last made as good as that allows, 0 if
	// nothing was; news says that it is another way now.
	heeded time.Duration
	news   bool
}

// A measurement is what one end says; at is zero if it says nothing.
type measurement struct {
	rtt time.Duration
	at  time.Time
	// loss of pings, per mille.
	loss uint32
	// base is what it was before it began to rise, rises counts the samples
	// since.
	base  time.Duration
	rises int
}

func newRTTs() *rtts {
	return &rtts{numbers: map[region.MemberID]int32{}, ways: map[way]*sample{}}
}

// observe takes a sample by reporter. What it said last falls to a shorter sample
// at once and rises half way to a longer one: queues only ever make a round trip
// longer than the way is.
func (r *rtts) observe(reporter, peer region.MemberID, rtt time.Duration, now time.Time) {
	if reporter == peer || rtt <= 0 || rtt > maxRTT {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	from, to := r.number(reporter), r.number(peer)
	pa, pb := r.places[from], r.places[to]
	w := wayOf(from, to)
	s := r.ways[w]
	if s == nil {
		s = &sample{}
		r.ways[w] = s
	}
	m := &s.ends[w.end(from)]
	before := m.rtt
	switch {
	case m.at.IsZero() || rtt < m.rtt || now.Sub(m.at) > freshRTT:
		m.rtt = rtt
		m.base, m.rises = rtt, 0
	case !longer(rtt, m.base, jumpShare, jumpLeast):
		m.rtt += (rtt - m.rtt) / 2
		m.base, m.rises = m.rtt, 0
	default:
		m.rtt += (rtt - m.rtt) / 2
		if m.rises++; m.rises == jumpSamples {
			pa.jump(to, now)
			pb.jump(from, now)
		}
	}
	m.at = now
	pa.meet(to)
	pb.meet(from)
	if m.rtt < before-before/10 || now.Sub(s.floored) >= floorEvery {
		s.floored, s.floor = now, 0
		said, _ := s.rtt(r.since(w), now)
		if floor := r.floor(w, now); longer(floor, said, jumpShare, jumpLeast) {
			s.floor = floor
		}
	}
	after, _ := s.rtt(r.since(w), now)
	r.compare(s, after)
	ca, cb := pa.coord, pb.coord
	pa.update(cb, rtt)
	pb.update(ca, rtt)
}

// longer says whether a exceeds b by a share and by least.
func longer(a, b time.Duration, share float64, least time.Duration) bool {
	return a-b > max(time.Duration(share*float64(b)), least)
}

// end is the index of a member among the two ends.
func (w way) end(of int32) int {
	if of == w.a {
		return 0
	}
	return 1
}

// since is the time before which what is known of a way counts no more.
func (r *rtts) since(w way) time.Time {
	a, b := r.places[w.a].moved, r.places[w.b].moved
	if b.After(a) {
		return b
	}
	return a
}

// rtt is what both ends say together. known is false if all of it is old; the
// time is then the last that was known, 0 if nothing ever was.
func (s *sample) rtt(since, now time.Time) (rtt time.Duration, known bool) {
	x, y := s.ends[0], s.ends[1]
	if x.at.Before(y.at) {
		x, y = y, x
	}
	if x.at.IsZero() {
		return 0, false
	}
	rtt = x.rtt
	if !y.at.IsZero() && x.at.Sub(y.at) < agreeRTT && !y.at.Before(since) {
		rtt = max(rtt, y.rtt)
	}
	return max(rtt, s.floor), !x.at.Before(since) && now.Sub(x.at) <= freshRTT
}

// known is what a way takes; not if nothing is known of it at present.
func (r *rtts) known(w way, now time.Time) (time.Duration, bool) {
	s := r.ways[w]
	if s == nil {
		return 0, false
	}
	return s.rtt(r.since(w), now)
}

// floor is what the round trip of a way takes at least: by the triangle inequality
// each witness knows the difference of its own ways to both ends. The median counts,
// for some lie, and some ways of the Internet are longer than a detour. 0 if there are
// too few witnesses.
func (r *rtts) floor(w way, now time.Time) time.Duration {
	var list [maxWitnesses]time.Duration
	differences := list[:0]
	for _, witness := range r.places[w.a].witnesses {
		toA, knownA := r.known(wayOf(w.a, witness), now)
		if !knownA || witness == w.b {
			continue
		}
		if toB, known := r.known(wayOf(w.b, witness), now); known {
			differences = append(differences, (toA - toB).Abs())
		}
	}
	if len(differences) < minWitnesses {
		return 0
	}
	slices.Sort(differences)
	return differences[len(differences)/2]
}

// number is by which a member is known here, from now on.
func (r *rtts) number(m region.MemberID) int32 {
	if n, ok := r.numbers[m]; ok {
		return n
	}
	n := int32(len(r.places))
	if last := len(r.free) - 1; last >= 0 {
		n, r.free = r.free[last], r.free[:last]
		r.places[n] = newPlace(m)
	} else {
		r.places = append(r.places, newPlace(m))
	}
	r.numbers[m] = n
	return n
}

// forget drops all that is known of members that have left.
func (r *rtts) forget(gone func(region.MemberID) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := map[int32]bool{}
	for m, n := range r.numbers {
		if gone(m) {
			left[n] = true
			delete(r.numbers, m)
		}
	}
	if len(left) == 0 {
		return
	}
	for w, s := range r.ways {
		if left[w.a] || left[w.b] {
			if s.news {
				r.news--
			}
			delete(r.ways, w)
		}
	}
	for n, p := range r.places {
		switch {
		case left[int32(n)]:
			r.places[n] = nil
			r.free = append(r.free, int32(n))
		case p != nil:
			p.forget(left)
		}
	}
}
