package region

import (
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
// until now + hold. Standbys that the move makes useless are replaced. An error
// says why the move is not possible, any more or at all.
func (r *Region) Move(steps []Step, now time.Time, hold time.Duration, rtt RTT) ([]Edit, error) {
	d := r.draft()
	heirs := r.heirs(steps)
	var trees []slot
	for i, step := range steps {
		ti := d.streamIDs.slot(step.Stream)
		m, to := d.memberIDs.slot(step.Member), d.memberIDs.slot(step.To)
		n, ok := d.Node(step.Stream, step.Member)
		switch {
		case !ok || n.Parent == "" || n.Parent != step.From:
			return nil, broken("move", "%s does not hang under %s any more", step.Member, step.From)
		case n.State == Reserved:
			return nil, broken("move", "%s is moving already", step.Member)
		case to == none:
			return nil, fmt.Errorf("move %s under %s: %w", step.Member, step.To, ErrUnknownMember)
		}
		err := d.hang(ti, m, to, hanging{
			layers: n.Layers, hop: r.hop(rtt, m, to), state: Reserved, deadline: now.Add(hold), hold: true, heir: heirs[i],
		})
		if err != nil {
			return nil, fmt.Errorf("move %s: %w", step.Member, err)
		}
		if !slices.Contains(trees, ti) {
			trees = append(trees, ti)
		}
	}
	for _, ti := range trees {
		if err := d.repair(ti, nil, now, rtt); err != nil {
			return nil, fmt.Errorf("move: %w", err)
		}
	}
	if err := d.verify(); err != nil {
		return nil, fmt.Errorf("move: %w", err)
	}
	return d.edits, nil
}

// heirs pairs every step with the member that comes to where it leaves.
func (r *Region) heirs(steps []Step) []MemberID {
	heirs := make([]MemberID, len(steps))
	taken := make([]bool, len(steps))
	for i, leaver := range steps {
		for k, comer := range steps {
			if !taken[k] && k != i && comer.Stream == leaver.Stream && comer.To == leaver.From {
				heirs[i], taken[k] = comer.Member, true
				break
			}
		}
	}
	return heirs
}
