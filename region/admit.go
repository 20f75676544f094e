package region

import (
	"fmt"
	"slices"
	"time"
)

// Admit decides an admission at time now. An error means that the request is
// malformed or names an unknown stream or stay; a refusal is no error.
// An accepted edge is Reserved until now + hold.
//
// The first proposal that is still valid on the facts it rests on is accepted.
// An orphan's proposal is valid whenever it can be, and stands at once if it is
// one of its standbys: the child draws from it already. No place is ever kept
// back for members that can relay, for they need none: they enter between a
// parent and its child. A refusal may come with edits, which make room for when
// the child asks again.
func (r *Region) Admit(a Admission, now time.Time, hold time.Duration, rtt RTT) ([]Edit, Decision, error) {
	child, err := r.stay(a.Child, a.Lease)
	if err != nil {
		return nil, Decision{}, err
	}
	ti := r.streamIDs.slot(a.Stream)
	t := r.trees.at(ti)
	if t == nil {
		return nil, Decision{}, fmt.Errorf("%s: %w", a.Stream, ErrUnknownStream)
	}
	layers, err := t.stream.selects(a.Layers)
	switch {
	case err != nil:
		return nil, Decision{}, err
	case child == t.root:
		return nil, Decision{}, invalid("child", "%s is the origin of %s", a.Child, a.Stream)
	case a.Cause < Orphaned || a.Cause > Improving:
		return nil, Decision{}, invalid("cause", "want 1 to %d, have %d", Improving, a.Cause)
	case len(a.Proposals) > MaxProposals:
		return nil, Decision{}, invalid("proposals", "want at most %d, have %d", MaxProposals, len(a.Proposals))
	case hold <= 0:
		return nil, Decision{}, invalid("hold", "want more than 0, have %v", hold)
	}
	n := t.nodes.at(child)
	if n != nil {
		// What the child feeds on goes on: it draws at least that.
		for _, c := range n.children {
			layers |= t.nodes.at(c).layers
		}
	}
	c := newCandidacy(r, ti, child, layers, a, rtt, now, hold)
	defer c.k.survey.done()
	return c.decide(a)
}

// A candidacy is an admission being decided.
type candidacy struct {
	*draft
	region *Region // before the decision
	k      *seeker
	tree   slot
	cause  Cause
	now    time.Time
	// deadline is until when an accepted place is reserved.
	deadline time.Time
	rtt      RTT
}

func newCandidacy(r *Region, ti, child slot, layers LayerMask, a Admission, rtt RTT, now time.Time, hold time.Duration) *candidacy {
	k := r.seek(r.survey(r.trees.at(ti), now), child, layers, now, rtt)
	for _, id := range a.Avoid {
		if i := r.memberIDs.slot(id); i != none {
			k.avoid = append(k.avoid, i)
		}
	}
	k.apart = a.Apart
	if a.Cause == Orphaned && k.at >= 0 {
		k.cutOff = []int{k.survey.at(k.order[k.at].parent)}
	}
	return &candidacy{draft: r.draft(), region: r, k: k, tree: ti, cause: a.Cause, now: now, deadline: now.Add(hold), rtt: rtt}
}

func (c *candidacy) decide(a Admission) ([]Edit, Decision, error) {
	var decision Decision
	for _, p := range a.Proposals {
		at, reason := c.check(p)
		if reason == 0 {
			hop := c.honest(at)
			if p.RTT > 0 {
				hop = min(p.RTT/2, MaxDelay)
			}
			if reason = c.accept(at, hop); reason == 0 {
				return c.accepted(decision)
			}
		}
		decision.Refusals = append(decision.Refusals, Refusal{p, reason})
	}
	if !a.Place {
		return nil, decision, nil
	}
	at, ok := c.best()
	if !ok || c.accept(at, c.honest(at)) != 0 {
		return c.makeRoom(), decision, nil
	}
	return c.accepted(decision)
}

// best is the best place for the child, on its own side if there is one.
func (c *candidacy) best() (place, bool) {
	at, ok := c.k.best()
	if !ok && c.k.apart != nil {
		c.k.apart = nil
		at, ok = c.k.best()
	}
	if !ok && len(c.k.cutOff) > 0 {
		c.k.cutOff = nil
		at, ok = c.k.best()
	}
	return at, ok
}

