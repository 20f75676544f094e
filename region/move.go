package region

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A Step hangs a node with all below it under another parent of its tree.
type Step struct {
	Stream           StreamID
	Member, From, To MemberID
}

// Move decides steps that are carried out together. They are taken in order and
// may pass through states in which members send more than they can, but must
// not close a loop. A step that fills the place another one leaves makes the
// two count as one until both are confirmed (Node.Heir), so that members may
// trade places where there is no room to spare. The moved edges are Reserved
// until now + hold.
func (r *Region) Move(steps []Step, now time.Time, hold time.Duration, rtt RTT) ([]Edit, error) {
	d := r.draft()
	heirs := d.heirsOf(steps)
	for i, s := range steps {
		n, to := d.node(s.Stream, s.Member), d.memberIDs.slot(s.To)
		switch {
		case n == nil || n.parent == none || d.name(n.parent) != s.From:
			return nil, broken("move", "%s does not hang under %s any more", s.Member, s.From)
		case n.state == Reserved:
			return nil, broken("move", "%s is moving already", s.Member)
		case d.node(s.Stream, s.To) == nil:
			return nil, broken("move", "parent %s is not in the tree", s.To)
		}
		err := d.hang(d.streamIDs.slot(s.Stream), n.member, to, hanging{
			layers: n.layers, hop: r.hop(rtt, n.member, to), state: Reserved, deadline: now.Add(hold), hold: true, heir: heirs[i],
		})
		if err != nil {
			return nil, fmt.Errorf("move %s: %w", s.Member, err)
		}
	}
	for i, s := range steps {
		if i > 0 && steps[i-1].Stream == s.Stream {
			continue
		}
		if err := d.repair(d.streamIDs.slot(s.Stream), nil, now, rtt); err != nil {
			return nil, fmt.Errorf("move %s: %w", s.Member, err)
		}
	}
	if err := d.verify(); err != nil {
		return nil, fmt.Errorf("move of %d steps: %w", len(steps), err)
	}
	return d.edits, nil
}

// heirsOf finds, for each step, the member that takes the place it leaves: of
// those who leave a parent and those who come, the ones that draw most go
// together, so that as little as possible is held twice.
func (d *draft) heirsOf(steps []Step) []MemberID {
	draws := func(i int) uint64 {
		if n := d.node(steps[i].Stream, steps[i].Member); n != nil {
			return d.tree(steps[i].Stream).rate(n)
		}
		return 0
	}
	order := make([]int, len(steps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(draws(b), draws(a)) })
	heirs := make([]MemberID, len(steps))
	taken := make([]bool, len(steps))
	for _, i := range order {
		for _, k := range order {
			if !taken[k] && steps[k].Stream == steps[i].Stream && steps[k].To == steps[i].From {
				taken[k], heirs[i] = true, steps[k].Member
				break
			}
		}
	}
	return heirs
}
