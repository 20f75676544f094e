package coordinator

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg"
)

const (
	// deepSteps bounds the random steps of a thorough plan, deepShakes those per
	// node: beyond that trees hardly become better.
	deepSteps, deepShakes = 600_000, 6000
	// deepMinGain is what each step of a thorough plan must save. Only together they
	// are worth their while.
	deepMinGain = 0.0005
	// mostInVain is how many thorough plans in a row nobody may agree to before trees
	// are left as they are.
	mostInVain = 3
	// mostTried is how many moves are tried for whether they pay now while others are
	// under way.
	mostTried = 16
	// A thorough plan that saved less than this part of what it was to has another one
	// follow at once.
	fulfilled = 0.8
	// When fewest moves were objected to, and more than were confirmed, something else
	// is the matter: a plan is given up before all its ways are objected to.
	fewestObjected = 8
)

// thorough leaves the nearest optimum: simple moves have come to an end, and
// trees may still be some per cent worse than they could be. Its moves rest on
// one another, so they are not planned anew as they are carried out.
func (o *reorganiser) thorough(ctx context.Context, r *region.Region, known region.RTT, now time.Time) {
	nodes := 0
	for s := range r.Streams() {
		nodes += r.NodeCount(s.ID)
	}
	list, least := costs(r, now), o.bar(o.cfg.Deep)
	o.heed(now)
	plan := o.plan(r, known, reorg.Budget{
		Shakes: min(deepShakes, deepSteps/max(nodes, 1)+1), Moves: o.cfg.DeepMoves, MinGain: list.share(deepMinGain),
	}, now)
	if gainOf(plan) < list.share(least) {
		o.awake = false
		return
	}
	x := o.begin(r, byEstimate, "they belong together", plan, now)
	moved := o.carryOutInTurn(ctx, x, plan.Moves, known)
	o.end(ctx, x)
	saved := 1 - float64(costs(o.hub.current(), time.Now()).total())/float64(max(list.total(), 1))
	switch {
	case moved && saved >= list.share(least) && saved < fulfilled*gainOf(plan):
		// Some could not be moved, and what was to follow them did not pay: the next one
		// begins from here, soon.
		o.deep, o.vain = time.Time{}, 0
	case moved:
		o.deeper, o.vain = o.deeper+1, 0
	case o.vain < mostInVain:
		// The next one heeds what was objected to, while that is remembered.
		o.vain, o.deep = o.vain+1, time.Time{}
	default:
		o.awake, o.vain = false, 0
	}
}

// carryOutInTurn carries out moves that rest on one another, each when those it needs
// are confirmed and it pays, until the rest cannot be done, most object, or trees have
// become so much worse meanwhile that the plan was made for others. It says whether
// any was confirmed.
func (o *reorganiser) carryOutInTurn(ctx context.Context, x *round, moves []reorg.Move, known region.RTT) bool {
	q := newSequence(moves)
	ended := make(chan int)
	best := time.Duration(math.MaxInt64)
	count := map[string]int{}
	for {
		tried, now := 0, time.Now()
		o.remeasure(now)
		cost := costs(o.hub.current(), now).total()
		best = min(best, cost)
		contested := count[moveObjected] >= fewestObjected && count[moveObjected] > count[moveConfirmed]
		stop := ctx.Err() != nil || o.quiet(now) || contested || float64(cost) > (1+o.cfg.Threshold)*float64(best)
		for k := range moves {
			if stop || q.running >= o.cfg.InFlight || q.running > 0 && tried >= mostTried {
				break
			}
			if !o.possible(q, k, now) {
				continue
			}
			// Those it was to follow may not be done yet, nor gone who make room for it.
			if tried++; !o.pays(moves[k], known, now, q.running == 0) {
				continue
			}
			m := &roundMove{Move: moves[k], state: movePlanned}
			m.Needs = nil
			q.begin(k, m)
			o.rounds.add(x, m)
			go func() {
				o.attempt(ctx, x, m, known)
				ended <- k
			}()
		}
		if q.running == 0 {
			return count[moveConfirmed] > 0
		}
		m := q.end(<-ended)
		o.rests(m, time.Now())
		count[m.state]++
	}
}

// A sequence is moves that are carried out as those they need are confirmed, some at
// the same time.
type sequence struct {
	moves   []reorg.Move
	begun   []*roundMove // nil: not yet
	over    []bool
	running int
}

func newSequence(moves []reorg.Move) *sequence {
	return &sequence{moves: moves, begun: make([]*roundMove, len(moves)), over: make([]bool, len(moves))}
}

func (q *sequence) begin(k int, m *roundMove) {
	q.begun[k] = m
	q.running++
}

func (q *sequence) end(k int) *roundMove {
	q.over[k] = true
	q.running--
	return q.begun[k]
}

// open says whether move k is still to be done, and those it needs are.
func (q *sequence) open(k int) bool {
	return q.begun[k] == nil && !slices.ContainsFunc(q.moves[k].Needs, func(n int) bool {
		return !q.over[n] || q.begun[n].state != moveConfirmed
	})
}

// steps are those of the moves under way, whether they are decided yet or not.
func (q *sequence) steps() (list []region.Step) {
	for k, m := range q.begun {
		if m != nil && !q.over[k] {
			list = append(list, m.Steps...)
		}
	}
	return list
}

// possible says whether move k can be done now, whether or not it pays.
func (o *reorganiser) possible(q *sequence, k int, now time.Time) bool {
	r := o.hub.current()
	return q.open(k) && !o.objections.bar(q.moves[k].Steps, now) && !inTheWay(r, append(underWay(r), q.steps()...), q.moves[k].Steps)
}

// pays says whether a move saves now what it was planned for, or enough. One that
// only makes room saves nothing by itself. Of one that cannot be, the decider says
// why, if it is the last word.
func (o *reorganiser) pays(m reorg.Move, known region.RTT, now time.Time, last bool) bool {
	r := o.hub.current()
	edits, err := r.Move(m.Steps, now, o.cfg.Confirm, known)
	if err != nil {
		return last
	}
	if m.Gain <= 0 {
		return true
	}
	gain, ok := saved(r, edits, now)
	if !ok || gain >= m.Gain/2 {
		return ok
	}
	list := costs(r, now)
	return gain >= time.Duration(list.share(deepMinGain)*float64(list.total()))
}
