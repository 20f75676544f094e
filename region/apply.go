package region

import (
	"fmt"
	"slices"
	"time"
)

// Apply carries out c as revision rev, or reports an error (ErrLease,
// ErrLimit, *InvariantError, ...) and leaves r as it was. rev must be greater
// than r.Revision(), or the error is ErrRevision; c.Base is not judged: what a
// change rests on is checked edit by edit.
func (r *Region) Apply(rev Revision, c Change) error {
	next, err := r.After(rev, c)
	if err == nil {
		*r = *next
	}
	return err
}

// After is Apply that leaves r as it is and returns what it leads to.
func (r *Region) After(rev Revision, c Change) (*Region, error) {
	if rev <= r.revision {
		return nil, fmt.Errorf("change %d after revision %d: %w", rev, r.revision, ErrRevision)
	}
	d := r.draft()
	for i, e := range c.Edits {
		if err := d.edit(e); err != nil {
			return nil, fmt.Errorf("change %d, edit %d (%T): %w", rev, i, e, err)
		}
	}
	if err := d.verify(); err != nil {
		return nil, fmt.Errorf("change %d: %w", rev, err)
	}
	next := d.settle(rev, c.Time)
	next.Work = r.Work
	return next, nil
}

// settle makes a draft that was verified the structure of revision rev.
func (d *draft) settle(rev Revision, now time.Time) *Region {
	d.revision = rev
	if t := instant(now); t.After(d.clock) {
		d.clock = t
	}
	return d.Region
}

// A draft is a copy of a region on which edits are tried. Decisions are made on
// drafts and After is one, so what a decision could do can be applied.
//
// Each edit keeps trees trees and names known. Uplinks and standbys only have
// to be in order after the last edit: a swap overloads two members between its
// halves. verify looks at everything the edits may have disturbed.
type draft struct {
	*Region
	edits    []Edit
	touched  []slot    // members that may send more than before
	suspects []suspect // nodes whose standbys may have become useless
}

type suspect struct{ tree, member slot }

func (r *Region) draft() *draft {
	d := &draft{Region: r.Clone()}
	d.Work = r.work()
	return d
}

// do tries edits and keeps them as part of the decision.
func (d *draft) do(edits ...Edit) error {
	for _, e := range edits {
		if err := d.edit(e); err != nil {
			return err
		}
		d.note(e)
	}
	return nil
}

// note makes an edit part of the decision. The standbys that are chosen for a node as
// soon as it is put in its place go with it, in one edit.
func (d *draft) note(e Edit) {
	last := len(d.edits) - 1
	if s, ok := e.(SetStandbys); ok && last >= 0 {
		if n, ok := d.edits[last].(SetNode); ok && n.Stream == s.Stream && n.Node.Member == s.Member {
			n.Node.Standbys = s.Standbys
			d.edits = append(d.edits[:last:last], n) // forks hold the others
			return
		}
	}
	d.edits = append(d.edits, e)
}

// fork returns a copy of d that can be thrown away.
func (d *draft) fork() *draft {
	c := *d
	c.Region = d.Region.Clone()
	c.Work = d.Work
	c.edits = slices.Clip(d.edits)
	c.touched = slices.Clip(d.touched)
	c.suspects = slices.Clip(d.suspects)
	return &c
}

func (d *draft) edit(e Edit) error {
	if _, ends := e.(SetFate); d.fate.Into != "" && !ends {
		return fmt.Errorf("region %s: %w", d.id, ErrFrozen)
	}
	switch e := e.(type) {
	case PutMember:
		return d.putMember(e.Member)
	case DropMember:
		return d.dropMember(e.Member, e.Lease)
	case PutStream:
		return d.putStream(e.Stream)
	case DropStream:
		return d.dropStream(e.Stream)
	case SetNode:
		return d.setNode(e.Stream, e.Node)
	case DropNode:
		return d.dropNode(e.Stream, e.Member)
	case SetStandbys:
		return d.setStandbys(e.Stream, e.Member, e.Standbys)
	case Confirm:
		return d.confirm(e.Stream, e.Member)
	case SetGateways:
		return d.setGateways(e)
	case SetGeneration:
		return d.setGeneration(e.Generation)
	case Divide:
		return d.divide(e.Division)
	case SetFate:
		return d.setFate(e.Fate)
	case Absorb:
		return d.absorb(e.Region, e.Joints)
	}
	return invalid("edit", "unknown kind %T", e)
}

