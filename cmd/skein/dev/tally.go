package dev

import (
	"math/bits"
	"time"
)

// window is how many packets back a Tally can still tell a late packet from a
// second one; at 120 packets/s more than a minute. It is a multiple of 64.
const window = 8192

// holeSlot is the resolution in time with which a Tally remembers holes, and
// holeSlots how many of them it remembers: the last two minutes.
const (
	holeSlot  = 100 * time.Millisecond
	holeSlots = 1200
)

// A Tally accounts for the packets of one stream at one subscriber, by the
// counters the publisher wrote into them and by nothing that the network says
// of itself. The zero value is ready. It is not safe for concurrent use.
type Tally struct {
	// Received counts distinct packets, Duplicates those delivered again.
	Received, Duplicates uint64
	// Disordered counts packets delivered after one with a greater counter.
	Disordered uint64
	// Delays of all packets, from being stamped to being delivered.
	Delays Histogram

	first, next uint64 // counters seen: first <= c < next
	missed      uint64 // never received and out of the window
	seen        [window / 64]uint64

	start, last time.Time // arrivals
	recent      recent
	holes       [holeSlots]time.Duration
	slot        int64 // the newest slot that was touched
}

// Add accounts for the packet number counter that was stamped at made and
// arrived at now.
func (t *Tally) Add(counter uint64, made, now time.Time) {
	switch {
	case t.Received == 0:
		t.first, t.next, t.start, t.last = counter, counter, now, now
	case counter < t.first, counter+window < t.next:
		// Older than what is remembered. A correct network never delivers
		// this, so counting it as a second copy hides nothing.
		t.Duplicates++
		return
	}
	t.advance(counter)
	word, bit := &t.seen[counter%window/64], uint64(1)<<(counter%64)
	if *word&bit != 0 {
		t.Duplicates++
		return
	}
	*word |= bit
	t.Received++
	t.Delays.Add(now.Sub(made))
	t.recent.add(now.Sub(made), now)
	t.arrived(now)
}

// advance makes room for counter; what leaves the window unseen is missed.
func (t *Tally) advance(counter uint64) {
	if counter < t.next {
		t.Disordered++
		return
	}
	for c := t.next; c <= counter; c++ {
		word, bit := &t.seen[c%window/64], uint64(1)<<(c%64)
		if c >= t.first+window && *word&bit == 0 {
			t.missed++
		}
		*word &^= bit
	}
	t.next = counter + 1
}

// Lost counts the packets from the first one received up to, not including, the
// counter end that were never received. end must not be older than the window.
func (t *Tally) Lost(end uint64) uint64 {
	if t.Received == 0 {
		return 0
	}
	lost := t.missed
	oldest := t.first
	if t.next > t.first+window {
		oldest = t.next - window
	}
	for c := oldest; c < min(end, t.next); c++ {
		if bits.OnesCount64(t.seen[c%window/64]&(1<<(c%64))) == 0 {
			lost++
		}
	}
	if end > t.next {
		lost += end - t.next
	}
	return lost
}

// recentSpan is the time over which a mean delay is taken.
const recentSpan = 10 * time.Second

// recent is the mean of the delays of the last one to two spans.
type recent struct {
	since            time.Time
	sum, lastSum     time.Duration
	count, lastCount int64
}

func (r *recent) add(delay time.Duration, now time.Time) {
	if now.Sub(r.since) >= recentSpan {
		r.lastSum, r.lastCount = r.sum, r.count
		r.sum, r.count, r.since = 0, 0, now
	}
	r.sum, r.count = r.sum+delay, r.count+1
}

func (r *recent) mean() time.Duration {
	if r.count+r.lastCount == 0 {
		return 0
	}
	return (r.sum + r.lastSum) / time.Duration(r.count+r.lastCount)
}

func (t *Tally) arrived(now time.Time) {
	hole := now.Sub(t.last)
	t.last = now
	slot := int64(now.Sub(t.start) / holeSlot)
	for s := max(t.slot+1, slot-holeSlots+1); s <= slot; s++ {
		t.holes[s%holeSlots] = 0
	}
	t.slot = slot
	t.holes[slot%holeSlots] = max(t.holes[slot%holeSlots], hole)
}

// Gap is the longest time without a packet that ended, or was still open at
// now, between from and to.
func (t *Tally) Gap(from, to, now time.Time) time.Duration {
	if t.Received == 0 {
		return to.Sub(from)
	}
	var gap time.Duration
	begin := max(int64(from.Sub(t.start)/holeSlot), t.slot-holeSlots+1, 0)
	end := min(int64(to.Sub(t.start)/holeSlot), t.slot)
	for s := begin; s <= end; s++ {
		gap = max(gap, t.holes[s%holeSlots])
	}
	if t.last.Before(to) {
		gap = max(gap, earlier(now, to).Sub(t.last))
	}
	return gap
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
