package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg"
)

const (
	// rate of a simulated stream in kbit/s; a slot is room for it once.
	rate = 1000
	// hold is how long a reservation lasts; every one is confirmed at once.
	hold = 10 * time.Second
	// joinProbes is how many members a newcomer measures before it proposes:
	// some to learn where it is, the others to choose among.
	scoutProbes, choiceProbes = 8, 12
)

// A live region is the product's own region code, driven like a leader drives it.
type live struct {
	w      *World
	region *region.Region
	rtt    region.RTT
	// measured is rtt if knowledge is limited, nil otherwise.
	measured *Measurements
	now      time.Time
	// minGain is what an improving move after an event has to save.
	minGain float64
	// dead are members that failed and are still in the region, by ID: they
	// confirm nothing, and it does not count where they are hung.
	dead []region.MemberID
	// relocations counts parent changes of members that had a place.
	relocations int
}

func (w *World) live(policy region.Policy, rtt region.RTT) *live {
	l := &live{w: w, region: region.New("sim", w.Size()), rtt: rtt, now: time.Unix(1_000_000_000, 0)}
	l.region.Policy = policy
	l.measured, _ = rtt.(*Measurements)
	return l
}

// commit applies edits and confirms every edge they reserve.
func (l *live) commit(edits []region.Edit) error {
	if len(edits) == 0 {
		return nil
	}
	for _, e := range edits {
		set, ok := e.(region.SetNode)
		if !ok {
			continue
		}
		if old, ok := l.region.Node(set.Stream, set.Node.Member); ok && old.Parent != set.Node.Parent && !contains(l.dead, set.Node.Member) {
			l.relocations++
		}
	}
	if err := l.apply(edits); err != nil {
		return err
	}
	for _, e := range edits {
		set, ok := e.(region.SetNode)
		if !ok || contains(l.dead, set.Node.Member) {
			continue
		}
		l.meet(set.Node.Member, set.Node.Parent)
		if err := l.apply(l.region.Confirmed(set.Stream, set.Node.Member, set.Node.Parent)); err != nil {
			return err
		}
	}
	return nil
}

func (l *live) apply(edits []region.Edit) error {
	if len(edits) == 0 {
		return nil
	}
	base := l.region.Revision()
	return l.region.Apply(base+1, region.Change{Time: l.now, Base: base, Edits: edits})
}

// meet notes that a link between a and b stands, and so is measured.
func (l *live) meet(a, b region.MemberID) {
	if l.measured != nil && a != "" && b != "" {
		l.measured.Probe(numberOf(a), numberOf(b))
	}
}

// join makes member v take part, with as much uplink as its slots are worth.
func (l *live) join(v, streams int) error {
	edits, _, err := l.region.Join(region.Member{
		ID: memberID(v), Uplink: region.Rate(l.w.Slots[v] * rate * streams),
		Forward: duration(l.w.Forward), Joined: l.now,
	}, l.now, l.rtt)
	if err != nil {
		return fmt.Errorf("member %d: %w", v, err)
	}
	if l.measured != nil {
		l.measured.Enter(v, scoutProbes)
	}
	return l.apply(edits)
}

func (l *live) publish(stream region.StreamID, origin int) error {
	edits, _, err := l.region.Publish(region.Stream{
		ID: stream, Origin: memberID(origin), Kind: region.Video, Layers: []region.Rate{rate}, Codec: "VP8",
	}, l.lease(origin), l.now)
	if err != nil {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	return l.apply(edits)
}

func (l *live) lease(v int) region.Lease {
	m, _ := l.region.Member(memberID(v))
	return m.Lease
}

// admit finds v a place in the tree of stream the way a member does: it ranks
// the candidates of its view, probes the best if it must, and proposes.
func (l *live) admit(stream region.StreamID, v int) (region.Decision, error) {
	id := memberID(v)
	a := region.Admission{Stream: stream, Child: id, Lease: l.lease(v), Layers: region.AllLayers,
		Cause: region.Joining, Place: true}
	if l.measured == nil {
		// Coordinators that know every RTT choose at least as well.
		return l.ask(a)
	}
	view, err := l.region.View(stream, id, region.AllLayers, l.rtt)
	if err != nil {
		return region.Decision{}, fmt.Errorf("view of member %d: %w", v, err)
	}
	self := region.Self{ID: id, Free: l.region.Free(id), Layers: region.AllLayers, Forward: duration(l.w.Forward)}
	// What is worth a probe is guessed; what is proposed rests on probes alone.
	guessed := func(other region.MemberID) (time.Duration, bool) {
		rtt, _ := l.rtt.RTT(id, other)
		return rtt, true
	}
	known := func(other region.MemberID) (time.Duration, bool) { return l.rtt.RTT(id, other) }
	proposals := region.Rank(&view, self, guessed, nil)
	for _, p := range proposals[:min(choiceProbes, len(proposals))] {
		l.measured.Probe(v, numberOf(p.Parent))
	}
	a.Proposals = region.Rank(&view, self, known, proposals[:0])
	return l.ask(a)
}

func (l *live) ask(a region.Admission) (region.Decision, error) {
	edits, decision, err := l.region.Admit(a, l.now, hold, l.rtt)
	if err != nil {
		return decision, fmt.Errorf("admission of %s: %w", a.Child, err)
	}
	return decision, l.commit(edits)
}

// improve takes the one improving move that a membership event may cause.
func (l *live) improve(stream region.StreamID) error {
	return l.commit(l.region.Improve(stream, l.minGain, l.now, hold, l.rtt))
}

// plan carries out a round of planning. Moves that the region does not allow, and
// those that need them, are forgotten.
func (l *live) plan(b reorg.Budget, rng *rand.Rand) (done, refused int, err error) {
	round := reorg.Plan(l.region, l.rtt, b, l.now, rng)
	failed := make(map[int]bool)
	for i, move := range round.Moves {
		edits, err := l.region.Move(move.Steps, l.now, hold, l.rtt)
		if failed[i] = err != nil || slices.ContainsFunc(move.Needs, func(k int) bool { return failed[k] }); failed[i] {
			refused++
			continue
		}
		if err := l.commit(edits); err != nil {
			return done, refused, fmt.Errorf("move %d of %d: %w", i+1, len(round.Moves), err)
		}
		done++
	}
	return done, refused, nil
}

// tree reads the tree of stream off the region.
func (l *live) tree(stream region.StreamID) outcome {
	o := outcome{parent: slices.Repeat([]int{-1}, l.w.Size()), moves: l.relocations}
	for n := range l.region.Nodes(stream) {
		if n.Parent != "" {
			o.parent[numberOf(n.Member)] = numberOf(n.Parent)
		}
	}
	return o
}
