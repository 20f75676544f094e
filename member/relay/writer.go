package relay

import (
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

const (
	// chunk is how many packets are taken out of a stream at a time.
	chunk = 64
	// Inside a frame of video the writer waits for more, but not for more than
	// maxBurst packets, and not longer than burstWait.
	maxBurst  = 32
	burstWait = time.Millisecond
	// What has time waits for company: a packet of another stream of this member's, which
	// goes to much the same peers. Those that it relays go elsewhere.
	companyWait = 50 * time.Millisecond
	// A child's queue, in packets. A video child that is further behind skips to
	// the newest frame; audio and data give up single packets, and much later.
	maxVideoQueue = 256
	maxQueue      = logSize / 2
	// Retransmissions to one child, in bytes: so many per second, so many at once.
	resendRate, resendBurst = 2000 * link.MaxPacket, 512 * link.MaxPacket
	// Where the room of its link is known they take that share of it, and at once as much
	// as in a quarter of a second.
	resendShare = 0.2
	resendLeast = 10 * link.MaxPacket
	resendOnce  = 0.25
)

// A child draws a stream from this member. Its queue is a position in the
// stream's log of arrivals.
type child struct {
	link    *link.Link
	session uint64     // of the link, when it drew
	draw    uint32     // id of the Draw
	resume  []link.Tip // where to begin
	// came is where each layer was when the child did: 0 if it had not begun.
	came [region.MaxLayers]uint64

	// Of the keeper: when its grant ends, how it stands to others on a narrow link, and
	// whether what it draws is a second copy.
	expires  time.Time
	priority uint8
	extra    bool
	muted    bool // a voice that is not among the loudest
	// voice: it wants the stream only while that is among the loudest.
	voice atomic.Bool
	// permit: this member admitted it by itself. Set by the keeper.
	permit atomic.Bool

	// want are the layers it asked for, allowed those it gets of them.
	want, allowed atomic.Uint32

	// Of the writer.
	layers  region.LayerMask
	started bool
	cursor  uint64
	tokens  float64
	// refilled is when tokens were.
	refilled int64

	packets, bytes, dropped atomic.Uint64
}

// A resend is a child's request for missing packets.
type resend struct {
	s     *stream
	c     *child
	layer int
	base  uint64
	mask  uint64
}

// A writer takes packets out of streams and sends them to their children. One
// goroutine owns it: it is the only one that encrypts.
type writer struct {
	r       *Relay
	batch   *link.Batch
	wake    chan struct{}
	soon    chan struct{}
	later   chan struct{}
	company atomic.Bool // what this member itself sends goes now
	resends chan resend
	// dirty are streams with something to send, waits those of which it has time.
	dirty, waits queue
	todo         []*stream

	arena []byte
	views []view
	// oldest is when the packet that has waited longest came; 0: none does.
	oldest int64
}

// A view is a packet copied out of a stream.
type view struct {
	layer  int
	header link.Header
	data   []byte // empty: it was overwritten before it could be sent
}

func newWriter(r *Relay) *writer {
	return &writer{r: r, batch: r.cfg.Transport.Batch(), wake: make(chan struct{}, 1), soon: make(chan struct{}, 1), later: make(chan struct{}, 1), resends: make(chan resend, 1024)}
}

// kick wakes the writer: now, or within burstWait.
func (w *writer) kick(urgent bool) {
	if urgent {
		ring(w.wake)
	} else {
		ring(w.soon)
	}
}

// soil has the writer bring the children of s up to date when it is awake.
func (s *stream) soil() { s.r.writer.dirty.add(s, &s.dirty) }

// remind wakes it within companyWait.
func (w *writer) remind() { ring(w.later) }

func ring(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

func (w *writer) run() {
	burst, company := time.NewTimer(burstWait), time.NewTimer(companyWait)
	defer burst.Stop()
	defer company.Stop()
	waiting := false
	for {
		along := false // what has time goes, too
		select {
		case <-w.r.ctx.Done():
			return
		case <-w.soon:
			burst.Reset(burstWait)
			continue
		case <-w.later:
			if !waiting {
				company.Reset(companyWait)
				waiting = true
			}
			continue
		case <-company.C:
			along = true
		case <-burst.C:
		case <-w.wake:
		case q := <-w.resends:
			w.resend(q)
		}
		burst.Stop()
		along = w.company.Swap(false) || along
		if along && waiting {
			company.Stop()
			waiting = false
		}
		for len(w.resends) > 0 {
			w.resend(<-w.resends)
		}
		w.forwardAll(along)
		w.batch.Flush()
		w.clock()
	}
}

// forwardAll brings children up to date; along: also of what has time.
func (w *writer) forwardAll(along bool) {
	w.todo = w.dirty.take(w.todo[:0])
	if along {
		w.todo = w.waits.take(w.todo)
	}
	for _, s := range w.todo {
		w.forward(s)
	}
	clear(w.todo)
}

// clock judges how long the packets that were just sent have been here.
func (w *writer) clock() {
	if w.oldest != 0 {
		w.r.forwarding.add(time.Duration(w.r.now() - w.oldest))
		w.oldest = 0
	}
}

// forward brings all children of s up to date.
func (w *writer) forward(s *stream) {
	children := *s.children.Load()
	if len(children) == 0 {
		return
	}
	for more := true; more; {
		s.mu.Lock()
		low := s.head
		for _, c := range children {
			allowed := region.LayerMask(c.allowed.Load())
			if !c.started {
				c.layers = allowed
				w.start(s, c)
			}
			if c.layers != allowed {
				w.change(s, c, allowed)
			}
			w.shed(s, c)
			low = min(low, c.cursor)
		}
		end := min(s.head, low+chunk)
		w.take(s, low, end)
		more = end < s.head
		s.mu.Unlock()
		for _, c := range children {
			if c.cursor < end {
				w.send(c, w.views[c.cursor-low:])
				c.cursor = end
			}
		}
	}
}

// take copies the arrivals low to end out of the stream. s.mu is held.
func (w *writer) take(s *stream, low, end uint64) {
	w.reset()
	for i := low; i < end; i++ {
		a := s.log[i%logSize]
		w.copy(s, a.layer, a.index)
		if sl := s.layers[a.layer].at(a.index); sl != nil && (w.oldest == 0 || sl.arrived < w.oldest) {
			w.oldest = sl.arrived
		}
	}
}

func (w *writer) reset() {
	w.arena, w.views = w.arena[:0], w.views[:0]
}

// copy appends a packet to the views. s.mu is held.
func (w *writer) copy(s *stream, layer int, index uint64) {
	v := view{layer: layer}
	if ly := s.layers[layer]; ly != nil {
		if sl := ly.at(index); sl != nil {
			at := len(w.arena)
			w.arena = append(w.arena, sl.data...)
			v.header, v.data = sl.header, w.arena[at:len(w.arena):len(w.arena)]
		}
	}
	w.views = append(w.views, v)
}

// send sends what c draws of the views.
func (w *writer) send(c *child, views []view) {
	for i := range views {
		v := &views[i]
		switch {
		case c.layers>>v.layer&1 == 0:
		case len(v.data) == 0 || !w.batch.Add(c.link, v.header, v.data):
			c.dropped.Add(1)
		default:
			c.packets.Add(1)
			c.bytes.Add(uint64(len(v.data)))
		}
	}
}

// start places a new child: what it wants of the past is sent at once, then it
// follows the log. s.mu is held, and released while sending.
func (w *writer) start(s *stream, c *child) {
	c.started = true
	c.cursor = s.head
	for i, ly := range s.layers {
		if ly == nil || !ly.started || c.layers>>i&1 == 0 {
			continue
		}
		w.replay(s, c, i, w.resumeAt(s, c, ly))
	}
}

// resumeAt is the index at which c is to begin: where it left off, else with the
// newest keyframe, else with what came after it did. s.mu is held.
func (w *writer) resumeAt(s *stream, c *child, ly *layer) uint64 {
	for _, t := range c.resume {
		if t.SSRC == ly.ssrc {
			return max(t.Index, ly.oldest())
		}
	}
	if ly.keyframe != 0 && ly.at(ly.keyframe) != nil && !ly.stale(w.r.now()) {
		return ly.keyframe
	}
	return max(c.came[ly.ssrc%region.MaxLayers], ly.oldest())
}

// shed is where packets are dropped: when a child's queue is too long. Video goes
// by whole frames, up to the newest; audio and data go last. s.mu is held.
func (w *writer) shed(s *stream, c *child) {
	queue := s.head - c.cursor
	if s.info.Kind != region.Video {
		if queue > maxQueue {
			c.dropped.Add(queue - maxQueue)
			c.cursor = s.head - maxQueue
		}
		return
	}
	if queue <= maxVideoQueue {
		return
	}
	at := s.head - 1
	newest, known := w.timestamp(s, at)
	for at > c.cursor && s.head-at < logSize {
		t, ok := w.timestamp(s, at-1)
		if !known || !ok || t != newest {
			break
		}
		at--
	}
	c.dropped.Add(at - c.cursor)
	c.cursor = at
}

func (w *writer) timestamp(s *stream, at uint64) (uint32, bool) {
	a := s.log[at%logSize]
	if sl := s.layers[a.layer].at(a.index); sl != nil {
		return sl.header.Timestamp, true
	}
	return 0, false
}

// resend answers a request for missing packets out of the ring, the first ones first: what
// there is no room for now is asked for again.
func (w *writer) resend(q resend) {
	now := w.r.now()
	c := q.c
	c.refill(now)
	w.reset()
	lacking := false
	q.s.mu.Lock()
	for i := range uint64(65) {
		ly := q.s.layers[q.layer]
		switch {
		case ly == nil, i > 0 && q.mask>>(i-1)&1 == 0:
		case ly.at(q.base+i) != nil:
			if float64(len(w.arena)) < c.tokens {
				w.copy(q.s, q.layer, q.base+i)
			}
		case q.s.source == nil:
			lacking = ly.lack(q.base+i, now) || lacking
		}
	}
	q.s.mu.Unlock()
	if lacking {
		q.s.repair.Store(true)
		q.s.stir()
	}
	c.tokens -= float64(len(w.arena))
	w.send(c, w.views)
}

// refill lets retransmissions to c use what time has passed.
func (c *child) refill(now int64) {
	rate, most := float64(resendRate), float64(resendBurst)
	if room := c.link.Room(); room > 0 {
		rate = max(resendLeast, float64(room)*resendShare*125)
		most = rate * resendOnce
	}
	c.tokens = min(most, c.tokens+float64(now-c.refilled)/1e9*rate)
	c.refilled = now
}
