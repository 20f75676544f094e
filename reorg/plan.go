package reorg

import (
	"math/rand/v2"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A Budget bounds one round of planning. Bounded rounds are what a leader runs
// beside its other work; an unbounded one shows how good the trees could be.
type Budget struct {
	// Moves is the most moves a plan may hold; 0 = as many as pay.
	Moves int
	// Evaluations bounds the work: so many possible moves are looked at in all;
	// 0 = until nothing better is found nearby.
	Evaluations int
	// Shakes is how many members' positions are tried at random, by annealing,
	// before the last climb, per node of the region; 0 = only climb. Its plans
	// need many moves, so it goes with Moves = 0.
	Shakes int
	// MinGain is the least a move must save, as a fraction of the total cost.
	// 0 = anything; a plan then moves members for fractions of a millisecond.
	MinGain float64
	// Weight of the hazards of ancestors against delay, in ms*s. At 10 000 an
	// ancestor that is expected to stay 10 min costs about 17 ms; 0 = delay only.
	Weight float64
}

// DefaultBudget is a round on a live region: few moves, each worth its trouble.
func DefaultBudget() Budget {
	return Budget{Moves: 16, Evaluations: 4_000_000, MinGain: 0.005, Weight: 10_000}
}

// A Kind names the shape of a move.
type Kind uint8

// The kinds of moves.
const (
	// Reparent hangs one member, with all below it, under another parent.
	Reparent Kind = iota + 1
	// SubtreeSwap exchanges two members, each with all below it.
	SubtreeSwap
	// PositionSwap exchanges two members; what hangs below stays where it is.
	PositionSwap
	// Promotion lifts a member above its parent or between two others.
	Promotion
	// Chain is any other set of steps that only pays, or only fits, together.
	Chain
)

// A Step hangs one member of a tree under another parent.
type Step struct {
	Stream           region.StreamID
	Member, From, To region.MemberID
}

// A Move is a set of steps that are carried out together or not at all.
type Move struct {
	Kind  Kind
	Steps []Step
	// Gain is what the move takes off the total cost, if the moves before it
	// were carried out.
	Gain time.Duration
	// Needs lists the earlier moves of the plan without which this one is not
	// possible, by index, ascending. Most need none.
	Needs []int
}

// A Plan is a proposal how to make trees better. It is worth something only for
// structures that still resemble the one it was made for.
type Plan struct {
	Base region.Revision
	// Before and After are the total costs, hazards included.
	Before, After time.Duration
	// Moves in order of gain as far as Needs allows. Any prefix keeps every
	// invariant, as does any single move together with those it needs.
	Moves []Move
}

// Make plans moves in all trees of r under the uplinks they share. It modifies
// neither r nor rtt and does not depend on anything but its arguments. rng is
// used only if b.Shakes > 0 or a tree is too large to look at every pair.
func Make(r *region.Region, rtt region.RTT, b Budget, now time.Time, rng *rand.Rand) Plan {
	panic("todo")
}

// Edits expresses m on r as it is now: the moved nodes become Reserved until
// now + hold. The error says which step r no longer allows.
func (m Move) Edits(r *region.Region, rtt region.RTT, now time.Time, hold time.Duration) ([]region.Edit, error) {
	panic("todo")
}

// Members lists those whose agreement m needs, by ID: every member that moves
// and every new parent.
func (m Move) Members() []region.MemberID { panic("todo") }
