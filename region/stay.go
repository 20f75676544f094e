package region

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"
)

// Decisions. Each returns the edits that carry it out and modifies nothing; the
// decider applies them to its working copy before it takes the next request.

// Join decides the stay of m. m.Lease is ignored unless it is the present lease
// of that member (a stay that goes on): then its record is brought up to date,
// nodes that a smaller uplink can no longer feed hang elsewhere, and of its leaf
// budget it keeps what is not too much of the new uplink.
// Otherwise a new lease is given, and an earlier stay of the same member ends.
func (r *Region) Join(m Member, now time.Time, rtt RTT) ([]Edit, Member, error) {
	if err := m.Validate(); err != nil {
		return nil, Member{}, err
	}
	d := r.draft()
	i := d.memberIDs.slot(m.ID)
	held := d.members.at(i)
	stays := held != nil && m.Lease == held.Lease
	if stays {
		m.Joined, m.Leaf = held.Joined, min(held.Leaf, r.Policy.leafCap(m.Uplink))
	} else {
		if held != nil {
			if err := d.leave(i, now, rtt); err != nil {
				return nil, Member{}, err
			}
		}
		m.Lease, m.Joined = r.lastLease+1, now
	}
	if held == nil || !m.equal(held.Member) {
		if err := d.do(PutMember{m}); err != nil {
			return nil, Member{}, err
		}
	}
	if stays {
		if err := d.shed(i, now, rtt); err != nil {
			return nil, Member{}, err
		}
	}
	if err := d.verify(); err != nil {
		return nil, Member{}, err
	}
	m, _ = d.Member(m.ID)
	return d.edits, m, nil
}

// equal says whether a and b are the same to the resolution of a Region.
func (a Member) equal(b Member) bool {
	return a.ID == b.ID && a.Lease == b.Lease && a.Name == b.Name && a.Uplink == b.Uplink && a.Leaf == b.Leaf &&
		a.Home == b.Home && exact(a.Forward) == exact(b.Forward) && instant(a.Joined).Equal(instant(b.Joined)) &&
		a.Endpoint.Key == b.Endpoint.Key && a.Endpoint.Gossip == b.Endpoint.Gossip &&
		slices.Equal(a.Endpoint.Media, b.Endpoint.Media)
}

// Leave ends a stay: the member's streams end, those it fed hang elsewhere
// (their standbys first), then the member is dropped. A node for which there is
// no place left leaves the tree and has to ask again. lease 0 = whichever.
func (r *Region) Leave(id MemberID, lease Lease, now time.Time, rtt RTT) ([]Edit, error) {
	i, err := r.stay(id, lease)
	if err != nil {
		return nil, err
	}
	d := r.draft()
	if err := d.leave(i, now, rtt); err != nil {
		return nil, err
	}
	return d.edits, nil
}

func (d *draft) leave(i slot, now time.Time, rtt RTT) error {
	for _, t := range d.placesOf(i) {
		var err error
		if t.root == i {
			err = d.handOver(d.streamIDs.slot(t.stream.ID), i, now, rtt)
		} else {
			err = d.vacate(d.streamIDs.slot(t.stream.ID), i, now, rtt)
		}
		if err != nil {
			return err
		}
	}
	m := d.members.at(i)
	return d.do(DropMember{m.ID, m.Lease})
}

// shed moves children of member i away until its uplink suffices, the smallest
// subtrees of the last streams first.
func (d *draft) shed(i slot, now time.Time, rtt RTT) error {
	overloaded := func() bool { return d.members.at(i).slack() < 0 }
	if !overloaded() {
		return nil
	}
	places := d.placesOf(i)
	for p := len(places) - 1; p >= 0 && overloaded(); p-- {
		ti := d.streamIDs.slot(places[p].stream.ID)
		if err := d.release(ti, i); err != nil {
			return err
		}
		children := d.largestFirst(ti, i, now)
		for k := len(children) - 1; k >= 0 && overloaded(); k-- {
			placed, err := d.rescue(ti, children[k], nil, []slot{i}, now, rtt)
			if err == nil && !placed {
				err = d.unseat(ti, []slot{children[k]}, now, rtt)
			}
			if err != nil {
				return err
			}
		}
		if err := d.repair(ti, nil, now, rtt); err != nil {
			return err
		}
	}
	return nil
}

