package link

import "time"

// A feedback is what this end owes the peer: when samples of its packets arrived.
// While packets come about as evenly as they were captured the newest sample is told now
// and then; as soon as they stay late, or many do not come, all are. What is less than
// the peer's estimate could make anything of (estimate.go), a busy machine or a packet
// lost now and then, is no trouble: else links would say most where there is least to
// say. The socket's reader owns it.
type feedback struct {
	received volume
	samples  []arrival
	sent     int64 // when it was told last, nanoseconds
	troubled int64 // when packets came late last
	// late counts the samples in a row that came late, the first of them at lateAt.
	late   int
	lateAt int64
	// missed are packets that did not come since counted was noted, at since.
	missed  uint32
	counted volume
	since   int64
}

const (
	calmFeedback = time.Second
	// lightFeedback is for links that bring next to nothing: nobody asks what they carry.
	lightFeedback    = 8 * time.Second
	troubledFeedback = 200 * time.Millisecond
	// lightTrouble is that of links for which lightFeedback is enough otherwise.
	lightTrouble = time.Second
	// A stream that has not come for pauseTime was not sent over this link meanwhile.
	pauseTime = 500 * time.Millisecond
	// trouble lasts that long after it was seen.
	troubleLasts = time.Second
	// A sample that took lateLimit, us, longer than the fastest of its stream of late is
	// late; that fades, by a share of fastestFade with every sample. A queue is more than
	// a burst that was held up somewhere: it lasts for lateSpan.
	lateLimit   = 20_000
	fastestFade = 64
	lateSpan    = 60 * time.Millisecond
	// A process that is late lets what comes to it wait, so many times as long at most.
	unsure = 4
	// noticedLoss over volumeSpan is trouble: a little before it is heavyLoss.
	noticedLoss = 0.15
	// maxSamples of one message.
	maxSamples = 24
)

// arrived notes a packet.
func (l *Link) arrived(w *window, h Header, size int, now int64) {
	f := &l.feedback
	f.count(size)
	if h.Index > w.next && now-w.at < int64(pauseTime) {
		f.missed += uint32(min(h.Index-w.next, leastPackets))
	}
	w.at = now
	f.compare(now)
	if h.Index%sampling == 0 && h.Index >= w.next {
		f.sample(w, h, now, l.t.Late())
	}
	calm, trouble := calmFeedback, troubledFeedback
	if l.light.Load() {
		calm, trouble = lightFeedback, lightTrouble
	}
	interval, samples := calm, f.samples[max(0, len(f.samples)-1):]
	if now-f.troubled < int64(troubleLasts) && f.troubled != 0 {
		interval, samples = trouble, f.samples
	}
	if now-f.sent < int64(interval) || len(samples) == 0 {
		return
	}
	f.sent = now
	_ = l.Send(&Message{Kind: Feedback, Samples: samples})
	f.samples = f.samples[:0]
}

func (f *feedback) count(size int) {
	f.received.packets++
	f.received.bytes += uint32(size)
}

// compare looks now and then whether many packets do not come.
func (f *feedback) compare(now int64) {
	came := f.received.packets - f.counted.packets
	if now-f.since < int64(volumeSpan) || came+f.missed < leastPackets {
		return
	}
	if float64(f.missed) > noticedLoss*float64(came+f.missed) {
		f.troubled = now
	}
	f.missed, f.counted, f.since = 0, f.received, now
}

// sample notes a packet in order. One that may have waited in this process, which is so
// late, says nothing of the way.
func (f *feedback) sample(w *window, h Header, now int64, late time.Duration) {
	took := now/1000 - h.Captured
	if w.fastest == 0 || took < w.fastest {
		w.fastest = took
	}
	w.fastest += (took - w.fastest) / fastestFade
	switch {
	case took-w.fastest <= lateLimit:
		f.late = 0
	case took-w.fastest <= unsure*late.Microseconds():
		return
	case f.late == 0:
		f.late, f.lateAt = 1, now
	default:
		f.late++
	}
	if f.late >= queueSamples && now-f.lateAt >= int64(lateSpan) {
		f.troubled = now
	}
	if len(f.samples) == maxSamples {
		f.samples = append(f.samples[:0], f.samples[maxSamples/2:]...)
	}
	f.samples = append(f.samples, arrival{h.SSRC, h.Index, uint32(now / 1000), f.received})
}
