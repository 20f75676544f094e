package planet

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/skein-mesh/skein/region"
)

const (
	// rate of the stream in kbit/s; a slot is room for it once.
	rate = 1000
	// hold is how long a reservation lasts; each is confirmed at once.
	hold = 10 * time.Second
	// theStream is what everybody watches.
	theStream = region.StreamID("show")
	// root is where the stream enters a region, not a member.
	root = region.MemberID("root")
	// gates is how many places a region has in its upstream, and thus how many
	// gateways: if one fails the other goes on.
	gates = 2
	// originSlots is how many children the origin of the stream can feed.
	originSlots = 20
)

// A realm is one region with all that belongs to it. During an epoch it is
// touched by one goroutine, which writes nothing else.
type realm struct {
	w  *World
	id int
	// region is the product's own structure.
	region *region.Region
	rng    *rand.Rand
	now    time.Time
	// people counts those who live here.
	people int
	// ends holds them by the ends of their stays.
	ends departures
	// centre stands for the region when distances to it are asked for, and sample,
	// where some of its members stand, when its extent matters.
	centre place
	sample []place
	// feeder is where the stream comes from; for the first realm the origin.
	feeder place
	// upstream is the realm that it draws the stream from; nil if there is none,
	// and for the first.
	upstream *realm
	// gatesWanted are the gates of downstream realms that wait for a place here.
	gatesWanted []region.MemberID
	// arrivals of this epoch, and those who wait for a place in the tree.
	arrivals []*person
	waiting  []region.MemberID
	// changed is true once the tree has changed, moved once the root or a gate
	// stands elsewhere; turn counts epochs.
	changed bool
	moved   bool
	turn    int
	// planAt is the turn of the next round of planning, planPause how many epochs
	// lie between the last and that one.
	planAt, planPause int
	// told is when the world was told of the region, toldMembers how many it had.
	told        time.Time
	toldMembers int
	// restless is until when it neither splits nor merges.
	restless time.Time
	counts   counts
}

func newRealm(w *World, id int, centre place, slots int) (*realm, error) {
	r := &realm{
		w: w, id: id, region: region.New(region.ID("r"+strconv.Itoa(id)), 2*w.cfg.RegionMax),
		rng: rand.New(rand.NewPCG(w.cfg.Seed, uint64(id)+1)), now: w.now,
		centre: centre, feeder: centre, planAt: leastPause + id%leastPause, planPause: leastPause,
	}
	if err := r.join(root, slots); err != nil {
		return nil, err
	}
	m, _ := r.region.Member(root)
	edits, _, err := r.region.Publish(region.Stream{
		ID: theStream, Origin: root, Kind: region.Video, Layers: []region.Rate{rate}, Codec: "VP8",
	}, m.Lease, r.now)
	if err != nil {
		return nil, err
	}
	return r, r.apply(edits)
}

// RTT is part of region.RTT: everything is known.
func (r *realm) RTT(a, b region.MemberID) (time.Duration, bool) {
	if a == b {
		return 0, true
	}
	return time.Duration(r.w.geo.rtt(r.where(a), r.where(b)) * float64(time.Millisecond)), true
}

// where somebody stands: a member, the root or a gate.
func (r *realm) where(m region.MemberID) *place {
	if p := r.w.person(m); p != nil {
		return &p.place
	}
	if m == root {
		return &r.feeder
	}
	if g := gateOf(m); g >= 0 {
		return &r.w.gatePlaces[g]
	}
	return &r.centre
}

// gateID names a gate of a realm in its upstream, gateOf finds its realm; -1 if it
// is none.
func gateID(realm, k int) region.MemberID {
	return region.MemberID("gate-" + strconv.Itoa(realm) + "-" + strconv.Itoa(k))
}

func gateOf(m region.MemberID) int {
	if len(m) < 8 || m[:5] != "gate-" {
		return -1
	}
	n := 0
	for i := 5; m[i] != '-'; i++ {
		n = 10*n + int(m[i]-'0')
	}
	return n
}

// members counts those who live here.
func (r *realm) members() int { return r.people }

// epoch lets everything happen until the given time, in order.
func (r *realm) epoch(until time.Time) error {
	slices.SortFunc(r.arrivals, func(a, b *person) int { return compare(a.id, b.id) })
	step := until.Sub(r.now) / time.Duration(len(r.arrivals)+1)
	for _, p := range r.arrivals {
		if err := r.depart(r.now); err != nil {
			return err
		}
		r.now = r.now.Add(step)
		if err := r.arrive(p); err != nil {
			return err
		}
	}
	r.arrivals = r.arrivals[:0]
	if err := r.depart(until); err != nil {
		return err
	}
	r.now = until
	if err := r.retry(); err != nil {
		return err
	}
	return r.lead()
}

