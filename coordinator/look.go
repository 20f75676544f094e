package coordinator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg"
)

// look finds out whether trees are worse than they could be, and does something
// about it if that is worth its while.
func (o *reorganiser) look(ctx context.Context, quiet bool) {
	now := time.Now()
	r := o.hub.current()
	o.sweepMoved(r, now)
	against, all := o.hub.votes(o.cfg.Regret)
	o.replica.meter.votes.Set(float64(against))
	o.replica.meter.ways.Set(float64(o.rtts.pairs()))
	if quiet || r.StreamCount() == 0 {
		o.streak = 0
		return
	}
	voted := against > 0 && float64(against) >= o.cfg.Quorum*float64(all)
	places := 0
	for s := range r.Streams() {
		places += r.NodeCount(s.ID)
	}
	o.stir(r.MemberCount(), places, now)
	o.looks++
	if !o.awake && o.streak == 0 && against == 0 && o.rtts.learnt() == 0 && o.looks%estimateEvery != 0 {
		return // nothing says that it is any worse
	}
	known := o.objections.heed(o.rtts.view(now), now)
	list := costs(r, now)
	plan := o.plan(r, known, o.budget(r, list), now)
	gain := gainOf(plan)
	o.replica.logger.Debug("looked at the trees", "gain", gain, "moves", len(plan.Moves), "votes", against, "sessions", all,
		"awake", o.awake, "news", o.rtts.learnt(), "ways", o.rtts.pairs())
	o.replica.meter.gain.Set(gain)
	if gain >= list.share(o.cfg.Threshold) || voted && gain >= list.share(o.cfg.Voted) {
		o.streak++
	} else {
		o.streak = 0
	}
	detail := fmt.Sprintf("%d of %d members have it worse than they could", against, all)
	degraded, wanted := o.streak >= o.cfg.Looks, moveFilter{}
	if !o.awake {
		wanted.least = o.cfg.Enough
	}
	switch {
	case degraded && len(o.pick(r, plan, wanted, 1, now)) > 0:
		cause := byEstimate
		if voted {
			cause = byVotes
		}
		o.reorganise(ctx, cause, detail, plan, known, wanted, make(chan uint64, 1))
	case o.awake && len(o.pick(r, plan, moveFilter{resting: true}, 1, now)) > 0:
		o.reorganise(ctx, byNews, detail, plan, known, moveFilter{resting: true}, make(chan uint64, 1))
	case (o.awake || degraded) && now.Sub(o.deep) >= o.cfg.DeepEvery:
		// Simple moves have come to an end, but for those who have to rest now, or those
		// that are left rest on one another.
		o.thorough(ctx, r, known, now)
	}
	o.aim(r, now)
}

// plan is what a budget allows. It keeps the books of the time that planning takes.
func (o *reorganiser) plan(r *region.Region, rtt region.RTT, b reorg.Budget, now time.Time) reorg.Round {
	begun := time.Now()
	plan := reorg.Plan(r, rtt, b, now, o.rng)
	took := time.Since(begun)
	o.replica.planned.Add(int64(took))
	o.replica.meter.planning.Observe(took.Seconds())
	o.replica.logger.Debug("planned", "gain", gainOf(plan), "moves", len(plan.Moves), "took", took)
	return plan
}

// budget is that of one round. What a move must save is a share of the mean tree,
// however many there are.
func (o *reorganiser) budget(r *region.Region, list bill) reorg.Budget {
	b := reorg.DefaultBudget()
	b.Moves, b.MinGain = o.cfg.Moves, list.share(o.cfg.MinGain)/float64(max(1, r.StreamCount()))
	return b
}

// newChance draws for plans that are made beside the rounds.
func newChance(now time.Time) *rand.Rand { return rand.New(rand.NewPCG(uint64(now.UnixNano()), 1)) }

func gainOf(plan reorg.Round) float64 {
	if plan.Before <= 0 {
		return 0
	}
	return 1 - float64(plan.After)/float64(plan.Before)
}

// A moveFilter says which moves of a plan are wanted.
type moveFilter struct {
	stream  region.StreamID // empty: any
	resting bool            // who has only just moved is not moved again
	// least is the part of the total cost that a plan must save to be gone on with.
	least float64
}

