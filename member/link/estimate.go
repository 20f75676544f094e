package link

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/region"
)

// An estimate is what this end knows of how much the link carries towards the
// peer. Every eighth packet of a stream is a sample: this end remembers when it
// was sent, the peer tells when it came (feedback.go), so that nothing has to be
// added to packets. Delay that grows is a queue, and a queue that lasts means more
// was sent than fits: then what did arrive says how much that is.
//
// While all is well nothing is known but that what is sent fits: Room is 0. After a
// queue Room is what fitted, and grows slowly once the link has been calm.
type estimate struct {
	mu   sync.Mutex // guards what follows
	log  []departure
	at   int // next of log
	sent volume

	delay    int64 // one-way, us, but for a constant; of the last sample
	known    bool
	base     [2]int64 // least one-way delay, us, of the present and the last window
	turned   int64    // when base began its present window
	recent   [queueSamples]int64
	count    int
	window   [rateSamples]point
	points   int
	since    point         // when what was sent and what arrived were compared last
	room     float64       // kbit/s; 0: no limit known
	whole    atomic.Uint32 // room, for those who do not lock
	troubled int64         // when there was a queue last
	grown    int64
	hold     time.Duration
	late     int64 // us that packets may have waited here before they were sent
}

const (
	// sampling: packets whose index is a multiple are samples.
	sampling = 8
	// departures remembered per link: at 20 streams of 1 Mbit/s the last half second.
	departures = 128
	// A queue is what even the fastest of queueSamples in a row has waited.
	queueSamples = 4
	queueLimit   = 30_000 // us
	// What arrived is measured over rateSamples.
	rateSamples = 8
	// baseWindow is how long the least delay counts, at least.
	baseWindow = 10 * time.Second
	// heavyLoss over volumeSpan is a queue that is full, not a
	// bad radio; of leastPackets at least.
	heavyLoss    = 0.25
	volumeSpan   = 500 * time.Millisecond
	leastPackets = 60
	// After a queue: no more than this share of what fitted.
	backOff = 0.85
	// The next reaction waits until the last one can have shown.
	reaction = 400 * time.Millisecond
	// After firstHold without a queue room grows by growth per second; a queue that
	// follows soon after doubles the hold, up to maxHold.
	firstHold = 4 * time.Second
	maxHold   = time.Minute
	growth    = 1.08
	// growEvery is a little less than the interval of feedback.
	growEvery = 900 * time.Millisecond
)

// A volume counts packets and bytes since the session began. It wraps.
type volume struct{ packets, bytes uint32 }

// A departure is a sample that was sent.
type departure struct {
	ssrc  uint32
	index uint64
	at    int64 // nanoseconds
	sent  volume
}

// An arrival is a sample as the peer saw it.
type arrival struct {
	SSRC     uint32
	Index    uint64
	At       uint32 // microseconds of the peer's clock; it wraps
	Received volume
}

type point struct{ sent, arrived arrivalPoint }

type arrivalPoint struct {
	us int64
	volume
}

// departed notes a packet that is sent.
func (e *estimate) departed(h Header, size int, t *Transport) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sent.packets++
	e.sent.bytes += uint32(size)
	if h.Index%sampling != 0 {
		return
	}
	if e.log == nil {
		e.log = make([]departure, departures)
	}
	e.log[e.at%departures] = departure{h.SSRC, h.Index, t.now(), e.sent}
	e.at++
}

func (e *estimate) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	log := e.log
	e.log, e.at, e.sent, e.known, e.count, e.points, e.turned = nil, 0, volume{}, false, 0, 0, 0
	e.room, e.troubled, e.grown, e.hold, e.since = 0, 0, 0, 0, point{}
	e.whole.Store(0)
	if log != nil {
		clear(log)
		e.log = log
	}
}

