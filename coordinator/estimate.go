package coordinator

import (
	"cmp"
	"maps"
	"slices"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// nearestRTT is how many peers of a member are shown to people.
const nearestRTT = 5

// position tells people where a member stands, in milliseconds; nil while too
// little is known.
func (r *rtts) position(m region.MemberID) []float32 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n, ok := r.numbers[m]
	if !ok || r.places[n].heard < settledRTT {
		return nil
	}
	p := r.places[n]
	out := make([]float32, len(p.coord.Vec))
	for i, v := range p.coord.Vec {
		out[i] = float32(v * 1000)
	}
	return out
}

// nearest lists the nearestRTT closest peers of every member, by measurement,
// closest first.
func (r *rtts) nearest() map[region.MemberID][]*skeinv1.RttSample {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make(map[region.MemberID][]*skeinv1.RttSample, len(r.places))
	closer := func(a, b *skeinv1.RttSample) int {
		return cmp.Or(cmp.Compare(a.RttUs, b.RttUs), cmp.Compare(a.Peer, b.Peer))
	}
	add := func(m, peer region.MemberID, rtt time.Duration, loss uint32) {
		s := &skeinv1.RttSample{Peer: string(peer), RttUs: rtt.Microseconds(), LossPerMille: loss}
		i, _ := slices.BinarySearchFunc(out[m], s, closer)
		if i < nearestRTT {
			list := slices.Insert(out[m], i, s)
			out[m] = list[:min(len(list), nearestRTT)]
		}
	}
	for w, s := range r.ways {
		rtt, _ := s.rtt(time.Time{}, time.Time{})
		a, b := r.places[w.a].member, r.places[w.b].member
		add(a, b, rtt, s.loss())
		add(b, a, rtt, s.loss())
	}
	return out
}

// pairs counts the ways of which something was measured.
func (r *rtts) pairs() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.ways)
}

// use calls f with round-trip times that do not change until f returns. f must
// not wait for anything.
func (r *rtts) use(now time.Time, f func(region.RTT)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	f(present{r, now})
}

// present is what is known while r is locked for reading.
type present struct {
	r   *rtts
	now time.Time
}

func (v present) RTT(a, b region.MemberID) (time.Duration, bool) {
	if a == b {
		return 0, true
	}
	m, okA := v.r.numbers[a]
	n, okB := v.r.numbers[b]
	if !okA || !okB {
		return unknownRTT, false
	}
	w := wayOf(m, n)
	if s := v.r.ways[w]; s != nil {
		if rtt, known := s.rtt(v.r.since(w), v.now); rtt > 0 {
			return rtt + s.repair(rtt), known
		}
	}
	return v.r.places[m].spot().to(v.r.places[n].spot()), false
}

// view is what is known now. It does not change, and is for whoever takes long
// over it.
func (r *rtts) view(now time.Time) region.RTT {
	r.mu.RLock()
	defer r.mu.RUnlock()
	v := &past{numbers: maps.Clone(r.numbers), spots: make([]spot, len(r.places)), ways: make(map[way]estimate, len(r.ways))}
	for n, p := range r.places {
		if p != nil {
			v.spots[n] = p.spot()
		}
	}
	for w, s := range r.ways {
		if rtt, known := s.rtt(r.since(w), now); rtt > 0 {
			v.ways[w] = estimate{rtt + s.repair(rtt), known}
		}
	}
	return v
}

// past is what was known at some time.
type past struct {
	numbers map[region.MemberID]int32
	spots   []spot
	ways    map[way]estimate
}

type estimate struct {
	rtt   time.Duration
	known bool
}

func (v *past) RTT(a, b region.MemberID) (time.Duration, bool) {
	if a == b {
		return 0, true
	}
	m, okA := v.numbers[a]
	n, okB := v.numbers[b]
	if !okA || !okB {
		return unknownRTT, false
	}
	if e, ok := v.ways[wayOf(m, n)]; ok {
		return e.rtt, e.known
	}
	return v.spots[m].to(v.spots[n]), false
}
