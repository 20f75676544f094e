package planet

import (
	"github.com/skein-mesh/skein/reorg"
)

const (
	// minGain is what the improving move after a change must save of the total.
	minGain = 0.005
	// tendEvery and improveEvery are after how many epochs a leader looks after the
	// standbys and the shape of this tree: it has others. regateEvery is after how
	// many the gates of other realms look for better places in it.
	tendEvery, improveEvery, regateEvery = 6, 10, 20
	// A leader plans again after leastPause epochs if the last plan took planWorth
	// of the cost of the tree away, and ever more seldom if not.
	leastPause, mostPause = 30, 240
	planWorth             = 0.02
)

// planBudget lies between those of a leader's quick and thorough looks.
var planBudget = reorg.Budget{Moves: 64, Effort: reorg.DefaultBudget().Effort, MinGain: 0.001}

// lead does what a leader does by the way: it announces its region, measures hops
// again, looks for better places for gates, plans, makes an improving move if the
// tree has changed, and tends standbys.
func (r *realm) lead() error {
	r.turn++
	if (r.turn+r.id)%announceEvery == 0 {
		if err := r.announce(); err != nil {
			return err
		}
	}
	if r.moved {
		// The ends of an edge measure it all the time.
		r.moved, r.changed = false, true
		if err := r.apply(r.region.Remeasure(theStream, r)); err != nil {
			return err
		}
	}
	if (r.turn+r.id)%regateEvery == 0 {
		if err := r.regate(); err != nil {
			return err
		}
	}
	if r.turn >= r.planAt {
		if err := r.plan(); err != nil {
			return err
		}
	}
	if r.changed && (r.turn+r.id)%improveEvery == 0 {
		r.changed = false
		edits := r.region.Improve(theStream, minGain, r.now, hold, r)
		if len(edits) > 0 {
			r.counts.improved++
		}
		if err := r.commit(edits); err != nil {
			return err
		}
	}
	if (r.turn+r.id)%tendEvery != 0 {
		return nil
	}
	return r.commit(r.region.Tend(theStream, r.turn/tendEvery, r.now, r))
}

// plan makes a round of planning and carries out what it found. The less that is,
// the later comes the next one.
func (r *realm) plan() error {
	round := reorg.Plan(r.region, r, planBudget, r.now, r.rng)
	for _, m := range round.Moves {
		edits, err := r.region.Move(m.Steps, r.now, hold, r)
		if err != nil {
			continue // the moves before it have changed what it rests on
		}
		r.counts.planned++
		r.counts.bytes += bytesInquiry * len(m.Members())
		if err := r.commit(edits); err != nil {
			return err
		}
	}
	if gain := round.Before - round.After; float64(gain) > planWorth*float64(round.Before) {
		r.planPause = leastPause
	} else {
		r.planPause = min(2*r.planPause, mostPause)
	}
	r.planAt = r.turn + r.planPause
	return nil
}