// verify checks what the edits since the draft was made may have broken.
func (d *draft) verify() error {
	for _, i := range d.touched {
		if m := d.members.at(i); m != nil && m.sending > uint64(m.capacity()) {
			return broken("uplink", "%s sends %d kbit/s of %d", m.ID, m.sending, m.capacity())
		}
	}
	for _, s := range d.suspects {
		if t := d.trees.at(s.tree); t != nil {
			if n := t.nodes.at(s.member); n != nil {
				if err := d.checkStandbys(t, n); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (d *draft) touch(i slot) {
	if i != none && !slices.Contains(d.touched, i) {
		d.touched = append(d.touched, i)
	}
}

func (d *draft) suspect(tree, member slot) {
	if s := (suspect{tree, member}); !slices.Contains(d.suspects, s) {
		d.suspects = append(d.suspects, s)
	}
}

func (d *draft) putMember(m Member) error {
	if err := m.Validate(); err != nil {
		return err
	}
	m.Forward, m.Joined = exact(m.Forward), instant(m.Joined)
	m.Endpoint.Media = slices.Clone(m.Endpoint.Media)
	i := d.memberIDs.slot(m.ID)
	if i == none {
		if m.Home == "" && m.Lease <= d.lastLease {
			return fmt.Errorf("member %s, lease %d after %d: %w", m.ID, m.Lease, d.lastLease, ErrLease)
		}
		if !d.roomFor(m) {
			return fmt.Errorf("members of a region, %d: %w", d.maxMembers, ErrLimit)
		}
		i = d.members.vacant()
		d.memberIDs = d.memberIDs.with(m.ID, i)
		d.members.set(d.owner, i, &member{owner: d.owner, Member: m})
		if m.Home == "" {
			d.lastLease = m.Lease
		}
		return nil
	}
	x := d.ownMember(i)
	switch {
	case (m.Home == "") != (x.Home == ""):
		return broken("member", "%s is at home in %q, and came as one of %q", m.ID, m.Home, x.Home)
	case m.Lease < x.Lease, m.Home == "" && m.Lease > x.Lease && m.Lease <= d.lastLease:
		return fmt.Errorf("member %s, lease %d after %d: %w", m.ID, m.Lease, x.Lease, ErrLease)
	case m.Lease > x.Lease && len(x.places) > 0:
		return broken("lease", "%s begins a new stay with %d places of the old one", m.ID, len(x.places))
	}
	x.Member = m
	if m.Home == "" {
		d.lastLease = max(d.lastLease, m.Lease)
	}
	d.touch(i)
	return nil
}

// roomFor says whether one more of m's kind may come: as many visitors as members
// at home, so that neither can keep the other out.
func (d *draft) roomFor(m Member) bool {
	if d.memberIDs.len() < d.maxMembers {
		return true
	}
	same := 0
	for e := range d.memberIDs.all() {
		if (d.members.at(e.slot).Home == "") == (m.Home == "") {
			same++
		}
	}
	return same < d.maxMembers
}

func (d *draft) dropMember(id MemberID, lease Lease) error {
	i := d.memberIDs.slot(id)
	m := d.members.at(i)
	switch {
	case m == nil:
		return fmt.Errorf("%s: %w", id, ErrUnknownMember)
	case lease != 0 && lease != m.Lease:
		return fmt.Errorf("member %s, lease %d, not %d: %w", id, lease, m.Lease, ErrLease)
	case len(m.places) > 0:
		return broken("member", "%s still has %d places", id, len(m.places))
	}
	d.memberIDs = d.memberIDs.without(id)
	d.members.set(d.owner, i, nil)
	return nil
}

func (d *draft) setGeneration(g Generation) error {
	if g <= d.generation {
		return fmt.Errorf("generation %d after %d: %w", g, d.generation, ErrGeneration)
	}
	d.generation = g
	return nil
}

// ownMember returns member i as a record that may be changed in place.
func (d *draft) ownMember(i slot) *member {
	m := d.members.at(i)
	if m.owner == d.owner {
		return m
	}
	fresh := *m
	fresh.owner, fresh.lent = d.owner, true
	d.members.set(d.owner, i, &fresh)
	return &fresh
}

func (d *draft) ownTree(i slot) *tree {
	t := d.trees.at(i)
	if t.owner == d.owner {
		return t
	}
	fresh := *t
	fresh.owner = d.owner
	d.trees.set(d.owner, i, &fresh)
	return &fresh
}

// ownNode returns node i of t, which d must own, as a record that may be
// changed in place. Its slices are still shared.
func (d *draft) ownNode(t *tree, i slot) *node {
	n := t.nodes.at(i)
	if n.owner == d.owner {
		return n
	}
	fresh := *n
	fresh.owner = d.owner
	t.nodes.set(d.owner, i, &fresh)
	return &fresh
}

func broken(rule, format string, args ...any) error {
	return &InvariantError{Rule: rule, Detail: fmt.Sprintf(format, args...)}
}
