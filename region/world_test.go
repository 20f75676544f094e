package region

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// epoch is when tests begin.
var epoch = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// A plane is an RTT oracle: members stand on a plane, and each is behind an
// access line. Its distances obey no more of the triangle inequality than
// those of the Internet once jitter is added.
type plane struct {
	x, y, line []float64 // ms
	index      map[MemberID]int
	jitter     float64
}

func newPlane(n int, rng *rand.Rand, jitter float64) *plane {
	p := &plane{index: make(map[MemberID]int), jitter: jitter}
	for i := range n {
		p.x = append(p.x, rng.Float64()*150)
		p.y = append(p.y, rng.Float64()*80)
		p.line = append(p.line, 1+rng.ExpFloat64()*3)
		p.index[memberID(i)] = i
	}
	return p
}

func (p *plane) RTT(a, b MemberID) (time.Duration, bool) {
	i, ok := p.index[a]
	j, ok2 := p.index[b]
	if !ok || !ok2 {
		return 0, false
	}
	ms := math.Hypot(p.x[i]-p.x[j], p.y[i]-p.y[j]) + p.line[i] + p.line[j]
	if p.jitter > 0 {
		// A fixed detour for every pair.
		h := uint32(min(i, j))*2654435761 ^ uint32(max(i, j))*40503
		ms *= 1 + p.jitter*float64(h>>8&0xff)/255
	}
	return time.Duration(ms * float64(time.Millisecond)), true
}

func memberID(i int) MemberID { return MemberID(fmt.Sprintf("m%03d", i)) }

// A world drives one region as a decider would: it decides, applies, checks.
type world struct {
	testing.TB
	r   *Region
	rtt RTT
	now time.Time
	rev Revision
}

func newWorld(t testing.TB, maxMembers int, rtt RTT) *world {
	return &world{TB: t, r: New("r1", maxMembers), rtt: rtt, now: epoch}
}

// apply carries out edits that were decided and checks every invariant.
func (w *world) apply(edits []Edit) {
	w.Helper()
	if len(edits) == 0 {
		return
	}
	w.rev++
	before := w.r.Clone()
	if err := w.r.Apply(w.rev, Change{Time: w.now, Base: w.r.Revision(), Edits: edits}); err != nil {
		w.Fatalf("a decision cannot be applied: %v\n%v\n%s", err, edits, before.Describe())
	}
	if err := w.r.Check(); err != nil {
		w.Fatalf("%v\nafter %v\n%s", err, edits, w.r.Describe())
	}
}

func (w *world) join(i int, uplink, leaf Rate) {
	w.Helper()
	edits, _, err := w.r.Join(Member{ID: memberID(i), Uplink: uplink, Leaf: leaf, Forward: time.Millisecond}, w.now, w.rtt)
	if err != nil {
		w.Fatal(err)
	}
	w.apply(edits)
}

func (w *world) publish(s StreamID, origin int, layers ...Rate) {
	w.Helper()
	edits, _, err := w.r.Publish(Stream{ID: s, Origin: memberID(origin), Kind: Video, Layers: layers}, 0, w.now)
	if err != nil {
		w.Fatal(err)
	}
	w.apply(edits)
}

func (w *world) admit(a Admission) Decision {
	w.Helper()
	_, had := w.r.Node(a.Stream, a.Child)
	edits, decision, err := w.r.Admit(a, w.now, 10*time.Second, w.rtt)
	if err != nil {
		w.Fatal(err)
	}
	w.apply(edits)
	if _, ok := w.r.Node(a.Stream, a.Child); !decision.OK && ok != had {
		w.Fatalf("refused, and the place has changed: %v", edits)
	}
	if n, ok := w.r.Node(a.Stream, a.Child); decision.OK && (!ok || n.Parent != decision.Accepted.Parent) {
		w.Fatalf("accepted %+v, the tree has %+v", decision.Accepted, n)
	}
	return decision
}

// place lets the coordinators choose and confirms every edge that waits.
func (w *world) place(s StreamID, i int) Decision {
	w.Helper()
	d := w.admit(Admission{Stream: s, Child: memberID(i), Cause: Joining, Place: true})
	w.confirm(s)
	return d
}

func (w *world) confirm(s StreamID) {
	w.Helper()
	var edits []Edit
	for n := range w.r.Nodes(s) {
		edits = append(edits, w.r.Confirmed(s, n.Member, n.Parent)...)
	}
	w.apply(edits)
}

// cost of a tree by the published API alone.
func (w *world) cost(s StreamID) time.Duration {
	var sum time.Duration
	for n := range w.r.Nodes(s) {
		d, _ := w.r.Delay(s, n.Member)
		sum += d
		for _, a := range w.r.Path(s, n.Member) {
			if a != n.Member {
				m, _ := w.r.Member(a)
				sum += w.r.Policy.Toll(0, Hazard(w.now.Sub(m.Joined)))
			}
		}
	}
	return sum
}
