package coordinator

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg"
)

// Plan plans, asks those the moves touch, and has the plan carried out if the
// operator says so. What is carried out is planned anew then: answers take time.
func (i *inspection) Plan(ctx context.Context, req *skeinv1.PlanRequest) (*skeinv1.PlanResponse, error) {
	l, err := i.server.leader(req.Region)
	if err != nil {
		return nil, err
	}
	o := l.reorganiser
	r, now := l.hub.current(), time.Now()
	f := moveFilter{}
	if req.Stream != "" {
		if f.stream, err = skeinv1.ToStreamID(req.Stream); err != nil {
			return nil, err
		}
		if _, ok := r.Stream(f.stream); !ok {
			return nil, fmt.Errorf("stream %q: %w", f.stream, region.ErrUnknownStream)
		}
	}
	if req.Revision != 0 && req.Revision != uint64(r.Revision()) {
		return nil, fmt.Errorf("region %s is at revision %d, not %d: %w", l.replica.region, r.Revision(), req.Revision, region.ErrRevision)
	}
	known := l.rtts.view(now)
	plan := reorg.Plan(r, known, o.budget(r, costs(r, now)), now, newChance(now))
	resp := &skeinv1.PlanResponse{
		Revision: uint64(r.Revision()), BeforeUs: plan.Before.Microseconds(), AfterUs: plan.After.Microseconds(),
	}
	moves := chosen(plan, f)
	o.poll(ctx, moves, known)
	for _, m := range moves {
		resp.Moves = append(resp.Moves, m.message())
	}
	resp.Streams = compared(r, moves, known, now)
	if req.Apply && len(moves) > 0 {
		w := wish{stream: f.stream, begun: make(chan uint64, 1)}
		select {
		case o.wishes <- w:
		case <-ctx.Done():
			return nil, fmt.Errorf("a round is under way: %w", context.Cause(ctx))
		}
		select {
		case resp.Round = <-w.begun:
		case <-ctx.Done():
		}
	}
	return resp, nil
}

// chosen are the moves of a plan that pass a filter, with those they need.
func chosen(plan reorg.Round, f moveFilter) []*roundMove {
	at := map[int]int{} // where a move of the plan has come to
	var list []*roundMove
	for k, m := range plan.Moves {
		needs := m.Needs
		if !f.wants(m) || slices.ContainsFunc(needs, func(n int) bool { _, ok := at[n]; return !ok }) {
			continue
		}
		m.Needs = nil
		for _, n := range needs {
			m.Needs = append(m.Needs, at[n])
		}
		at[k] = len(list)
		list = append(list, &roundMove{Move: m, state: movePlanned})
	}
	return list
}

// poll asks, for all moves at the same time, what those they touch would say.
func (o *reorganiser) poll(ctx context.Context, moves []*roundMove, known region.RTT) {
	var wg sync.WaitGroup
	for _, m := range moves {
		wg.Go(func() {
			if m.objections = o.ask(ctx, m.Steps, m.Gain, o.cfg.Patience, known); len(m.objections) > 0 {
				m.state = moveObjected
			} else {
				m.state = moveAgreed
			}
		})
	}
	wg.Wait()
}

// compared tells how long streams take without and with the moves that are agreed
// to.
func compared(r *region.Region, moves []*roundMove, known region.RTT, now time.Time) []*skeinv1.PlanStream {
	after := r.Clone()
	touched := map[region.StreamID]bool{}
	for _, m := range moves {
		edits, err := after.Move(m.Steps, now, time.Second, known)
		if len(m.objections) > 0 || err != nil {
			continue
		}
		for _, s := range m.Steps {
			touched[s.Stream] = true
		}
		apply := func(edits []region.Edit) {
			base := after.Revision()
			// What Move decides can be applied; it is a rehearsal in any case.
			_ = after.Apply(base+1, region.Change{Time: now, Base: base, Edits: edits})
		}
		apply(edits)
		for _, s := range m.Steps {
			apply(after.Confirmed(s.Stream, s.Member, s.To))
		}
	}
	var list []*skeinv1.PlanStream
	for s := range r.Streams() {
		if !touched[s.ID] {
			continue
		}
		p := &skeinv1.PlanStream{Stream: string(s.ID)}
		p.AverageBeforeUs, p.WorstBeforeUs = delays(r, s.ID)
		p.AverageAfterUs, p.WorstAfterUs = delays(after, s.ID)
		list = append(list, p)
	}
	return list
}

// delays are the average and the longest delay of a stream, in microseconds.
func delays(r *region.Region, s region.StreamID) (average, worst int64) {
	var sum, count int64
	for n := range r.Nodes(s) {
		if n.Parent == "" {
			continue
		}
		d, _ := r.Delay(s, n.Member)
		sum, count, worst = sum+d.Microseconds(), count+1, max(worst, d.Microseconds())
	}
	return sum / max(count, 1), worst
}

// obey reorganises because an operator said so: at once, and without regard to
// what was objected to before.
func (o *reorganiser) obey(ctx context.Context, w wish) {
	o.objections.forget()
	now := time.Now()
	r := o.hub.current()
	known := o.rtts.view(now)
	o.reorganise(ctx, byOperator, "an operator ordered it", o.plan(r, known, o.budget(r, costs(r, now)), now), known, moveFilter{stream: w.stream}, w.begun)
}

// Rounds lists the latest rounds of the present leader.
func (i *inspection) Rounds(_ context.Context, req *skeinv1.RoundsRequest) (*skeinv1.RoundsResponse, error) {
	l, err := i.server.leader(req.Region)
	if err != nil {
		return nil, err
	}
	return &skeinv1.RoundsResponse{Rounds: l.reorganiser.rounds.message()}, nil
}
