package relay

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Local admissions, as the parent: a neighbour that shows a permit is fed without
// anybody being asked, as far as the leaf budget goes that coordinators delegated.
// Those it feeds relay nothing, so no tree changes; coordinators are told how much
// of the budget is used and how much would be.

const (
	// missedFor is how long a child that was refused for want of budget counts as one
	// that could use some, and maxMissed how many are remembered.
	missedFor = 10 * time.Second
	maxMissed = 256
	// lowerAfter is how long more of the budget than needed must have been idle before
	// it is given back; sparingFor how long none is asked for after the coordinators
	// wanted it back.
	lowerAfter = time.Minute
	sparingFor = 30 * time.Second
	// shedAfter is how long more may be used than the coordinators delegate, where the
	// uplink has room: they may be about to.
	shedAfter = 5 * time.Second
	// leastShare of the uplink is the smallest budget that is asked for; it is doubled
	// as need be, so that a budget costs few entries of the log.
	leastShare = 16
	// maxHints is how many others a refusal names.
	maxHints = 8
)

// LeafStats says how local admissions are doing.
type LeafStats struct {
	// Granted is the budget; Want is what this member has use for, and holds itself to:
	// it uses at most the lesser of the two. Used is what its local children draw.
	Granted, Want, Used region.Rate
	// Children counts them, Places those of this member that others admitted.
	Children, Places int
	// Admitted and Refused count Draws with a permit.
	Admitted, Refused uint64
}

// A leafBudget is the part of the uplink that this member admits children to by
// itself. The keeper owns it, but for what is atomic or guarded.
type leafBudget struct {
	granted  atomic.Uint32
	want     atomic.Uint32
	recalled atomic.Bool
	expected atomic.Uint32 // kbit/s that will be used, although nobody has asked yet
	admitted atomic.Uint64
	refused  atomic.Uint64

	missed  map[beliefKey]miss
	idle    int64 // since when less would do; 0: it would not
	over    int64 // since when more is used than granted; 0: it is not
	sparing int64 // until when no more is asked for
	asking  int64 // since when more is wanted than granted; 0: it is not
}

// A miss is a child that was refused for want of budget.
type miss struct {
	rate region.Rate
	at   int64
}

// limit is what local children may draw together.
func (b *leafBudget) limit() region.Rate {
	return region.Rate(min(b.granted.Load(), b.want.Load()))
}

// awaits says whether more was asked for so lately that the coordinators may be about to grant
// it. Who is late has to wait longer for that.
func (b *leafBudget) awaits(now int64, late time.Duration) bool {
	return b.asking != 0 && now-b.asking < int64(shedAfter+20*late)
}

// leafAllowed is what local children may draw together now: the limit or, as long as that may come,
// what was asked for before anybody drew. In a crowd all come at once, and whoever was
// refused then would have a place in a tree for good, with others to relay for.
func (k *keeper) leafAllowed(now int64) region.Rate {
	b := &k.leaf
	if !b.awaits(now, k.r.cfg.Late()) || now < b.sparing {
		return b.limit()
	}
	return max(b.limit(), region.Rate(min(b.want.Load(), b.expected.Load())))
}

// miss notes a child that was refused.
func (b *leafBudget) miss(key beliefKey, rate region.Rate, now int64) {
	if b.missed == nil {
		b.missed = make(map[beliefKey]miss)
	}
	if _, known := b.missed[key]; known || len(b.missed) < maxMissed {
		b.missed[key] = miss{rate, now}
	}
}

// demand is what would be used if nobody had been refused of late.
func (b *leafBudget) demand(used region.Rate, now int64) region.Rate {
	sum := uint64(used) + uint64(used)/4
	for key, m := range b.missed {
		if now-m.at > int64(missedFor) {
			delete(b.missed, key)
			continue
		}
		sum += uint64(m.rate)
	}
	sum = max(sum, uint64(b.expected.Load()))
	return region.Rate(min(sum, uint64(region.MaxRate)))
}

// leafStep is the smallest budget that is asked for if need is needed: the uplink
// halved a few times.
func leafStep(need, uplink region.Rate) region.Rate {
	if need == 0 {
		return 0
	}
	step := max(uplink/leastShare, 1)
	for step < need && step < uplink {
		step *= 2
	}
	return min(step, uplink)
}

// revise brings Want up to date and reports whether it has changed: raised at once,
// lowered when less would have done for a while, or when it is wanted back.
func (b *leafBudget) revise(used, uplink region.Rate, now int64) bool {
	before := region.Rate(b.want.Load())
	next := leafStep(b.demand(used, now), uplink)
	// Who holds nothing has nothing to give back, and may be asked by neighbours again.
	if b.recalled.Swap(false) && (before > 0 || used > 0) {
		b.sparing, b.idle = now+int64(sparingFor), 0
		clear(b.missed)
		next = min(used, before)
	} else if next > before && now < b.sparing {
		next = before
	}
	if next >= before || now < b.sparing {
		b.idle = 0
	} else {
		if b.idle == 0 {
			b.idle = now
		}
		if now-b.idle < int64(lowerAfter) {
			next = before
		}
	}
	b.want.Store(uint32(next))
	if b.granted.Load() >= uint32(next) {
		b.asking = 0
	} else if b.asking == 0 {
		b.asking = now
	}
	return next != before
}

// SetLeafBudget takes the budget that the coordinators have delegated, kbit/s.
func (r *Relay) SetLeafBudget(granted region.Rate) {
	r.keeper.leaf.granted.Store(uint32(granted))
	r.kick()
}