// hear takes what the peer tells, in a process that is so late. It reports whether Room has
// changed.
func (e *estimate) hear(samples []arrival, now int64, late time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.room
	e.late = unsure * late.Microseconds()
	for _, a := range samples {
		for i := range e.log {
			if d := &e.log[i]; d.ssrc == a.SSRC && d.index == a.Index && d.at != 0 {
				e.sample(*d, a, now)
				d.at = 0
				break
			}
		}
	}
	e.grow(now)
	e.whole.Store(uint32(e.room))
	return e.room != before
}

// sample judges one packet. e.mu is held.
func (e *estimate) sample(d departure, a arrival, now int64) {
	raw := a.At - uint32(d.at/1000)
	if !e.known {
		e.known, e.delay, e.turned = true, int64(raw), now
		e.base = [2]int64{math.MaxInt64, math.MaxInt64}
	}
	// The peer's clock and this one differ by a constant, more or less.
	e.delay += int64(int32(raw - uint32(e.delay)))
	if now-e.turned > int64(baseWindow) {
		e.turned, e.base[1], e.base[0] = now, e.base[0], math.MaxInt64
	}
	e.base[0] = min(e.base[0], e.delay)
	e.recent[e.count%queueSamples] = e.delay - min(e.base[0], e.base[1])
	e.count++
	at := point{
		sent:    arrivalPoint{d.at / 1000, d.sent},
		arrived: arrivalPoint{d.at/1000 + e.delay, a.Received},
	}
	e.window[e.points%rateSamples] = at
	e.points++
	if e.queued() && now-e.troubled > int64(reaction) {
		first, last := e.span()
		e.shrink(speed(first.arrived, last.arrived), now)
	}
	e.compare(at, now)
}

// compare looks whether much less arrives than is sent: a queue that is full.
func (e *estimate) compare(at point, now int64) {
	from := e.since
	sent := at.sent.packets - from.sent.packets
	switch {
	case from.sent.us == 0:
		e.since = at
		return
	case at.sent.us-from.sent.us < volumeSpan.Microseconds() || sent < leastPackets:
		return
	}
	e.since = at
	arrived := at.arrived.packets - from.arrived.packets
	if float64(arrived) < (1-heavyLoss)*float64(sent) && now-e.troubled > int64(reaction) {
		e.shrink(speed(from.arrived, at.arrived), now)
	}
}

// queued says whether more is sent than fits.
func (e *estimate) queued() bool {
	if e.count < queueSamples || e.points < rateSamples {
		return false
	}
	least := e.recent[0]
	for _, q := range e.recent {
		least = min(least, q)
	}
	first, last := e.span()
	// A path that has become longer is no queue: it grows no more.
	return least > max(queueLimit, e.late) && speed(first.arrived, last.arrived) < 0.97*speed(first.sent, last.sent)
}

// speed between two points, kbit/s.
func speed(from, to arrivalPoint) float64 {
	return float64(to.bytes-from.bytes) * 8000 / float64(max(to.us-from.us, 1))
}

// span is the oldest and the newest point of the window, which is full.
func (e *estimate) span() (first, last point) {
	return e.window[e.points%rateSamples], e.window[(e.points-1)%rateSamples]
}

// shrink sets room to a share of what the link did carry.
func (e *estimate) shrink(carried float64, now int64) {
	kbps := carried * backOff
	if e.room == 0 || kbps < e.room {
		e.room = max(kbps, 1)
	}
	switch {
	case e.hold == 0:
		e.hold = firstHold
	case now-e.grown < int64(2*firstHold): // it grew too soon
		e.hold = min(2*e.hold, maxHold)
	}
	e.troubled = now
	e.count, e.points = 0, 0 // judge anew, by what is sent from now on
}

// grow lets room grow once the link has been calm.
func (e *estimate) grow(now int64) {
	if e.room == 0 || now-e.troubled < int64(e.hold) || now-e.grown < int64(growEvery) {
		return
	}
	e.grown = now
	e.room *= growth
}

// Room is how much the link was found to carry towards the peer, kbit/s; 0 while
// no limit was met.
func (l *Link) Room() region.Rate { return region.Rate(l.estimate.whole.Load()) }
