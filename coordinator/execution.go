package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg"
)

const (
	// settleTick is how often it is looked whether a move has arrived.
	settleTick = 50 * time.Millisecond
	// settleGrace is how long after its time a move is reversed at the latest.
	settleGrace = 2 * time.Second
)

// carryOut has moves agreed, decided and confirmed, all at the same time, and
// waits for all of them. If what is agreed to saves neither least nor half of what
// all would, it is left: it was the others that paid.
func (o *reorganiser) carryOut(ctx context.Context, x *round, moves []reorg.Move, known region.RTT, least time.Duration) []*roundMove {
	var list []*roundMove
	var all time.Duration
	for _, move := range moves {
		m := &roundMove{Move: move, state: movePlanned}
		list = append(list, m)
		all += move.Gain
		o.rounds.add(x, m)
	}
	o.each(list, movePlanned, func(m *roundMove) { o.agree(ctx, x, m, known) })
	var agreed time.Duration
	for _, m := range list {
		if m.state == moveAgreed {
			agreed += m.Gain
		}
	}
	if agreed < min(least, all/2) {
		o.each(list, moveAgreed, func(m *roundMove) { o.drop(x, m, "not worth it without the others") })
	}
	o.each(list, moveAgreed, func(m *roundMove) { o.carry(ctx, x, m) })
	now := time.Now()
	for _, m := range list {
		o.rests(m, now)
	}
	return list
}

// attempt has one move agreed, decided and confirmed.
func (o *reorganiser) attempt(ctx context.Context, x *round, m *roundMove, known region.RTT) {
	if o.agree(ctx, x, m, known); m.state == moveAgreed {
		o.carry(ctx, x, m)
	}
}

// rests notes who has moved, if somebody has.
func (o *reorganiser) rests(m *roundMove, now time.Time) {
	if m.state != moveConfirmed && m.state != moveReversed {
		return
	}
	for _, s := range m.Steps {
		o.moved[s.Member] = now
	}
}

// each does something with all moves in a state at the same time, and waits for it.
func (o *reorganiser) each(list []*roundMove, state string, do func(*roundMove)) {
	var wg sync.WaitGroup
	for _, m := range list {
		if m.state == state {
			wg.Go(func() { do(m) })
		}
	}
	wg.Wait()
}

// event tells what became of a move.
func (o *reorganiser) event(x *round, m *roundMove, kind, cause, detail string) {
	first := m.Steps[0]
	o.tell(x, &skeinv1.Event{
		Kind: kind, Member: string(first.Member), Stream: string(first.Stream), Parent: string(first.To),
		Cause: cause, Detail: detail, GainUs: m.Gain.Microseconds(),
	})
	o.replica.meter.moves.WithLabelValues(strings.TrimPrefix(kind, "plan.")).Inc()
}

// agree asks those whom a move touches.
func (o *reorganiser) agree(ctx context.Context, x *round, m *roundMove, known region.RTT) {
	o.event(x, m, "plan.proposed", x.cause, describeMove(m.Move))
	list := o.ask(ctx, m.Steps, m.Gain, o.cfg.Patience, known)
	if ctx.Err() != nil {
		return
	}
	if len(list) == 0 {
		o.rounds.set(m, moveAgreed, "", nil)
		return
	}
	now := time.Now()
	for _, b := range list {
		o.objections.remember(b, now)
		o.tell(x, &skeinv1.Event{
			Kind: "plan.objected", Member: string(b.member), Stream: string(m.Steps[0].Stream), Parent: string(b.about),
			Cause: reasonOf(b.reason), Detail: b.detail,
		})
	}
	o.replica.meter.moves.WithLabelValues("objected").Inc()
	o.rounds.set(m, moveObjected, list[0].String(), list)
}

// carry decides a move that all have agreed to, and sees to its end.
func (o *reorganiser) carry(ctx context.Context, x *round, m *roundMove) {
	err := o.owns(m.Steps, func() error {
		_, err := o.decider.do(ctx, &request{urgency: forImprovement, decide: func(d *draft) ([]byte, error) {
			return nil, d.move(m.Steps, o.cfg.Confirm)
		}})
		return err
	})
	if err != nil {
		if errors.Is(err, region.ErrNotLeader) || ctx.Err() != nil {
			o.rounds.set(m, moveRefused, err.Error(), nil)
			return
		}
		o.drop(x, m, err.Error())
		o.avoid(m)
		return
	}
	o.rounds.set(m, moveMoving, "", nil)
	o.event(x, m, "plan.decided", "", "")
	switch begun := time.Now(); o.settle(ctx, m.Steps) {
	case moveConfirmed:
		o.rounds.set(m, moveConfirmed, "", nil)
		o.event(x, m, "plan.confirmed", "", fmt.Sprintf("after %v", time.Since(begun).Round(time.Millisecond)))
	case moveReversed:
		o.rounds.set(m, moveReversed, "not confirmed in time", nil)
		o.event(x, m, "plan.reversed", "", "not confirmed in time")
		o.avoid(m)
	}
}

// drop leaves a move that all have agreed to.
func (o *reorganiser) drop(x *round, m *roundMove, why string) {
	o.rounds.set(m, moveRefused, why, nil)
	o.event(x, m, "plan.dropped", "", why)
}

// avoid does not try a move again soon: something is in the way.
func (o *reorganiser) avoid(m *roundMove) {
	now := time.Now()
	for _, s := range m.Steps {
		o.objections.remember(objection{member: s.Member, about: s.To, reason: skeinv1.Objection_OBJECTION_UNREACHABLE}, now)
	}
}

// settle waits until a move is confirmed or undone, and says which. It is empty
// if ctx ended first.
func (o *reorganiser) settle(ctx context.Context, steps []region.Step) string {
	ticker := time.NewTicker(settleTick)
	defer ticker.Stop()
	deadline := time.Now().Add(o.cfg.Confirm + settleGrace)
	for {
		select {
		case <-ctx.Done():
			return ""
		case <-ticker.C:
		}
		r := o.hub.current()
		standing, undone := 0, time.Now().After(deadline)
		for _, s := range steps {
			n, ok := r.Node(s.Stream, s.Member)
			switch {
			case !ok || n.Parent != s.To:
				undone = true
			case n.State == region.Standing:
				standing++
			}
		}
		switch {
		case standing == len(steps):
			return moveConfirmed
		case undone && !moving(r, steps):
			return moveReversed
		}
	}
}

// moving says whether any of the steps is still under way.
func moving(r *region.Region, steps []region.Step) bool {
	return slices.ContainsFunc(steps, func(s region.Step) bool {
		n, ok := r.Node(s.Stream, s.Member)
		return ok && n.Parent == s.To && n.State == region.Reserved
	})
}

// describeMove is a move in a line.
func describeMove(m reorg.Move) string {
	s := m.Kind.String()
	for _, step := range m.Steps {
		s += fmt.Sprintf(", %s from %s to %s", step.Member, step.From, step.To)
	}
	return s
}
