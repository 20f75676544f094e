package dev

import (
	"testing"
	"time"
)

// Trees have coped with a shift when they are good for good, not in passing.
func TestAShiftIsCopedWithForGood(t *testing.T) {
	s := ShiftSummary{Limit: 1.3, RecoveredS: -1}
	for i, worst := range []float64{1.45, 1.5, 1.28, 1.31, 1.3, 1.2} {
		s.look(worst, time.Duration(i)*time.Second)
		if coped := s.RecoveredS >= 0; coped != (worst <= 1.3) {
			t.Errorf("after %d s at %.2f: %v s", i, worst, s.RecoveredS)
		}
	}
	want := ShiftSummary{OverBoundAtOnce: 1.45, OverBoundMax: 1.5, OverBoundEnd: 1.2, Limit: 1.3, RecoveredS: 4}
	if s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
}
