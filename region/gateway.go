package region

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Streams of other regions: who visits, and who draws them for everybody here.

// Visit decides the visit of m, a member of the region m.Home that draws streams
// for it from this one, in the stay it has there: visitors keep their lease. A
// visit goes on if m is here in the same stay, and begins anew in a later one.
// ErrExists if m is at home here.
func (r *Region) Visit(m Member, now time.Time, rtt RTT) ([]Edit, Member, error) {
	if err := m.Validate(); err != nil {
		return nil, Member{}, err
	}
	if m.Home == "" || m.Home == r.id || m.Lease == 0 {
		return nil, Member{}, invalid("visitor", "%s of region %q in lease %d comes to %s", m.ID, m.Home, m.Lease, r.id)
	}
	d := r.draft()
	i := d.memberIDs.slot(m.ID)
	m.Joined = now
	if held := d.members.at(i); held != nil {
		switch {
		case held.Home == "":
			return nil, Member{}, fmt.Errorf("visitor %s is at home in %s: %w", m.ID, r.id, ErrExists)
		case held.Lease > m.Lease && held.Home == m.Home:
			return nil, Member{}, fmt.Errorf("visitor %s, lease %d after %d: %w", m.ID, m.Lease, held.Lease, ErrLease)
		case held.Lease == m.Lease:
			// Its home may have been divided or merged meanwhile, under the same lease.
			m.Joined = held.Joined
			if m.equal(held.Member) {
				return nil, held.Member, nil
			}
		default:
			if err := d.leave(i, now, rtt); err != nil {
				return nil, Member{}, err
			}
		}
	}
	if err := d.do(PutMember{m}); err != nil {
		return nil, Member{}, err
	}
	if err := d.verify(); err != nil {
		return nil, Member{}, err
	}
	m, _ = d.Member(m.ID)
	return d.edits, m, nil
}

// Import decides that s, a stream of the region s.From, is drawn for this one by
// the member for: by itself if it can feed somebody or is alone, and otherwise by
// the nearest one that can. ErrExists if a stream here has its name or SSRC.
func (r *Region) Import(s Stream, member MemberID, rtt RTT) ([]Edit, error) {
	i, err := r.stay(member, 0)
	if err != nil {
		return nil, err
	}
	if s.From == "" || s.From == r.id {
		return nil, invalid("stream source", "%s is imported into %s from %q", s.ID, r.id, s.From)
	}
	s.Origin, s.Standby = r.name(r.importer(i, s.Rate(s.all()), rtt)), ""
	d := r.draft()
	if err := d.do(PutStream{s}); err != nil {
		return nil, err
	}
	return d.edits, d.verify()
}

// importer is who begins to draw a stream that member i wants.
func (r *Region) importer(i slot, rate Rate, rtt RTT) slot {
	if r.members.at(i).free() >= rate {
		return i
	}
	best, least := i, MaxDelay
	for e := range r.memberIDs.all() {
		if m := r.members.at(e.slot); e.slot != i && m.Home == "" && m.free() >= rate {
			if away := r.caution(rtt, e.slot, i); away < least {
				best, least = e.slot, away
			}
		}
	}
	return best
}

// Resource decides that a stream of another region is drawn from that of from now
// on: its home was divided or merged. The gateways stay; whom they draw it from is
// up to the other region.
func (r *Region) Resource(s StreamID, from ID) []Edit {
	t := r.tree(s)
	if t == nil || t.stream.From == "" || t.stream.From == from || from == r.id {
		return nil
	}
	return []Edit{SetGateways{Stream: s, Origin: t.stream.Origin, Standby: t.stream.Standby, From: from}}
}

// Appoint decides who is to take over a stream of another region should its
// gateway fail: a child of the gateway, so that nobody has to move, with as much
// uplink left as possible. Whoever is appointed stays as long as that is so, unless it could
// feed nobody by then and another one could: all others would lose their places.
func (r *Region) Appoint(s StreamID) []Edit {
	t := r.tree(s)
	if t == nil || t.stream.From == "" {
		return nil
	}
	rate := t.stream.Rate(t.stream.all())
	root := t.nodes.at(t.root)
	fit := func(i slot) bool {
		n, m := t.nodes.at(i), r.members.at(i)
		// Its own edge from the gateway turns round, or ends.
		return n.state == Standing && n.layers == t.stream.all() && m.Home == "" && m.capacity() >= rate
	}
	best := none
	for _, c := range root.children {
		if fit(c) && (best == none || r.before(c, best)) {
			best = c
		}
	}
	if best == none || r.name(best) == t.stream.Standby {
		return nil
	}
	now := r.memberIDs.slot(t.stream.Standby)
	if now != none && slices.Contains(root.children, now) && fit(now) && (r.members.at(now).free() >= rate || r.members.at(best).free() < rate) {
		return nil
	}
	return []Edit{SetGateways{Stream: s, Origin: t.stream.Origin, Standby: r.name(best)}}
}

