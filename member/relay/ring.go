package relay

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/skein-mesh/skein/member/link"
)

const (
	minRing = 32
	maxRing = 4096
	// maxMissing bounds the gaps that are repaired at the same time, per layer.
	maxMissing = 512
	// A jump of restartGap after a pause of restartPause is none that is repaired.
	restartGap   = 16
	restartPause = int64(time.Second)
	// history is layer.live before it is known.
	history = math.MaxUint64
)

// A slot holds one packet of a ring. Its buffer is reused.
type slot struct {
	header  link.Header
	data    []byte
	arrived int64  // when, nanoseconds since the relay began
	order   uint64 // position in the stream's log
	filled  bool
}

// A gap is a packet that ought to have come.
type gap struct {
	index   uint64
	noticed int64
	asked   int64 // 0: not yet
	asks    uint8
}

// due is when to ask for the packet next: after every retry at first, then ever more
// seldom. Who has not got it after a few times lacks it, or a narrow link is in the way.
func (g gap) due(retry int64) int64 {
	if g.asks == 0 {
		return 0
	}
	return g.asked + max(retry, min(retry<<min(max(int(g.asks)-quickAsks, 0), slowestAsk), slowest))
}

// A packet is asked for quickAsks times at once; then the interval doubles, up to
// 1<<slowestAsk times, but not beyond slowest: while a ring holds it it is worth asking.
const (
	quickAsks, slowestAsk = 4, 4
	slowest               = int64(300 * time.Millisecond)
)

// A layer is the recent past of one SSRC: packets by index, and gaps. It grows
// until it holds as much time as it should. The ring is also the duplicate
// window: what is older than it is refused.
type layer struct {
	ssrc    uint32
	keep    int64 // nanoseconds to hold
	slots   []slot
	started bool
	next    uint64 // one after the newest index seen
	missing []gap  // by index
	// live is the first index whose delay counts: what came before was history
	// when this member joined.
	live uint64
	// A layer that is one of several may pause because nobody wants it, or a link
	// is too narrow; its numbers then go on elsewhere. The last time it ended before
	// ended and went on at begun.
	several      bool
	skip         bool   // it goes on wherever it is: it was not drawn
	muted        bool   // so it does until the parent says otherwise: a voice not heard
	bereft       bool   // it pauses because the parent was lost, not by itself
	unrepaired   bool   // what is missing is not asked for
	told         uint64 // where it is, by the parent, before anything came
	ended, begun uint64
	arrived      int64 // when its last packet did
	// keyframe is where the newest keyframe began; 0: none known.
	keyframe uint64
}

func newLayer(ssrc uint32, keep time.Duration) *layer {
	return &layer{ssrc: ssrc, keep: int64(keep), slots: make([]slot, minRing), live: history}
}

// at returns the slot that holds index, nil if none does.
func (l *layer) at(index uint64) *slot {
	s := &l.slots[index%uint64(len(l.slots))]
	if !s.filled || s.header.Index != index {
		return nil
	}
	return s
}

// oldest is the first index the ring could hold.
func (l *layer) oldest() uint64 {
	if l.next <= uint64(len(l.slots)) {
		return 0
	}
	return l.next - uint64(len(l.slots))
}

// verdict on a packet that arrives.
type verdict uint8

const (
	fresh verdict = iota
	repaired
	duplicate
	tooOld
)

// put keeps a packet unless it is known or too old. The slot returned is valid
// until the next put.
func (l *layer) put(h link.Header, p []byte, now int64) (*slot, verdict) {
	if !l.started {
		l.started, l.next = true, h.Index
	}
	kind := fresh
	switch {
	case h.Index >= l.next:
		l.advance(h.Index, now)
		l.arrived, l.bereft = now, false
	case h.Index < l.oldest():
		return nil, tooOld
	case l.at(h.Index) != nil:
		return nil, duplicate
	default:
		kind = repaired
		l.unmiss(h.Index)
	}
	s := &l.slots[h.Index%uint64(len(l.slots))]
	s.header, s.arrived, s.filled = h, now, true
	s.data = append(s.data[:0], p...)
	return s, kind
}

