package door

import (
	"slices"
	"time"
)

const (
	// A missing packet is asked for at once, and again after one and a half times what an
	// answer takes, twice that, and so on, until it is of no use any more: viewers' doors do
	// not wait for longer than playout.
	firstAnswer             = 30 * time.Millisecond
	leastAnswer, mostAnswer = 10 * time.Millisecond, 300 * time.Millisecond
	missingFor              = time.Second
	// maxMissing bounds those that are missed at a time; a longer gap is a new beginning.
	maxMissing = 512
	// maxAsk is how many are asked for when a packet comes: pion keeps 50 retransmissions
	// until they are read.
	maxAsk = 24
)

// missing is what a publisher's track lacks. It is pure, and belongs to one goroutine.
type missing struct {
	started bool
	next    uint16
	list    []gap // by number
	answer  time.Duration
}

// A gap is a packet that ought to have come.
type gap struct {
	seq            uint16
	noticed, asked time.Time
	asks           int
}

// take notes a packet that has come, sent again or not, and returns the numbers of those
// to ask for now, the oldest first.
func (m *missing) take(seq uint16, now time.Time) (ask []uint16) {
	if !m.started {
		m.started, m.next, m.answer = true, seq, firstAnswer
	}
	switch step := int16(seq - m.next); {
	case step < 0:
		m.found(seq, now)
		return nil
	case int(step)+len(m.list) > maxMissing:
		m.list, m.next = m.list[:0], seq+1
	default:
		for ; m.next != seq; m.next++ {
			m.list = append(m.list, gap{seq: m.next, noticed: now})
		}
		m.next++
	}
	m.list = slices.DeleteFunc(m.list, func(g gap) bool { return now.Sub(g.noticed) > missingFor })
	for i := range m.list {
		g := &m.list[i]
		if len(ask) == maxAsk || g.asks > 0 && now.Sub(g.asked) < (m.answer+m.answer/2)<<(g.asks-1) {
			continue
		}
		g.asked, g.asks = now, g.asks+1
		ask = append(ask, g.seq)
	}
	return ask
}

// found notes a packet that was missing, and how long it took to come if it was asked for
// once.
func (m *missing) found(seq uint16, now time.Time) {
	at := slices.IndexFunc(m.list, func(g gap) bool { return g.seq == seq })
	if at < 0 {
		return
	}
	if g := m.list[at]; g.asks == 1 {
		m.answer += (min(max(now.Sub(g.asked), leastAnswer), mostAnswer) - m.answer) / 4
	}
	m.list = slices.Delete(m.list, at, at+1)
}