// ExpectLeaves says that neighbours are about to draw so much, kbit/s, by local admissions:
// budget for it is asked for before somebody has to be refused.
func (r *Relay) ExpectLeaves(rate region.Rate) { r.keeper.leaf.expected.Store(uint32(rate)) }

// Spare makes the relay hold itself to the part of its leaf budget that is used: the
// coordinators need the rest.
func (r *Relay) Spare() {
	r.keeper.leaf.recalled.Store(true)
	r.kick()
}

// Leaf says how local admissions are doing.
func (r *Relay) Leaf() LeafStats {
	b := &r.keeper.leaf
	l := LeafStats{
		Granted: region.Rate(b.granted.Load()), Want: region.Rate(b.want.Load()),
		Admitted: b.admitted.Load(), Refused: b.refused.Load(),
	}
	for _, s := range *r.list.Load() {
		for _, c := range *s.children.Load() {
			if c.permit.Load() {
				l.Children++
				l.Used += s.rate(region.LayerMask(c.want.Load()))
			}
		}
		s.mu.Lock()
		if s.local {
			l.Places++
		}
		s.mu.Unlock()
	}
	return l
}

// Leaves counts the local children of a stream.
func (r *Relay) Leaves(id region.StreamID) (count int) {
	r.mu.Lock()
	s := r.streams[id]
	r.mu.Unlock()
	if s == nil {
		return 0
	}
	for _, c := range *s.children.Load() {
		if c.permit.Load() {
			count++
		}
	}
	return count
}

// judgePermit says why a Draw with a permit is refused; 0 if it is not. What is asked of
// who is a leaf itself is for its parent to give.
func (k *keeper) judgePermit(p *place, from *link.Link, m *link.Message, g trust.Grant) Fault {
	child := from.Peer()
	switch {
	case g.Child != child.ID, g.Lease < child.Lease, !g.Covers(m.Stream):
		return link.BadGrant
	case p == nil || !p.serves():
		return link.NoStream
	case k.r.leaving.Load():
		return link.Leaving
	case slices.Contains(p.path, child.ID), k.drawsFrom(p, child.ID):
		return link.Loop
	}
	rate, had := p.s.rate(m.Layers), region.Rate(0)
	if c := p.s.childOf(from); c != nil {
		had = p.s.rate(region.LayerMask(c.want.Load()))
		if !c.permit.Load() {
			return 0 // the coordinators count it already
		}
	}
	if rate <= had {
		return 0
	}
	uplink := region.Rate(k.r.uplink.Load())
	if k.leafUsed()+rate-had > k.leafAllowed(k.r.now()) || k.admitted(m.Extra)+rate-had > uplink {
		if !m.Extra {
			k.leaf.miss(beliefKey{m.Stream, child.ID}, rate, k.r.now())
			k.reviseLeaf(k.r.now())
		}
		return link.Overloaded
	}
	return 0
}

// serves says whether the stream is at hand here, and may be handed on.
func (p *place) serves() bool { return p.origin || p.placed && !p.local }

// leafUsed is what local children draw.
func (k *keeper) leafUsed() (sum region.Rate) {
	for _, p := range k.all {
		for _, c := range *p.s.children.Load() {
			if c.permit.Load() {
				sum += p.s.rate(region.LayerMask(c.want.Load()))
			}
		}
	}
	return sum
}

// reviseLeaf brings up to date what is wanted of the coordinators.
func (k *keeper) reviseLeaf(now int64) {
	if k.leaf.revise(k.leafUsed(), region.Rate(k.r.uplink.Load()), now) {
		k.r.emit(LeafWanted{region.Rate(k.leaf.want.Load())})
	}
}

// hints names others who may have a stream, for a child that is refused.
func (k *keeper) hints(p *place) (list []region.MemberID) {
	if p == nil {
		return nil
	}
	if p.current != nil {
		list = append(list, p.current.peer.ID)
	}
	for _, c := range *p.s.children.Load() {
		if len(list) < maxHints && !c.permit.Load() {
			list = append(list, c.link.Peer().ID)
		}
	}
	return list
}

// tendLeaves lets go of local children that must not be fed any more: all when this
// member leaves, the last ones when the budget is overdrawn.
func (k *keeper) tendLeaves(now int64) {
	k.reviseLeaf(now)
	used, granted := k.leafUsed(), region.Rate(k.leaf.granted.Load())
	leaving := k.r.leaving.Load()
	if leaving {
		granted = 0
	}
	if used <= granted {
		k.leaf.over = 0
		return
	}
	if k.leaf.over == 0 {
		k.leaf.over = now
	}
	patience := int64(shedAfter + 20*k.r.cfg.Late())
	if !leaving && now-k.leaf.over < patience && k.admitted(false) <= region.Rate(k.r.uplink.Load()) {
		return
	}
	for i := len(k.all) - 1; i >= 0; i-- {
		p := k.all[i]
		for _, c := range *p.s.children.Load() {
			if used > granted && c.permit.Load() {
				used -= p.s.rate(region.LayerMask(c.want.Load()))
				k.dismiss(p, c)
			}
		}
	}
}

// dismissLeaves lets go of all local children of a place.
func (k *keeper) dismissLeaves(p *place) {
	for _, c := range *p.s.children.Load() {
		if c.permit.Load() {
			k.dismiss(p, c)
		}
	}
}

// Rest says that nobody here wants a stream for now: unless others need it from this
// member, it is drawn no more, and the place is kept.
func (r *Relay) Rest(id region.StreamID, rests bool) {
	r.mu.Lock()
	s := r.streams[id]
	r.mu.Unlock()
	if s == nil {
		return
	}
	s.mu.Lock()
	s.resting = rests
	s.mu.Unlock()
	r.kick()
}
