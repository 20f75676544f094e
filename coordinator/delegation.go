package coordinator

import (
	"fmt"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Local admissions: members admit leaves over links that stand by themselves. The
// coordinators say how much of its uplink a member may use for that (a change like
// any other), and give out the permits by which members know one another's rights.

const (
	// maxPermits bounds the patterns of one member.
	maxPermits = 8
	// spareEvery is how often members are asked at most to give back what they do not
	// use.
	spareEvery = 10 * time.Second
)

// mayDraw says whether a member may draw a stream; ErrForbidden if not. It is what
// its permits say.
func (c *Config) mayDraw(m region.MemberID, s region.StreamID) error {
	for _, pattern := range c.patterns(m) {
		if trust.Matches(string(pattern), s) {
			return nil
		}
	}
	return fmt.Errorf("member %s, stream %.64q: %w", m, string(s), region.ErrForbidden)
}

// patterns name what a member may draw.
func (c *Config) patterns(m region.MemberID) []region.StreamID {
	if c.MayDraw == nil {
		return []region.StreamID{"*"}
	}
	list := c.MayDraw(m)
	return list[:min(len(list), maxPermits)]
}

// permits signs a member's permits; none for a visitor, which is fed by its trees.
func (l *leadership) permits(r *region.Region, m region.Member, now time.Time) [][]byte {
	if m.Home != "" {
		return nil
	}
	var keys []grantKey
	for _, pattern := range l.cfg.patterns(m.ID) {
		keys = append(keys, grantKey{stream: pattern, child: stay{m.ID, m.Lease}})
	}
	return l.signer.sign(r, keys, now)
}

// delegated takes a member's word on its local admissions, and has its leaf budget
// brought into line with what it has use for.
func (l *leadership) delegated(s *session, m *skeinv1.LeafReport) error {
	s.leaf.Store(m)
	want := region.Rate(min(m.WantKbps, uint32(region.MaxRate)))
	edits, err := l.hub.current().Delegate(s.stay.member, s.stay.lease, want)
	if err != nil || len(edits) == 0 {
		return nil // a stay that is over hears of that by itself
	}
	return l.order(func(d *draft) error { return d.delegate(s.stay, want) })
}

// delegate decides a leaf budget.
func (d *draft) delegate(s stay, want region.Rate) error {
	edits, err := d.region.Delegate(s.member, s.lease, want)
	if err != nil {
		return err
	}
	return d.carry(edits)
}

// leafBudget is what a stay may admit by itself; nil if it is over.
func leafBudget(r *region.Region, s stay) *skeinv1.LeafBudget {
	m, ok := r.Member(s.member)
	if !ok || m.Lease != s.lease {
		return nil
	}
	return &skeinv1.LeafBudget{Kbps: uint32(m.Leaf)}
}

// countLeaves brings the metrics of local admissions up to date.
func (l *leadership) countLeaves(r *region.Region) {
	var budget, used, children float64
	for m := range r.Members() {
		budget += float64(m.Leaf)
	}
	for _, m := range l.hub.leaves() {
		used += float64(m.GetUsedKbps())
		children += float64(m.GetChildren())
	}
	const kbit = 1000 / 8 // in bytes
	l.replica.meter.leafBudget.Set(budget * kbit)
	l.replica.meter.leafUsed.Set(used * kbit)
	l.replica.meter.leaves.Set(children)
}

// leaves is what members say of their local admissions.
func (h *hub) leaves() []*skeinv1.LeafReport {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*skeinv1.LeafReport, 0, len(h.sessions))
	for _, s := range h.sessions {
		list = append(list, s.leaf.Load())
	}
	return list
}

// spare asks all members to give back what they hold and do not use, since somebody
// was refused who could have had it.
func (h *hub) spare(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Sub(h.spared) < spareEvery {
		return
	}
	h.spared = now
	for _, s := range h.sessions {
		s.spare = true
		s.wake()
	}
}

// delegations returns whether s has to be told its leaf budget, or to spare, and
// forgets it.
func (h *hub) delegations(s *session) (budget, spare bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	budget, spare = s.budget, s.spare
	s.budget, s.spare = false, false
	return budget, spare
}