// strays says whether a place makes an edge between the sides of a division for which
// there is no need.
func (c *candidacy) strays(at place) bool {
	k := c.k
	parted := k.parted(k.order[at.parent].member) || at.displaced >= 0 && k.parted(k.order[at.displaced].member)
	if !parted || k.at >= 0 && k.order[k.at].parent == k.order[at.parent].member {
		return false
	}
	if _, ok := k.best(); !ok {
		k.apart = nil // there is no room on its own side
	}
	return k.apart != nil
}

func (c *candidacy) accepted(d Decision) ([]Edit, Decision, error) {
	d.OK = true
	d.Accepted = c.export(c.trees.at(c.tree).nodes.at(c.k.member))
	d.draft = c.draft
	return c.edits, d, nil
}

// honest is the hop to a place without the caution it is weighed with.
func (c *candidacy) honest(at place) time.Duration {
	return c.hop(c.rtt, c.k.member, c.k.order[at.parent].member)
}

// check says whether a proposal is valid on the facts it rests on.
func (c *candidacy) check(p Proposal) (place, Reason) {
	k := c.k
	parent := c.memberIDs.slot(p.Parent)
	if parent == none || k.survey.at(parent) < 0 {
		return place{}, Unknown
	}
	at := place{parent: k.survey.at(parent), displaced: -1}
	switch {
	case parent == k.member:
		return at, Loop
	case slices.Contains(k.avoid, parent):
		return at, Avoided
	}
	if c.inherits(at) {
		at.displaced = k.survey.at(c.lost())
		return at, 0
	}
	if p.Displaced != "" && p.Displaced != c.name(k.member) {
		d := c.memberIDs.slot(p.Displaced)
		if d == none || k.survey.at(d) < 0 {
			return at, Stale
		}
		at.displaced = k.survey.at(d)
		if k.order[at.displaced].parent != parent || !k.displaceable(at.displaced) {
			return at, Stale
		}
	}
	if reason := k.spot(at).judge(); reason != 0 {
		return at, reason
	}
	if c.cause != Orphaned && c.strays(at) {
		return at, Avoided
	}
	const slackShare, slackLeast = 10, 5 * time.Millisecond
	believed := max(p.ParentDelay, 0)
	if c.cause != Orphaned && c.delay(k.t, k.order[at.parent]) > believed+max(believed/slackShare, slackLeast) {
		return at, Stale
	}
	return at, 0
}

// stays accepts the place that the child has. An orphan draws from it already.
func (c *candidacy) stays() Reason {
	if c.cause == Orphaned && c.k.order[c.k.at].state == Reserved {
		if c.do(Confirm{c.k.t.stream.ID, c.name(c.k.member)}) != nil || c.verify() != nil {
			return Unfit
		}
	}
	return 0
}

// accept hangs the child at a place, and the displaced child under it.
func (c *candidacy) accept(at place, hop time.Duration) Reason {
	k := c.k
	parent := k.order[at.parent].member
	if at.displaced < 0 && k.at >= 0 && k.order[k.at].parent == parent && k.order[k.at].layers == k.layers {
		return c.stays()
	}
	lost := c.lost()
	h := hanging{layers: k.layers, hop: hop, state: Reserved, deadline: c.deadline, hold: c.cause != Orphaned}
	if c.cause == Orphaned && k.at >= 0 && slices.Contains(k.order[k.at].standbys, parent) {
		h.state = Standing
	}
	err := c.hang(c.tree, k.member, parent, h)
	switch {
	case err != nil || at.displaced < 0:
	case k.order[at.displaced].member == lost:
		err = c.park(lost)
	default:
		err = c.displace(c.tree, k, at.displaced, c.deadline, c.rtt)
	}
	if err == nil {
		err = c.repair(c.tree, nil, c.now, c.rtt)
	}
	if err == nil {
		err = c.verify()
	}
	if err != nil {
		c.draft = c.region.draft()
		return Unfit
	}
	return 0
}