// RegateGain is the share of its cost that another gateway must save to take over.
const RegateGain = 0.1

// Regate chooses the gateway of s anew: of the gateway and those children of it that
// could be, so that hardly anybody moves, the one with the least delay from the
// source, which away tells as a round-trip time, and on to the members of the tree on
// average. It must save RegateGain. At first it is made the standby; when it is
// ready, which is to say has its place in the other region, it takes over, and the
// gateway draws from it and stands by. Both draw the stream by two ways for a moment,
// so nobody misses anything. A gateway that nobody draws from stays.
func (r *Region) Regate(s StreamID, away func(MemberID) (time.Duration, bool), ready func(MemberID) bool, rtt RTT) []Edit {
	t := r.tree(s)
	if t == nil || t.stream.From == "" || t.count < 3 {
		return nil // two are as well off either way
	}
	root := t.nodes.at(t.root)
	now, ok := r.gateCost(t, t.root, away, rtt)
	if !ok {
		return nil
	}
	best, least := none, time.Duration(float64(now)*(1-RegateGain))
	for _, c := range root.children {
		n, m := t.nodes.at(c), r.members.at(c)
		if n.state != Standing || n.layers != t.stream.all() || m.Home != "" || m.free() < t.stream.Rate(t.stream.all()) {
			continue
		}
		if cost, ok := r.gateCost(t, c, away, rtt); ok && cost <= least && (best == none || cost < least) {
			best, least = c, cost
		}
	}
	if best == none {
		return nil
	}
	e := SetGateways{Stream: s, Origin: t.stream.Origin, Standby: r.name(best)}
	if t.stream.Standby == e.Standby {
		if !ready(e.Standby) {
			return nil
		}
		way, _ := rtt.RTT(e.Standby, e.Origin)
		e.Origin, e.Standby, e.Hop = e.Standby, e.Origin, min(way/2, MaxDelay)
	}
	d := r.draft()
	if d.do(e) != nil || d.verify() != nil {
		return nil
	}
	return d.edits
}

// Relieve decides that by takes over a stream of another region from a gateway that is
// alone with it and cannot feed anybody, which would shut out all others. That one draws
// from by and stands by, so it goes on drawing the stream itself until by has it. Nothing
// is decided where the gateway has room, or by has none.
func (r *Region) Relieve(s StreamID, by MemberID, rtt RTT) []Edit {
	t, next := r.tree(s), r.memberIDs.slot(by)
	if t == nil || t.stream.From == "" || t.count > 1 || next == none || next == t.root {
		return nil
	}
	rate := t.stream.Rate(t.stream.all())
	m, root := r.members.at(next), r.members.at(t.root)
	if root.free() >= rate || m.Home != "" || m.free() < rate {
		return nil
	}
	d := r.draft()
	hop := d.hop(rtt, next, t.root)
	enter := SetNode{s, Node{Member: by, Parent: root.ID, Layers: t.stream.all(), Hop: hop, State: Standing}}
	if d.do(enter, SetGateways{Stream: s, Origin: by, Standby: root.ID, Hop: hop}) != nil || d.verify() != nil {
		return nil
	}
	return d.edits
}

// gateCost is the delay of the members of a tree on average, were i its gateway and
// did it feed all of them.
func (r *Region) gateCost(t *tree, i slot, away func(MemberID) (time.Duration, bool), rtt RTT) (time.Duration, bool) {
	way, ok := away(r.name(i))
	if !ok {
		return 0, false
	}
	var sum time.Duration
	t.each(func(n *node) {
		if n.member != i {
			hop, _ := rtt.RTT(r.name(i), r.name(n.member))
			sum += hop / 2
		}
	})
	return way/2 + sum/time.Duration(t.count), true
}

