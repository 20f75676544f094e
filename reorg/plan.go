package reorg

import (
	"math/bits"
	"math/rand/v2"
	"time"

	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg/forest"
)

// A Budget bounds one round of planning. Bounded rounds are what a leader runs
// beside its other work; an unbounded one shows how good the trees could be.
type Budget struct {
	// Moves is the most moves a plan may hold; 0 = as many as pay.
	Moves int
	// Effort bounds the work: in trees of n nodes in all, Effort x n log2 n possible
	// steps are looked at, those of the nodes that could gain most first; 0 = until
	// none of them pays any more. 100 000 take about 10 ms.
	Effort int
	// Shakes is how many random steps per node annealing takes to get out of the
	// nearest optimum; 0 = none. They come on top of Effort, and their plan
	// needs about as many moves as there are nodes.
	Shakes int
	// MinGain is the least a move must save, as a fraction of the total cost.
	// 0 = anything; a plan then moves members for fractions of a millisecond.
	MinGain float64
	// Doubt is the factor by which an RTT that is only guessed is thought to be
	// longer; 0 = such pairs are not joined at all. A search picks the guesses
	// that are most wrong, and one wrong edge near the root delays many: with
	// guesses for 4 % of the pairs, and 2 for Doubt, trees came out 10 % worse.
	Doubt float64
}

// DefaultBudget is a round on a live region: few moves, each worth its trouble.
func DefaultBudget() Budget {
	return Budget{Moves: 16, Effort: 128, MinGain: 0.005}
}

// evaluations is how many possible steps may be looked at in trees of n nodes.
func (b Budget) evaluations(n int) int { return b.Effort * n * bits.Len(uint(n)) }

// Unlimited plans the best trees that can be found in seconds.
func Unlimited() Budget {
	return Budget{Shakes: 6000}
}

// A Round is the result of planning once. It is worth something only for
// structures that still resemble the one it was made for.
type Round struct {
	Base region.Revision
	// Before and After are the total costs, hazards included.
	Before, After time.Duration
	// Evaluations is how many possible steps were looked at.
	Evaluations int
	// Moves, the best first as far as they allow. Any prefix keeps every
	// invariant, as does any single move together with those it needs.
	Moves []Move
}

// Plan plans moves in all trees of r under the uplinks they share, by the prices
// of r.Policy for delay and hazards. Nodes whose last move is not confirmed yet
// stay where they are. It modifies neither r nor rtt and depends on nothing but
// its arguments. rng is used only if b.Shakes > 0 or a tree is too large to look
// at every pair.
func Plan(r *region.Region, rtt region.RTT, b Budget, now time.Time, rng *rand.Rand) Round {
	m := chart(r, rtt, b, now)
	before := m.forest.Total()
	base := m.forest.Parents()
	search := forest.NewSearch(m.forest, rng)
	search.Wide = b.Shakes > 0
	least := b.MinGain * before

	round := Round{Base: r.Revision(), Before: span(before)}
	search.Climb(forest.Limit{Steps: b.Moves, Evaluations: b.evaluations(m.forest.Nodes()), MinGain: least}, func(k forest.Kind, gain float64) {
		if b.Shakes == 0 {
			round.Moves = append(round.Moves, m.taken(search, k, gain))
		}
	})
	if b.Shakes > 0 {
		mean := before / float64(max(m.forest.Nodes(), 1))
		for round := range rounds {
			heat := hot
			if round > 0 {
				heat = warm
			}
			search.Anneal(b.Shakes*m.forest.Nodes()/rounds, heat*mean, cold*mean)
			search.Climb(forest.Limit{}, nil)
		}
		round.Moves = m.retrace(base, least, b.Moves)
	}
	round.After, round.Evaluations = span(m.forest.Total()), search.Evaluations
	m.needs(base, round.Moves)
	return round
}

// Annealing goes in rounds, each from the best trees so far. The first forgets
// much of what it started from, the others keep more. Temperatures are fractions
// of the mean delay.
const (
	rounds = 5
	warm   = 0.5
	hot    = 1.5
	cold   = 0.002
)

// span turns milliseconds into a duration.
func span(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
