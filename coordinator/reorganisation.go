package coordinator

import (
	"fmt"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A Reorganisation says when and how far a leader changes trees that work. The
// zero value never does; start from DefaultReorganisation.
type Reorganisation struct {
	// Every is the cadence at which a leader looks at its trees; 0 = never. A look
	// costs some ms of CPU per 100 members.
	Every time.Duration
	// Threshold is the part of the total cost that must be savable for trees to
	// count as degraded. Below a tenth nobody notices, and moves are not free.
	Threshold float64
	// Regret is the part of its own delay from which on a member votes against its
	// trees, and Quorum the part of the members that must do so for trees to count
	// as degraded if Voted, less than Threshold, can be saved. A third is more than
	// those who may lie, and less than a bad link near the root touches. Who votes
	// for ever makes leaders look, and moves nobody.
	Regret, Quorum, Voted float64
	// Enough ends what was begun because trees were degraded: what is left to save,
	// as a part of the total cost, is less. Far below Threshold, so that the next
	// round is not soon.
	Enough float64
	// Looks is how often in a row trees must be found degraded before anything is
	// done: one look may fall into a passing disturbance.
	Looks int
	// MinGain is what a move must save, as a fraction of the mean tree's cost. It
	// is the price of a move: 0.005 leaves out nine tenths of the moves for a few
	// per cent of delay.
	MinGain float64
	// Moves bounds a round, InFlight how many of its moves are under way at a
	// time. Each sends one stream twice for a moment.
	Moves, InFlight int
	// Deep is what a thorough plan must save, as a part of the total cost, to be
	// carried out; each further one half as much again. It is made when simple moves
	// have come to an end after something happened, at most every DeepEvery: it
	// takes up to a second of CPU, and up to DeepMoves moves: about one per member
	// where many came at a time. When it does not pay, trees are at rest until
	// something happens again.
	Deep      float64
	DeepEvery time.Duration
	DeepMoves int
	// Patience is how long those a move touches may take to agree.
	Patience time.Duration
	// Confirm is how long a move may be under way before it is reversed.
	Confirm time.Duration
	// AfterElection is how long a new leader leaves trees alone: members come
	// back one by one and tell it what they measured.
	AfterElection time.Duration
	// Crowd is the part of the members, but at least five, that may come within
	// CrowdWindow; if more do, trees are left alone until the rush is over.
	Crowd       float64
	CrowdWindow time.Duration
	// Rest is for how long a member that has moved is not moved again, unless
	// trees are degraded.
	Rest time.Duration
}

// DefaultReorganisation returns the settings that suit live media.
func DefaultReorganisation() Reorganisation {
	return Reorganisation{
		Every:         5 * time.Second,
		Threshold:     0.1,
		Regret:        0.1,
		Quorum:        1.0 / 3,
		Voted:         0.05,
		Enough:        0.025,
		Looks:         2,
		MinGain:       0.005,
		Moves:         16,
		InFlight:      8,
		Deep:          0.005,
		DeepEvery:     30 * time.Second,
		DeepMoves:     128,
		Patience:      2 * time.Second,
		Confirm:       5 * time.Second,
		AfterElection: 10 * time.Second,
		Crowd:         0.1,
		CrowdWindow:   5 * time.Second,
		Rest:          20 * time.Second,
	}
}

func (c *Reorganisation) validate() error {
	if c.Every == 0 {
		return nil
	}
	switch {
	case c.Every < 0 || c.AfterElection < 0 || c.DeepEvery < 0 || c.CrowdWindow < 0 || c.Rest < 0:
		return fmt.Errorf("config Reorganise: %w: a time is negative", region.ErrInvalid)
	case c.Threshold <= 0 || c.Regret <= 0 || c.Quorum <= 0 || c.Voted <= 0 || c.Enough <= 0 || c.MinGain <= 0 || c.Deep <= 0:
		return fmt.Errorf("config Reorganise: %w: a threshold is not positive; start from DefaultReorganisation", region.ErrInvalid)
	case c.Looks <= 0 || c.Moves <= 0 || c.InFlight <= 0 || c.DeepMoves <= 0 || c.Patience <= 0 || c.Confirm <= 0:
		return fmt.Errorf("config Reorganise: %w: a limit is not positive; start from DefaultReorganisation", region.ErrInvalid)
	}
	return nil
}
