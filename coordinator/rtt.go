package coordinator

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/serf/coordinate"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
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
	// settledRTT is how many samples make a member's coordinate usable.
	settledRTT = 8
	// nearestRTT is how many peers of a member are shown to people.
	nearestRTT = 5
)

// rtts is what a leader knows of the round-trip times between the members of a
// region: their own samples, and an estimate by network coordinates where there
// is none. It is bounded by the square of the region's members.
type rtts struct {
	mu      sync.RWMutex
	samples map[pair]sample
	places  map[region.MemberID]*place
}

// A pair is two members, the smaller id first.
type pair struct{ a, b region.MemberID }

type sample struct {
	rtt time.Duration
	at  time.Time
}

// A place is a member's network coordinate, kept up on its behalf.
type place struct {
	client *coordinate.Client
	coord  *coordinate.Coordinate
	heard  int
}

func newRTTs() *rtts {
	return &rtts{samples: map[pair]sample{}, places: map[region.MemberID]*place{}}
}

func pairOf(a, b region.MemberID) pair {
	if b < a {
		a, b = b, a
	}
	return pair{a, b}
}

// observe takes a sample. The estimate falls to a shorter one at once and rises
// slowly: queues only ever make a round trip longer than the way is.
func (r *rtts) observe(a, b region.MemberID, rtt time.Duration, now time.Time) {
	if a == b || rtt <= 0 || rtt > maxRTT {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := pairOf(a, b)
	s, known := r.samples[p]
	if !known || rtt < s.rtt || now.Sub(s.at) > freshRTT {
		s.rtt = rtt
	} else {
		s.rtt += (rtt - s.rtt) / 8
	}
	s.at = now
	r.samples[p] = s

	pa, pb := r.place(a), r.place(b)
	if pa == nil || pb == nil {
		return
	}
	ca, cb := pa.coord, pb.coord
	pa.update(cb, rtt)
	pb.update(ca, rtt)
}

func (r *rtts) place(m region.MemberID) *place {
	if p := r.places[m]; p != nil {
		return p
	}
	config := coordinate.DefaultConfig()
	// Samples come from many peers under one name, so there is nothing to
	// filter by.
	config.LatencyFilterSize = 1
	client, err := coordinate.NewClient(config)
	if err != nil {
		return nil
	}
	p := &place{client: client, coord: client.GetCoordinate()}
	r.places[m] = p
	return p
}

func (p *place) update(other *coordinate.Coordinate, rtt time.Duration) {
	if c, err := p.client.Update("", other, rtt); err == nil {
		p.coord = c
		p.heard++
	}
}

// forget drops all that is known of a member that has left.
func (r *rtts) forget(gone func(region.MemberID) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for m := range r.places {
		if gone(m) {
			delete(r.places, m)
		}
	}
	for p := range r.samples {
		if gone(p.a) || gone(p.b) {
			delete(r.samples, p)
		}
	}
}

// position tells people where a member stands, in milliseconds; nil while too
// little is known.
func (r *rtts) position(m region.MemberID) []float32 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p := r.places[m]
	if p == nil || p.heard < settledRTT {
		return nil
	}
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
	add := func(m, peer region.MemberID, rtt time.Duration) {
		s := &skeinv1.RttSample{Peer: string(peer), RttUs: rtt.Microseconds()}
		i, _ := slices.BinarySearchFunc(out[m], s, closer)
		if i < nearestRTT {
			list := slices.Insert(out[m], i, s)
			out[m] = list[:min(len(list), nearestRTT)]
		}
	}
	for p, s := range r.samples {
		add(p.a, p.b, s.rtt)
		add(p.b, p.a, s.rtt)
	}
	return out
}

// use calls f with round-trip times that do not change until f returns. f must
// not wait for anything.
func (r *rtts) use(now time.Time, f func(region.RTT)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	f(rttView{r, now})
}

// A rttView is an rtts that is locked for reading.
type rttView struct {
	r   *rtts
	now time.Time
}

func (v rttView) RTT(a, b region.MemberID) (time.Duration, bool) {
	if a == b {
		return 0, true
	}
	s, known := v.r.samples[pairOf(a, b)]
	if known {
		return s.rtt, v.now.Sub(s.at) <= freshRTT
	}
	pa, pb := v.r.places[a], v.r.places[b]
	if pa == nil || pb == nil || pa.heard < settledRTT || pb.heard < settledRTT {
		return unknownRTT, false
	}
	return pa.coord.DistanceTo(pb.coord), false
}
