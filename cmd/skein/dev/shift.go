package dev

import (
	"context"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

// shiftLead is how long beforehand members are told of a shift, so that it
// happens to all of them at the same time.
const shiftLead = 2 * time.Second

// shift tells the members of the latency shift shortly before it is due.
func (t *testnet) shift(ctx context.Context) {
	if t.cfg.shifted == nil || !t.shiftedAt.IsZero() {
		return
	}
	at := t.began.Add(t.cfg.Shift.At)
	if time.Until(at) > shiftLead {
		return
	}
	t.shiftedAt = at
	t.ask(ctx, Query{Shift: at})
	t.shifted = &ShiftSummary{AtS: seconds(t.cfg.Shift.At), Limit: recovered, RecoveredS: -1}
}

// recovery looks how far the trees have coped with a shift.
func (t *testnet) recovery(ctx context.Context) {
	if t.shifted == nil || time.Now().Before(t.shiftedAt) {
		return
	}
	all, err := t.bounds(ctx, false)
	if err != nil {
		return // asked again soon
	}
	worst := 0.0
	for _, q := range all {
		worst = max(worst, q.AvgOverBound)
	}
	t.shifted.look(worst, time.Since(t.shiftedAt))
}

// look takes in what the worst stream has over the bound so long after the shift.
func (s *ShiftSummary) look(worst float64, after time.Duration) {
	if s.OverBoundAtOnce == 0 {
		s.OverBoundAtOnce = worst
	}
	s.OverBoundMax, s.OverBoundEnd = max(s.OverBoundMax, worst), worst
	switch {
	case worst > s.Limit:
		s.RecoveredS = -1
	case s.RecoveredS < 0:
		s.RecoveredS = seconds(after)
	}
}

// count keeps the books of moves.
func (m *MoveSummary) count(e inspect.Event, began time.Time) {
	switch e.Kind {
	case "plan.proposed":
		m.Proposed++
	case "plan.objected":
		m.Objected++
	case "plan.decided":
		m.Decided++
		m.LastS = seconds(e.Time.Sub(began))
	case "plan.confirmed":
		m.Confirmed++
	case "plan.reversed":
		m.Reversed++
	}
}
