package region

import (
	"slices"
	"time"
)

// Penalties that order the classes of standbys; far above any delay.
const (
	sharedFate  = 4 * MaxDelay // would be orphaned by the same failure
	withoutRoom = 2 * MaxDelay
	sameBranch  = MaxDelay         // hangs below the same child of the root as one chosen before
	relyOnHeir  = MaxDelay * 3 / 2 // a sibling that finds another parent at the same time
)

const (
	// enoughStandbys is how many a node must have fewer of before it is given
	// new ones, so that one loss does not rewrite the standbys of a whole tree.
	enoughStandbys = 3
	// mostTended is how many broods that have lost nothing are looked after at
	// every decision, because they could have better standbys, and mostWeak how
	// many members of each.
	mostTended, mostWeak = 2, 16
	// reliance is the price of a standby on which as many nodes rely as it has
	// room for. When a tenth of the members fails at once several of them come:
	// at 1 ms the first two standbys healed 87 % of the orphans (PlanetLab, mixed
	// slots), at 50 ms 99 %.
	// The first standby is where a child will live should it lose its parent
	// alone, which is what mostly happens, so it is chosen for its delay above
	// all; the second one is the insurance and pays the whole of the price.
	reliance      = 50 * time.Millisecond
	firstReliance = 10 // so much less
)

// Tend decides better standbys for some of the nodes of s whose standbys have no
// room any more or could fail together, and for the children of one parent if
// they could have much nearer ones. Decisions see to the former by the way, but
// only to a few nodes each; a tree that has come to rest is tended in its quiet
// time. turn numbers the calls, so that everybody's turn comes.
func (r *Region) Tend(s StreamID, turn int, now time.Time, rtt RTT) []Edit {
	d := r.draft()
	ti := d.streamIDs.slot(s)
	if d.tend(ti, nil, turn, now, rtt) != nil || d.renew(ti, turn, now, rtt) != nil || d.verify() != nil {
		return nil
	}
	return d.edits
}

// renew looks whether the brood whose turn it is could have nearer standbys. Those
// that were best when they were chosen fall behind as the tree changes; who loses
// its parent lives with them.
func (d *draft) renew(ti slot, turn int, now time.Time, rtt RTT) error {
	t := d.trees.at(ti)
	if t == nil {
		return nil
	}
	s := d.survey(t, now)
	defer s.done()
	var parents []int
	for p, n := range s.order {
		if len(n.children) > 0 {
			parents = append(parents, p)
		}
	}
	if len(parents) == 0 {
		return nil
	}
	p := parents[uint(turn)%uint(len(parents))]
	b := d.brood(s, p, s.order[p].children, nil, rtt)
	if !b.renew() {
		return nil
	}
	return d.entrust(ti, b)
}

// entrust carries out what was chosen for a brood.
func (d *draft) entrust(ti slot, b *brood) error {
	for _, f := range b.members {
		n := b.order[f.at]
		if slices.Equal(f.standbys, n.standbys) {
			continue
		}
		if err := d.do(SetStandbys{b.t.stream.ID, d.name(n.member), d.names(f.standbys)}); err != nil {
			return err
		}
		b.order[f.at] = d.trees.at(ti).nodes.at(n.member)
	}
	return nil
}

// repair brings the standbys of tree ti in order again: those that have become
// useless are dropped (gone counts as useless), those who have too few get more,
// and some of those whose standbys ran out of room get others.
func (d *draft) repair(ti slot, gone []slot, now time.Time, rtt RTT) error {
	return d.tend(ti, gone, int(d.revision), now, rtt)
}

// tend is repair that begins elsewhere each turn.
func (d *draft) tend(ti slot, gone []slot, turn int, now time.Time, rtt RTT) error {
	if d.trees.at(ti) == nil {
		return nil
	}
	s := d.survey(d.ownTree(ti), now) // which edits of the tree keep up to date
	defer s.done()
	tended := 0
	// Begin elsewhere each time, so that everybody's turn comes.
	first := int(uint(turn) % uint(len(s.order)))
	for i := range s.order {
		p := (first + i) % len(s.order)
		needing := d.needing(s, ti, p, gone)
		if len(needing) == 0 {
			continue
		}
		if tended >= mostTended && !d.bereft(s, ti, p, gone) {
			continue
		}
		b := d.brood(s, p, needing, gone, rtt)
		if d.restore(b, ti, tended < mostTended, turn) {
			tended++
		}
		if err := d.entrust(ti, b); err != nil {
			return err
		}
	}
	return nil
}

