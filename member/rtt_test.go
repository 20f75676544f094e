package member

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein/region"
)

func TestShortestSampleOfTheLastWindowsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRTTBook()
		for _, step := range []struct{ after, sample, want time.Duration }{
			{0, 80 * time.Millisecond, 80 * time.Millisecond},
			{time.Second, 40 * time.Millisecond, 40 * time.Millisecond},
			{time.Second, 120 * time.Millisecond, 40 * time.Millisecond},
			{time.Second, 0, 40 * time.Millisecond},               // no sample
			{time.Second, 2 * time.Minute, 40 * time.Millisecond}, // not credible
			{rttWindow, 120 * time.Millisecond, 40 * time.Millisecond},
			{rttWindow + time.Second, 110 * time.Millisecond, 110 * time.Millisecond},
			{time.Minute, 300 * time.Millisecond, 300 * time.Millisecond}, // there is no newer one
		} {
			time.Sleep(step.after)
			b.observe("a", step.sample)
			if got, ok := b.rtt("a"); !ok || got != step.want {
				t.Errorf("after %v: %v, want %v", step.sample, got, step.want)
			}
		}
	})
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