// before says whether i is the better gateway of the two.
func (r *Region) before(i, j slot) bool {
	a, b := r.members.at(i), r.members.at(j)
	return cmp.Or(cmp.Compare(b.free(), a.free()), cmp.Compare(a.ID, b.ID)) < 0
}

// Succeed decides that the standby gateway of s, which draws the stream from its
// region by now, takes the place of the gateway, which has failed: that one leaves
// the tree. ErrForbidden if by is not the standby gateway.
func (r *Region) Succeed(s StreamID, by MemberID, now time.Time, rtt RTT) ([]Edit, error) {
	t := r.tree(s)
	switch {
	case t == nil:
		return nil, fmt.Errorf("%s: %w", s, ErrUnknownStream)
	case t.stream.From != "" && t.stream.Origin == by:
		return nil, nil
	case t.stream.Standby != by || by == "":
		return nil, fmt.Errorf("%s is not the standby gateway of %s: %w", by, s, ErrForbidden)
	}
	d := r.draft()
	if err := d.handOver(d.streamIDs.slot(s), t.root, now, rtt); err != nil {
		return nil, err
	}
	return d.edits, nil
}

// handOver takes the root of a tree out of it. A stream that it publishes ends,
// as does one that it draws for nobody else; otherwise the standby gateway is the
// root from then on, or, for want of one, the child with most below it.
func (d *draft) handOver(ti, root slot, now time.Time, rtt RTT) error {
	t := d.trees.at(ti)
	next := d.memberIDs.slot(t.stream.Standby)
	if children := d.largestFirst(ti, root, now); next == none && len(children) > 0 {
		next = children[0]
	}
	if t.stream.From == "" || next == none {
		return d.do(DropStream{t.stream.ID})
	}
	if err := d.do(SetGateways{Stream: t.stream.ID, Origin: d.name(next), Hop: d.hop(rtt, next, root)}); err != nil {
		return err
	}
	return d.vacate(ti, root, now, rtt)
}

func (d *draft) setGateways(e SetGateways) error {
	ti := d.streamIDs.slot(e.Stream)
	t := d.trees.at(ti)
	if t == nil {
		return fmt.Errorf("%s: %w", e.Stream, ErrUnknownStream)
	}
	next := d.memberIDs.slot(e.Origin)
	switch {
	case t.stream.From == "":
		return invalid("gateways", "%s is published here", e.Stream)
	case t.nodes.at(next) == nil:
		return broken("gateway", "%s is not in the tree of %s", e.Origin, e.Stream)
	case e.Standby != "" && (e.Standby == e.Origin || t.nodes.at(d.memberIDs.slot(e.Standby)) == nil):
		return broken("gateway", "%s cannot stand by for %s in %s", e.Standby, e.Origin, e.Stream)
	case e.Hop < 0 || e.Hop > MaxDelay:
		return invalid("gateways hop", "want 0 to %v, have %v", MaxDelay, e.Hop)
	case e.From == d.id || len(e.From) > MaxName:
		return invalid("gateways", "%s is drawn from %q in %s", e.Stream, e.From, d.id)
	}
	if next != t.root {
		d.reroot(ti, next, exact(e.Hop), instant(e.Deadline))
	}
	stream := &d.ownTree(ti).stream
	stream.Standby, stream.From = e.Standby, cmp.Or(e.From, stream.From)
	return nil
}

// reroot makes next the root of a tree. It leaves its parent, and the former root
// hangs under it; nobody else gets another parent.
func (d *draft) reroot(ti, next slot, hop time.Duration, deadline time.Time) {
	t := d.ownTree(ti)
	root := t.root
	t.root, t.stream.Origin = next, d.name(next)
	d.rehang(ti, next, node{parent: none, old: none, layers: t.stream.all(), state: Standing})
	former := *t.nodes.at(root)
	former.parent, former.hop, former.state, former.deadline = next, hop, Standing, deadline
	if !deadline.IsZero() {
		former.state = Reserved
	}
	d.rehang(ti, root, former)
	from, to := d.ownMember(root), d.ownMember(next)
	from.published, to.published = without(from.published, ti), with(to.published, ti)
	for _, i := range []slot{root, next} {
		t.changed(i)
		d.touch(i)
		for _, x := range t.nodes.at(i).dependents {
			d.suspect(ti, x)
		}
	}
}
