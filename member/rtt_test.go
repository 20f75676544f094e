package member

import (
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

func TestShorterSampleCountsAtOnceLongerOnesSlowly(t *testing.T) {
	b := newRTTBook()
	for _, step := range []struct{ sample, want time.Duration }{
		{80 * time.Millisecond, 80 * time.Millisecond},
		{40 * time.Millisecond, 40 * time.Millisecond},
		{120 * time.Millisecond, 50 * time.Millisecond},
		{0, 50 * time.Millisecond},               // no sample
		{2 * time.Minute, 50 * time.Millisecond}, // not credible
	} {
		b.observe("a", step.sample)
		if got, ok := b.rtt("a"); !ok || got != step.want {
			t.Errorf("after %v: %v, want %v", step.sample, got, step.want)
		}
	}
}

func TestSamplesAreReportedOnceInBatches(t *testing.T) {
	b := newRTTBook()
	for _, id := range []region.MemberID{"a", "b", "c", "b"} {
		b.observe(id, time.Millisecond)
	}
	b.forget("c")
	if got := b.take(2); len(got) != 2 || got[0].peer != "a" || got[1].peer != "b" {
		t.Errorf("first batch: %v, want a and b", got)
	}
	if got := b.take(2); len(got) != 0 {
		t.Errorf("second batch: %v, want nothing: c is gone", got)
	}
	b.observe("a", time.Millisecond)
	if got := b.take(2); len(got) != 1 {
		t.Errorf("third batch: %v, want the new sample of a", got)
	}
}