func compare(a, b region.MemberID) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// depart ends the stays that end before t.
func (r *realm) depart(t time.Time) error {
	for len(r.ends) > 0 && r.ends[0].leaves <= r.w.seconds(t) {
		p := heap.Pop(&r.ends).(*person)
		r.counts.left++
		r.counts.gossip += bytesRumour * r.members()
		var err error
		if p.crash {
			err = r.crash(p.id)
		} else {
			err = r.leave(p.id)
		}
		if err != nil {
			return fmt.Errorf("realm %d: %s goes: %w", r.id, p.id, err)
		}
		r.part(p)
	}
	return nil
}

// arrive gives somebody a stay and a place.
func (r *realm) arrive(p *person) error {
	if err := r.settle(p); err != nil {
		return err
	}
	r.counts.joined++
	r.counts.bytes += bytesJoin
	r.counts.gossip += bytesRumour * r.members()
	if err := r.enter(p.id); err != nil {
		return err
	}
	if n, ok := r.region.Node(theStream, p.id); ok {
		// It asks for a view, measures the way to the best few, and proposes.
		coordinator, _ := r.RTT(p.id, "")
		parent, _ := r.RTT(p.id, n.Parent)
		r.counts.asked.note(2*coordinator + parent + ruling)
	}
	return nil
}

// settle makes p live here.
func (r *realm) settle(p *person) error {
	r.people++
	p.home = r
	heap.Push(&r.ends, p)
	return r.join(p.id, int(p.slots))
}

// part lets p live here no longer.
func (r *realm) part(p *person) {
	r.people--
	p.home = nil
}

func (r *realm) join(id region.MemberID, slots int) error {
	edits, _, err := r.region.Join(region.Member{
		ID: id, Uplink: region.Rate(slots * rate), Forward: region.DefaultForward,
	}, r.now, r)
	if err != nil {
		return fmt.Errorf("realm %d: join %s: %w", r.id, id, err)
	}
	return r.apply(edits)
}

// enter asks for a place in the tree; who is refused asks again.
func (r *realm) enter(id region.MemberID) error {
	d, err := r.admit(id, region.Joining, nil)
	if err != nil {
		return err
	}
	if !d.OK {
		r.waiting = append(r.waiting, id)
	}
	return nil
}

// retry lets those ask again who wait, and gates that have come.
func (r *realm) retry() error {
	for _, id := range r.gatesWanted {
		if err := r.join(id, 0); err != nil {
			return err
		}
	}
	again := append(r.gatesWanted, r.waiting...)
	r.gatesWanted, r.waiting = nil, nil
	for _, id := range again {
		if _, here := r.region.Member(id); !here {
			continue
		}
		if err := r.enter(id); err != nil {
			return err
		}
	}
	return nil
}

func (r *realm) admit(id region.MemberID, cause region.Cause, proposals []region.Proposal) (region.Decision, error) {
	m, _ := r.region.Member(id)
	edits, d, err := r.region.Admit(region.Admission{
		Stream: theStream, Child: id, Lease: m.Lease, Layers: region.AllLayers, Cause: cause,
		Proposals: proposals, Place: len(proposals) == 0,
	}, r.now, hold, r)
	if err != nil {
		return d, fmt.Errorf("realm %d: admit %s: %w", r.id, id, err)
	}
	if d.OK {
		r.counts.admitted++
	} else {
		r.counts.refused++
	}
	r.counts.bytes += bytesAdmit + bytesCandidate*min(r.region.NodeCount(theStream), region.MaxCandidates)
	return d, r.commit(edits)
}

// commit applies edits together with the confirmations of the edges they reserve,
// and counts what the members concerned are told.
func (r *realm) commit(edits []region.Edit) error {
	if len(edits) == 0 {
		return nil
	}
	all := slices.Clone(edits)
	told := map[region.MemberID]bool{}
	warm := func(standbys []region.MemberID) {
		for _, s := range standbys[:min(2, len(standbys))] {
			told[s] = true
		}
	}
	for _, e := range edits {
		switch e := e.(type) {
		case region.SetNode:
			told[e.Node.Member], told[e.Node.Parent] = true, true
			warm(e.Node.Standbys)
			if n, ok := r.region.Node(theStream, e.Node.Member); ok {
				told[n.Parent] = true
			}
			if e.Node.State == region.Reserved {
				all = append(all, region.Confirm{Stream: e.Stream, Member: e.Node.Member})
				r.counts.bytes += bytesConfirm
			}
			r.changed = true
		case region.SetStandbys:
			told[e.Member] = true
			warm(e.Standbys)
		case region.DropNode:
			told[e.Member] = true
			r.changed = true
		}
	}
	r.counts.bytes += bytesRole * len(told)
	return r.apply(all)
}

func (r *realm) apply(edits []region.Edit) error {
	if len(edits) == 0 {
		return nil
	}
	r.counts.entries++
	r.counts.edits += len(edits)
	base := r.region.Revision()
	if err := r.region.Apply(base+1, region.Change{Time: r.now, Base: base, Edits: edits}); err != nil {
		return fmt.Errorf("realm %d: %w", r.id, err)
	}
	return nil
}