// advance makes room for index, the newest, and notes the gap before it.
func (l *layer) advance(index uint64, now int64) {
	for len(l.slots) < maxRing && l.evicts(index, now) {
		l.grow()
	}
	first := l.next
	anew := (l.skip || l.muted) && index > first || index-first >= restartGap && l.stale(now)
	l.skip = false
	if anew {
		l.ended, l.begun, first = l.next, index, index
		l.missing = l.missing[:0]
	}
	if index-first > maxMissing {
		first = index - maxMissing // the rest is beyond repair
		l.missing = l.missing[:0]
	}
	for i := first; i < index; i++ {
		l.miss(gap{index: i, noticed: now})
	}
	l.next = index + 1
}

// evicts says whether the ring is so short that index would take the place of a packet
// that is to be kept still, or is missing and may come.
func (l *layer) evicts(index uint64, now int64) bool {
	size := uint64(len(l.slots))
	if s := &l.slots[index%size]; s.filled && now-s.arrived <= l.keep {
		return true
	}
	return len(l.missing) > 0 && l.missing[0].index+size <= index && now-l.missing[0].noticed <= l.keep
}

// stale says whether a layer, one of several, is likely not to be drawn now. One that
// flowed until the parent was lost is missing for as long as it could be repaired: the
// next parent may have to ask for it first.
func (l *layer) stale(now int64) bool {
	pause := restartPause
	if l.bereft {
		pause = max(pause, l.keep)
	}
	return l.several && now-l.arrived > pause
}

func (l *layer) miss(g gap) {
	if l.unrepaired {
		return
	}
	if len(l.missing) == maxMissing {
		l.missing = slices.Delete(l.missing, 0, 1)
	}
	l.missing = append(l.missing, g)
}

// find is where index stands among those that are missing, or would.
func (l *layer) find(index uint64) (at int, missing bool) {
	return slices.BinarySearchFunc(l.missing, index, func(g gap, i uint64) int { return cmp.Compare(g.index, i) })
}

func (l *layer) unmiss(index uint64) {
	if at, ok := l.find(index); ok {
		l.missing = slices.Delete(l.missing, at, at+1)
	}
}

// lack notes that a child misses a packet which is not here either: the stream may not
// have been drawn at the time. It reports whether that is news.
func (l *layer) lack(index uint64, now int64) bool {
	at, known := l.find(index)
	if known || l.unrepaired || len(l.missing) == maxMissing || index >= l.next || l.next-index > maxMissing {
		return false
	}
	for index < l.oldest() { // a ring that has just begun is short
		l.grow()
	}
	l.missing = slices.Insert(l.missing, at, gap{index: index, noticed: now})
	return true
}

// expect notes that the parent's next index is next: what is before it and has
// not come is missing. It reports whether anything is.
func (l *layer) expect(next uint64, now int64) bool {
	if !l.started || l.skip || l.muted || next <= l.next || next-l.next > maxMissing || l.stale(now) {
		return false
	}
	for i := l.next; i < next; i++ {
		l.miss(gap{index: i, noticed: now})
	}
	l.next = next
	return true
}

func (l *layer) grow() {
	old := l.slots
	l.slots = make([]slot, 2*len(old))
	for _, s := range old {
		if s.filled {
			l.slots[s.header.Index%uint64(len(l.slots))] = s
		}
	}
}

// nacks appends what is to be asked for now: gaps not asked for within retry.
// Gaps older than the ring's time are given up.
func (l *layer) nacks(now, retry int64, dst []link.Message) []link.Message {
	l.missing = slices.DeleteFunc(l.missing, func(g gap) bool { return now-g.noticed > l.keep })
	var m *link.Message
	for i := range l.missing {
		g := &l.missing[i]
		if now < g.due(retry) {
			continue
		}
		g.asked, g.asks = now, min(g.asks+1, 100)
		if m == nil || g.index-m.Base > 64 {
			dst = append(dst, link.Message{Kind: link.Nack, SSRC: l.ssrc, Base: g.index})
			m = &dst[len(dst)-1]
			continue
		}
		m.Mask |= 1 << (g.index - m.Base - 1)
	}
	return dst
}

// noticed is when a missing packet was found to be missing; 0 if it is not
// waited for any more.
func (l *layer) noticed(index uint64) int64 {
	for _, g := range l.missing {
		if g.index == index {
			return g.noticed
		}
	}
	return 0
}