// needing are the children of the parent at position p that have to be looked at
// together: none if all of them are well off, and all if one of them is not. But in
// a big brood whose loss nothing heals siblings are no help to one another, and those
// that are well off can be left out.
func (d *draft) needing(s *survey, ti slot, p int, gone []slot) []slot {
	children := s.order[p].children
	if len(children) == 0 || len(gone) > 0 {
		return children
	}
	apart := len(children) > mostWeak && !s.mortal(p)
	var needing []slot
	for _, c := range children {
		switch {
		case d.wellOff(s, ti, p, c):
		case !apart:
			return children
		default:
			needing = append(needing, c)
		}
	}
	return needing
}

// wellOff says at little cost that a child of the parent at position p needs nothing:
// it has enough standbys and can count on the first two, without relying on a sibling.
func (d *draft) wellOff(s *survey, ti slot, p int, c slot) bool {
	parent, n := s.order[p], s.order[s.at(c)]
	if len(n.standbys) < min(enoughStandbys, len(s.order)-2) || slices.Contains(d.suspects, suspect{ti, c}) {
		return false
	}
	for k, x := range n.standbys[:min(2, len(n.standbys))] {
		m := d.members.at(x)
		room := m.slack() - int64(m.pledged(parent.member))
		if x == parent.parent {
			room += int64(s.t.rate(parent))
		}
		i := s.at(x)
		if room < 0 || i < 0 || s.falls(i, p) || k == 1 && s.sharesBranch(i, s.at(n.standbys[0])) {
			return false
		}
	}
	return true
}

// bereft says at little cost whether a child of the parent at position p has lost
// a standby. If none has, there is nothing to restore.
func (d *draft) bereft(s *survey, ti slot, p int, gone []slot) bool {
	return slices.ContainsFunc(s.order[p].children, func(c slot) bool {
		v := s.at(c)
		return slices.Contains(d.suspects, suspect{ti, c}) || len(s.useful(v, gone)) < len(s.order[v].standbys)
	})
}

// restore chooses new standbys for those of a brood who lost some and have too
// few left and, if it may improve, for some of those who could have better ones.
// It reports whether it tried to improve what nobody had lost.
func (d *draft) restore(b *brood, ti slot, improve bool, turn int) (tried bool) {
	enough := min(enoughStandbys, len(b.order)-2)
	var needy, weak []int
	for k := range b.members {
		i := (k + int(uint(turn)%uint(len(b.members)))) % len(b.members)
		f := b.members[i]
		n := b.order[f.at]
		few := len(f.standbys) < enough
		lost := len(f.standbys) < len(n.standbys) || slices.Contains(d.suspects, suspect{ti, n.member})
		switch {
		case few && lost:
			needy = append(needy, i)
		case (few || !f.fine) && len(weak) < mostWeak:
			weak = append(weak, i)
		}
	}
	if tried = len(weak) > 0 && improve; tried {
		needy = append(needy, weak...)
	}
	if len(needy) == 0 {
		return false
	}
	before, points, count := b.choices(), b.total(), b.count(enough)
	slices.Sort(needy)
	b.mend(needy)
	// What is no better is left alone, or two choices that are alike would take turns for ever.
	reached := b.total()
	if more := b.count(enough) - count; more < 0 || more == 0 && reached <= points {
		b.choose(before)
		reached = points
	}
	if all := len(b.members); len(needy) < all && all <= mostWeak && reached < all*sound {
		mended := b.choices()
		b.mendAll()
		if b.total() <= reached {
			b.choose(mended)
		}
	}
	return tried
}

// useful are the standbys of the node at position v that can still serve it.
func (s *survey) useful(v int, gone []slot) []slot {
	n := s.order[v]
	useless := func(x slot) bool {
		i := s.at(x)
		return i < 0 || x == n.parent || s.below(i, v) || n.layers&^s.order[i].layers != 0 || slices.Contains(gone, x)
	}
	if !slices.ContainsFunc(n.standbys, useless) {
		return n.standbys
	}
	return slices.DeleteFunc(slices.Clone(n.standbys), useless)
}
