package region

import (
	"fmt"
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
	inherited := make(map[int]bool, len(steps))
	for _, step := range steps {
		n, ok := d.Node(step.Stream, step.Member)
		switch {
		case !ok || n.Parent != step.From:
			return nil, broken("move", "%s does not hang under %s any more", step.Member, step.From)
		case n.State == Reserved:
			return nil, broken("move", "%s is moving already", step.Member)
		}
		n.Old, n.OldHop, n.Heir = n.Parent, n.Hop, ""
		for i, other := range steps {
			if !inherited[i] && other.Stream == step.Stream && other.To == step.From {
				inherited[i], n.Heir = true, other.Member
				break
			}
		}
		n.Parent, n.Hop = step.To, r.hop(rtt, d.memberIDs.slot(step.Member), d.memberIDs.slot(step.To))
		n.State, n.Deadline = Reserved, now.Add(hold)
		n.Standbys = dropName(n.Standbys, step.To)
		if err := d.do(SetNode{step.Stream, n}); err != nil {
			return nil, fmt.Errorf("move %s: %w", step.Member, err)
		}
	}
	for i, step := range steps {
		if i > 0 && steps[i-1].Stream == step.Stream {
			continue
		}
		if err := d.repair(d.streamIDs.slot(step.Stream), nil, now, rtt); err != nil {
			return nil, fmt.Errorf("move %s: %w", step.Member, err)
		}
	}
	if err := d.verify(); err != nil {
		return nil, fmt.Errorf("move %s: %w", steps[0].Member, err)
	}
	return d.edits, nil
}

func dropName(names []MemberID, drop MemberID) []MemberID {
	kept := make([]MemberID, 0, len(names))
	for _, n := range names {
		if n != drop {
			kept = append(kept, n)
		}
	}
	return kept
}
