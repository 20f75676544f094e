package coordinator

import (
	"fmt"
	"slices"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// doubtFor is how long a member must contradict the structure, with the same
// words about the same edge, before either is corrected. It leaves a role the
// time to reach the member and be carried out.
const doubtFor = 3 * time.Second

// doubts are the streams about which a member and the structure disagree.
type doubts map[region.StreamID]doubt

// A doubt is a contradiction: the member says held, the structure says agreed.
type doubt struct {
	held, agreed region.MemberID
	since        time.Time
}

// compare checks a member's digest against the structure. The log is to be the
// record of what the members hold, so a contradiction that lasts is settled: the
// structure follows if what the member holds is possible, and otherwise the
// member is told its role again.
func (l *leadership) compare(s *session, m *skeinv1.Digest, now time.Time) error {
	held := map[region.StreamID]region.MemberID{}
	words := map[region.StreamID]region.Revision{}
	for _, e := range m.Edges {
		r, err := toEdgeReport(e.Stream, e.Parent)
		if err != nil {
			return fmt.Errorf("digest: %w", err)
		}
		held[r.stream], words[r.stream] = r.parent, region.Revision(e.Revision)
	}
	l.restored(s, m)
	r := l.hub.current()
	given := func(id region.StreamID) region.Revision { return l.hub.given(s, id) }
	for _, id := range s.stale.update(words, given, now) {
		l.noteMismatch(oldRole, s.stay.member, id, held[id], fmt.Sprintf("it goes by revision %d, and was told %d", words[id], given(id)))
		l.hub.repeat(s, id)
	}
	for _, settle := range s.doubts.update(r, s.stay.member, held, now) {
		l.noteMismatch(kindOf(r, held[settle]), s.stay.member, settle, held[settle], "")
		if err := l.settle(s, settle, held[settle]); err != nil {
			return err
		}
	}
	return nil
}

// update takes the edges that m holds and returns the streams to be settled.
func (d doubts) update(r *region.Region, m region.MemberID, held map[region.StreamID]region.MemberID, now time.Time) []region.StreamID {
	agreed := map[region.StreamID]region.Node{}
	for id, n := range r.Places(m) {
		agreed[id] = n
	}
	for id := range d {
		_, said := held[id]
		_, placed := agreed[id]
		if !said && !placed {
			delete(d, id)
		}
	}
	var ripe []region.StreamID
	judge := func(id region.StreamID, n region.Node, placed bool) {
		parent, said := held[id]
		root := placed && n.Parent == ""
		if root || said && placed && (parent == n.Parent || n.State == region.Reserved && parent == n.Old) {
			delete(d, id)
			return
		}
		was, ok := d[id]
		if !ok || was.held != parent || was.agreed != n.Parent {
			d[id] = doubt{held: parent, agreed: n.Parent, since: now}
		} else if now.Sub(was.since) >= doubtFor {
			delete(d, id)
			ripe = append(ripe, id)
		}
	}
	for id, n := range agreed {
		judge(id, n, true)
	}
	for id := range held {
		if _, placed := agreed[id]; !placed {
			judge(id, region.Node{}, false)
		}
	}
	slices.Sort(ripe)
	return ripe
}

// stale are the streams for which a member does not go by the role it was told.
type stale map[region.StreamID]struct {
	told  region.Revision
	since time.Time
}

// update takes the revisions of the roles that a member goes by, and returns the
// streams for which that has been an old one for some time.
func (o stale) update(words map[region.StreamID]region.Revision, given func(region.StreamID) region.Revision, now time.Time) []region.StreamID {
	for id := range o {
		if _, said := words[id]; !said {
			delete(o, id)
		}
	}
	var ripe []region.StreamID
	for id, word := range words {
		was, doubted := o[id]
		switch {
		case doubted && word >= was.told:
			delete(o, id)
		case doubted && now.Sub(was.since) >= doubtFor:
			delete(o, id)
			ripe = append(ripe, id)
		case !doubted && word < given(id):
			was.told, was.since = given(id), now
			o[id] = was
		}
	}
	slices.Sort(ripe)
	return ripe
}

// settle ends a contradiction about a stream which a member draws from parent.
func (l *leadership) settle(s *session, id region.StreamID, parent region.MemberID) error {
	l.replica.meter.corrections.Inc()
	if parent == "" || l.cfg.mayDraw(s.stay.member, id) != nil {
		l.hub.repeat(s, id)
		return nil
	}
	return l.order(func(d *draft) error {
		done, err := d.correct(s.stay, edgeReport{id, parent})
		if err != nil || !done {
			l.hub.repeat(s, id)
		}
		return err
	})
}
