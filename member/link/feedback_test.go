package link

import (
	"testing"
	"time"
)

// troubles is for how long packets that a link brings are trouble: 160 a second, of so
// many streams in turn, each after the delay of its time but for those that are lost, to a
// process that is so late.
func troubles(streams int, span, late time.Duration, delay func(at time.Duration) time.Duration, lost func(n int) bool) (troubled time.Duration) {
	const every = time.Second / 160
	var f feedback
	windows := make([]window, streams)
	counts := make([]uint64, streams)
	arrived := time.Duration(0)
	for n := 0; time.Duration(n)*every < span; n++ {
		at, of := time.Second+time.Duration(n)*every, n%streams
		counts[of]++
		if lost(n) {
			f.missed++
			continue
		}
		arrived = max(arrived, at+delay(at-time.Second)) // none overtakes
		f.count(1000)
		f.compare(int64(arrived))
		if counts[of]%sampling == 0 {
			// The publisher's clock is an hour fast.
			f.sample(&windows[of], Header{SSRC: uint32(of), Stamp: Stamp{Index: counts[of], Captured: (at + time.Hour).Microseconds()}}, int64(arrived), late)
		}
		if f.troubled == int64(arrived) {
			troubled += every
		}
	}
	return troubled
}

// A link tells all it can when a queue grows on it or much is lost, and little else: a
// machine that is busy, a radio that is bad, are no trouble.
func TestWhatIsTroubleToALink(t *testing.T) {
	const span = 10 * time.Second
	none := func(int) bool { return false }
	even := func(time.Duration) time.Duration { return 50 * time.Millisecond }
	for name, streams := range map[string]int{"one stream": 1, "twenty streams": 20} {
		for what, delay := range map[string]func(time.Duration) time.Duration{
			"evenly":             even,
			"8 ms early or late": func(at time.Duration) time.Duration { return even(at) + at*7919%(8*time.Millisecond) },
			"held up for 80 ms twice a second": func(at time.Duration) time.Duration {
				return even(at) + max(0, 80*time.Millisecond-at%(500*time.Millisecond))
			},
		} {
			if got := troubles(streams, span, 0, delay, none); got != 0 {
				t.Errorf("%s %s: trouble for %v", name, what, got)
			}
		}
		if got := troubles(streams, span, 0, even, func(n int) bool { return n%20 == 0 }); got != 0 {
			t.Errorf("%s, a twentieth lost: trouble for %v", name, got)
		}
		if got := troubles(streams, span, 0, even, func(n int) bool { return n%3 == 0 }); got == 0 {
			t.Errorf("%s, a third lost: no trouble", name)
		}
		// After 5 s a third more is sent than fits, for a second.
		queue := func(at time.Duration) time.Duration { return even(at) + min(max(0, at-5*time.Second), time.Second)/3 }
		if got := troubles(streams, 6*time.Second, 0, queue, none); got == 0 {
			t.Errorf("%s, a queue of a third of a second: no trouble", name)
		}
		if got := troubles(streams, 6*time.Second, 100*time.Millisecond, queue, none); got != 0 {
			t.Errorf("%s, held up for a third of a second by a process that is late: trouble for %v", name, got)
		}
	}
}