// pick takes the moves that may be under way together, and were not objected to, the
// best first.
func (o *reorganiser) pick(r *region.Region, plan reorg.Round, f moveFilter, most int, now time.Time) []reorg.Move {
	busy := underWay(r)
	var picked []reorg.Move
	for _, m := range plan.Moves {
		if len(picked) == min(most, o.cfg.InFlight) {
			break
		}
		if len(m.Needs) > 0 || f.resting && o.resting(m.Steps, now) || !f.wants(m) || o.objections.bar(m.Steps, now) || inTheWay(r, busy, m.Steps) {
			continue
		}
		picked = append(picked, m)
		busy = append(busy, m.Steps...)
	}
	return picked
}

func (f moveFilter) wants(m reorg.Move) bool {
	for _, s := range m.Steps {
		if f.stream != "" && s.Stream != f.stream {
			return false
		}
	}
	return true
}

// reorganise is a round: it plans, carries out what may be under way together,
// and plans anew from the trees as they are then, until nothing is left that
// pays or the round has had its moves. begun, which must have room, is told the
// round, 0 if there is nothing to do.
func (o *reorganiser) reorganise(ctx context.Context, cause, detail string, plan reorg.Round, known region.RTT, f moveFilter, begun chan<- uint64) {
	r, now := o.hub.current(), time.Now()
	batch := o.pick(r, plan, f, o.cfg.Moves, now)
	if len(batch) == 0 {
		begun <- 0
		return
	}
	x := o.begin(r, cause, detail, plan, now)
	begun <- x.id
	left, list := o.cfg.Moves, costs(r, now)
	for len(batch) > 0 {
		least := time.Duration(list.share(f.least) * float64(list.total()))
		for _, m := range o.carryOut(ctx, x, batch, known, least) {
			if m.state == moveConfirmed && f.least > 0 {
				// They were degraded in truth.
				o.awake, o.deeper = true, 0
			}
		}
		left -= len(batch)
		now = time.Now()
		if ctx.Err() != nil || left <= 0 || o.quiet(now) && cause != byOperator {
			break
		}
		r = o.hub.current()
		known, list = o.objections.heed(o.rtts.view(now), now), costs(r, now)
		if plan = o.plan(r, known, o.budget(r, list), now); gainOf(plan) < list.share(f.least) {
			break
		}
		batch = o.pick(r, plan, f, left, now)
	}
	o.end(ctx, x)
	o.streak = 0
}

// begin opens a round that carries out a plan, and tells people.
func (o *reorganiser) begin(r *region.Region, cause, detail string, plan reorg.Round, now time.Time) *round {
	x := o.rounds.begin(cause, r.Revision(), costs(r, now).total(), now)
	o.tell(x, &skeinv1.Event{
		Kind: "plan.begun", Cause: cause, GainUs: (plan.Before - plan.After).Microseconds(),
		Detail: fmt.Sprintf("%.1f %% of the cost can be saved by %d moves; %s", 100*gainOf(plan), len(plan.Moves), detail),
	})
	return x
}

// end closes a round, unless the office ended first: then another leader goes on
// from what is in the log.
func (o *reorganiser) end(ctx context.Context, x *round) {
	if ctx.Err() != nil {
		return
	}
	now := time.Now()
	o.tell(x, &skeinv1.Event{Kind: "plan.ended", Cause: x.cause, Detail: o.rounds.end(x, costs(o.hub.current(), now).total(), now)})
	o.replica.meter.rounds.WithLabelValues(x.cause).Inc()
}

// tell notes an event of a round.
func (o *reorganiser) tell(x *round, e *skeinv1.Event) {
	e.Round = x.id
	o.replica.logger.Debug("reorganisation", "round", x.id, "kind", e.Kind, "member", e.Member, "stream", e.Stream,
		"parent", e.Parent, "cause", e.Cause, "detail", e.Detail)
	o.replica.history.note(e)
}

// sweepMoved forgets who is gone or has rested.
func (o *reorganiser) sweepMoved(r *region.Region, now time.Time) {
	gone := func(m region.MemberID) bool {
		_, ok := r.Member(m)
		return !ok
	}
	for m, at := range o.moved {
		if gone(m) || now.Sub(at) > o.cfg.Rest {
			delete(o.moved, m)
		}
	}
	o.objections.sweep(now, gone)
}
