package dev

import (
	"math/rand/v2"
	"testing"
	"time"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestTallyAgreesWithABookOfAllPackets(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for round := range 20 {
		var tally Tally
		book := map[uint64]int{}
		first, sent := uint64(rnd.IntN(500)), uint64(0)
		for c := first; c < first+uint64(1000+round*2000); c++ {
			sent = c + 1
			copies := 1
			switch r := rnd.IntN(100); {
			case r < 5 && c > first:
				copies = 0
			case r < 8:
				copies = 2
			}
			for range copies {
				at := epoch.Add(time.Duration(c) * 8 * time.Millisecond)
				tally.Add(c, at.Add(-5*time.Millisecond), at)
				book[c]++
			}
		}
		var received, lost, duplicates uint64
		for c := first; c < sent; c++ {
			switch n := book[c]; n {
			case 0:
				lost++
			default:
				received++
				duplicates += uint64(n - 1)
			}
		}
		if tally.Received != received || tally.Lost(sent) != lost || tally.Duplicates != duplicates {
			t.Errorf("round %d: received %d lost %d duplicates %d, want %d %d %d", round,
				tally.Received, tally.Lost(sent), tally.Duplicates, received, lost, duplicates)
		}
	}
}

func TestTallyCountsWhatNeverCameAtTheEnd(t *testing.T) {
	var tally Tally
	tally.Add(10, epoch, epoch)
	tally.Add(11, epoch, epoch)
	tally.Add(13, epoch, epoch)
	for end, want := range map[uint64]uint64{12: 0, 13: 1, 14: 1, 20: 7} {
		if got := tally.Lost(end); got != want {
			t.Errorf("lost before %d: %d, want %d", end, got, want)
		}
	}
	tally.Add(12, epoch, epoch) // late, not lost
	if tally.Lost(14) != 0 || tally.Duplicates != 0 || tally.Disordered != 1 {
		t.Errorf("a late packet: lost %d, duplicates %d, disordered %d", tally.Lost(14), tally.Duplicates, tally.Disordered)
	}
	tally.Add(9, epoch, epoch)
	if tally.Duplicates != 1 {
		t.Error("a packet from before the first one passes as new")
	}
}

func TestTallyFindsTheHoleAroundAKill(t *testing.T) {
	var tally Tally
	at := epoch
	for c := range uint64(3000) {
		switch c {
		case 1000:
			at = at.Add(250 * time.Millisecond)
		case 2000:
			at = at.Add(90 * time.Millisecond)
		default:
			at = at.Add(10 * time.Millisecond)
		}
		tally.Add(c, at, at)
	}
	killed := epoch.Add(10 * time.Second)
	for _, c := range []struct {
		from, to time.Duration
		want     time.Duration
	}{
		{-time.Second, 5 * time.Second, 250 * time.Millisecond},
		{5 * time.Second, 15 * time.Second, 90 * time.Millisecond},
		{5 * time.Second, 6 * time.Second, 10 * time.Millisecond},
	} {
		if got := tally.Gap(killed.Add(c.from), killed.Add(c.to), at); got != c.want {
			t.Errorf("gap from %v to %v after the kill: %v, want %v", c.from, c.to, got, c.want)
		}
	}
	now := at.Add(time.Second)
	if got := tally.Gap(at, at.Add(5*time.Second), now); got != time.Second {
		t.Errorf("a hole that is still open: %v, want 1s", got)
	}
}

func TestTallyForgetsOldHoles(t *testing.T) {
	var tally Tally
	for i := range uint64(10) {
		at := epoch.Add(time.Duration(i) * 10 * time.Minute)
		tally.Add(i, at, at)
	}
	last := epoch.Add(90 * time.Minute)
	if got := tally.Gap(epoch, last, last); got != 10*time.Minute {
		t.Errorf("gap %v, want that of the last two minutes, 10m", got)
	}
}

func TestHistogramQuantiles(t *testing.T) {
	var a, b Histogram
	for i := range 500 {
		a.Add(time.Duration(i+1) * time.Millisecond)
		b.Add(time.Duration(i+501) * time.Millisecond)
	}
	a.Merge(b)
	for q, want := range map[float64]float64{0.5: 500, 0.99: 990, 1: 1000} {
		got := float64(a.Quantile(q)) / float64(time.Millisecond)
		if got < want*0.98 || got > want*1.02 {
			t.Errorf("quantile %g is %.1f ms, want %g ms within 2 %%", q, got, want)
		}
	}
	if (&Histogram{}).Quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
	var extremes Histogram
	extremes.Add(-time.Second)
	extremes.Add(time.Hour)
	if extremes.Total != 2 {
		t.Error("extremes are not counted")
	}
}