// Publish decides a new stream of s.Origin and gives it an SSRC. Publishing
// what the member publishes already yields no edits.
func (r *Region) Publish(s Stream, lease Lease, now time.Time) ([]Edit, Stream, error) {
	s.SSRC = 0
	if err := s.Validate(); err != nil {
		return nil, Stream{}, err
	}
	if _, err := r.stay(s.Origin, lease); err != nil {
		return nil, Stream{}, err
	}
	if t := r.tree(s.ID); t != nil {
		have := t.stream
		if have.Origin == s.Origin && have.Kind == s.Kind && have.Codec == s.Codec && have.Scalable == s.Scalable && slices.Equal(have.Layers, s.Layers) {
			return nil, have, nil
		}
		return nil, Stream{}, fmt.Errorf("stream %s, published by %s: %w", s.ID, have.Origin, ErrExists)
	}
	s.SSRC = r.vacantSSRC(s.ID, lease)
	d := r.draft()
	if err := d.do(PutStream{s}); err != nil {
		return nil, Stream{}, err
	}
	return d.edits, s, d.verify()
}

// vacantSSRC spreads SSRCs over their range, so that one that ended is not soon
// taken for its successor: not even if that has the same name and origin, whose
// numbers begin anew.
func (r *Region) vacantSSRC(s StreamID, lease Lease) uint32 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %d %d", s, lease, r.revision)
	ssrc := h.Sum32() &^ (MaxLayers - 1)
	for ssrc == 0 || (&draft{Region: r}).ssrcTaken(ssrc) {
		ssrc += MaxLayers
	}
	return ssrc
}

// Unpublish ends a stream.
func (r *Region) Unpublish(s StreamID, origin MemberID, lease Lease) ([]Edit, error) {
	if _, err := r.stay(origin, lease); err != nil {
		return nil, err
	}
	t := r.tree(s)
	if t == nil {
		return nil, fmt.Errorf("%s: %w", s, ErrUnknownStream)
	}
	if t.stream.Origin != origin {
		return nil, fmt.Errorf("stream %s is published by %s: %w", s, t.stream.Origin, ErrNotOrigin)
	}
	d := r.draft()
	if err := d.do(DropStream{s}); err != nil {
		return nil, err
	}
	return d.edits, nil
}

// Release takes m out of the tree of s; its children hang elsewhere. If m has no
// place there, there is nothing to do.
func (r *Region) Release(s StreamID, m MemberID, lease Lease, now time.Time, rtt RTT) ([]Edit, error) {
	i, err := r.stay(m, lease)
	if err != nil {
		return nil, err
	}
	t := r.tree(s)
	switch {
	case t == nil:
		return nil, fmt.Errorf("%s: %w", s, ErrUnknownStream)
	case t.root == i && t.stream.From == "":
		return nil, invalid("member", "%s is the origin of %s", m, s)
	case t.nodes.at(i) == nil:
		return nil, nil
	}
	d := r.draft()
	if t.root == i {
		if t.count > 1 && t.stream.Standby == "" {
			return nil, fmt.Errorf("%s draws %s for region %s until another one is ready to: %w", m, s, r.id, ErrOverloaded)
		}
		err = d.handOver(d.streamIDs.slot(s), i, now, rtt)
	} else {
		err = d.vacate(d.streamIDs.slot(s), i, now, rtt)
	}
	if err != nil {
		return nil, err
	}
	return d.edits, nil
}

// Confirmed ends the reservation of the edge parent -> m, if that is the edge
// which is reserved; otherwise it yields no edits.
func (r *Region) Confirmed(s StreamID, m, parent MemberID) []Edit {
	n := r.node(s, m)
	if n == nil || n.state != Reserved || r.name(n.parent) != parent {
		return nil
	}
	return []Edit{Confirm{s, m}}
}

// stay finds a member by its present lease; 0 stands for whichever it is.
func (r *Region) stay(id MemberID, lease Lease) (slot, error) {
	i := r.memberIDs.slot(id)
	switch m := r.members.at(i); {
	case m == nil:
		return none, fmt.Errorf("%s: %w", id, ErrUnknownMember)
	case lease != 0 && lease != m.Lease:
		return none, fmt.Errorf("member %s, lease %d, not %d: %w", id, lease, m.Lease, ErrLease)
	}
	return i, nil
}
