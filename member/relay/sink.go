package relay

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// A Packet is what a Sink delivers: the origin's packet as its application
// wrote it, but for the SSRC. The receiver owns it.
type Packet struct {
	rtp.Packet
	Layer int
	// Index is the sequence number extended over wraps: consecutive packets of
	// a layer have consecutive indexes.
	Index uint64
	// Captured is by the origin's clock.
	Captured time.Time
}

// A Sink reads one stream in order and without duplicates, out of the stream's
// ring. It is for one goroutine at a time; Close may be called by any.
type Sink struct {
	r     *Relay
	s     *stream
	woken chan struct{}
	over  atomic.Bool
	timer *time.Timer // of the reader; nil until it has waited
	text  assembler
	held  []byte // a message that came after lost ones
	parts collector
	dry   uint64 // the stream's news when all was read

	// Guarded by s.mu.
	asleep  bool // until woken
	wish    Wish
	playout time.Duration // how long to wait for repair
	patient bool          // playout was not set: messages are waited for as long as they may come
	at      uint64        // with datagrams: position in the log of arrivals
	cursors [region.MaxLayers]cursor
}

// A cursor is how far a sink has read a layer.
type cursor struct {
	started bool
	next    uint64
	// delivered is one after the last index handed out: an independent check
	// that nothing is handed out twice.
	delivered uint64
}

// Subscribe opens a reader of a stream. It delivers from the first packet that
// arrives after both the subscription and an assignment.
func (r *Relay) Subscribe(id region.StreamID) (*Sink, error) {
	if id == "" || len(id) > region.MaxStreamName {
		return nil, fmt.Errorf("%w: stream name of %d bytes", region.ErrInvalid, len(id))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := r.open(region.Stream{ID: id})
	if err != nil {
		return nil, err
	}
	k := &Sink{r: r, s: s, woken: make(chan struct{}, 1), playout: r.cfg.Playout, patient: true}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, ly := range s.layers {
		if ly != nil && ly.started {
			k.cursors[i] = cursor{started: true, next: ly.next}
		}
	}
	k.at = s.head
	s.sinks = append(s.sinks, k)
	s.stir()
	if r.ctx.Err() != nil {
		k.end()
	}
	return k, nil
}

// wake tells the reader, if it waits, that there may be something. s.mu is held.
func (k *Sink) wake() {
	if !k.asleep {
		return
	}
	k.asleep = false
	select {
	case k.woken <- struct{}{}:
	default:
	}
}

// restart makes the sink begin anew: the stream is another one. s.mu is held.
func (k *Sink) restart() { k.cursors, k.at = [region.MaxLayers]cursor{}, k.s.head }

// end closes the sink. s.mu is held.
func (k *Sink) end() {
	k.over.Store(true)
	k.wake()
}

// SetPlayout changes how long ReadRTP waits for a missing packet; 0 up to
// Config.Ring, else it is cut to that. Default Config.Playout.
func (k *Sink) SetPlayout(d time.Duration) {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	k.playout, k.patient = max(0, min(d, k.r.cfg.Ring)), false
}

// ReadRTP returns the next packet. It waits for a missing one up to
// the playout time, then counts it as lost and goes on. It reports net.ErrClosed
// after Close, or the error of ctx.
func (k *Sink) ReadRTP(ctx context.Context) (*Packet, error) {
	for {
		p, wait, err := k.next(true)
		if p != nil || err != nil {
			return p, err
		}
		if k.timer == nil {
			k.timer = time.NewTimer(wait)
		}
		k.timer.Reset(wait)
		select {
		case <-k.woken:
		case <-k.timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// TryRTP is ReadRTP for those who look at it now and then, as a mixer does: it does not
// wait, and returns nil if nothing is due.
func (k *Sink) TryRTP() (*Packet, error) {
	if k.dried() {
		return nil, nil
	}
	p, _, err := k.next(false)
	return p, err
}

// dried says whether there is nothing to do for the reader since all was read.
func (k *Sink) dried() bool { return k.dry == k.s.news.Load() && !k.over.Load() }

// next returns the packet that is due, or how long to wait at most; waits says whether
// the reader does.
func (k *Sink) next(waits bool) (*Packet, time.Duration, error) {
	now := k.r.now()
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	k.asleep = waits
	if k.over.Load() {
		return nil, 0, fmt.Errorf("read %s: %w", k.s.id, net.ErrClosed)
	}
	news := k.s.news.Load()
	if datagrams(k.s.info) {
		p := k.nextArrival()
		if k.at == k.s.head {
			k.dry = news
		}
		return p, time.Minute, nil
	}
	wait := time.Minute
	var best *slot
	layer := 0
	mask := k.wish.mask(k.s.info)
	for i, ly := range k.s.layers {
		if ly == nil || !ly.started || mask>>i&1 == 0 {
			continue
		}
		sl, due := k.look(&k.cursors[i], ly, now)
		if sl != nil && (best == nil || sl.order < best.order) {
			best, layer = sl, i
		}
		if due > 0 {
			wait = min(wait, time.Duration(due-now))
		}
	}
	var p *Packet
	if best != nil {
		p, wait = k.deliver(layer, best), 0
	}
	if k.readAll(mask) {
		k.dry = news
	}
	return p, max(wait, time.Millisecond), nil
}

// readAll says whether nothing of some layers is left, or missing. s.mu is held.
func (k *Sink) readAll(mask region.LayerMask) bool {
	for i, ly := range k.s.layers {
		if ly != nil && ly.started && mask>>i&1 != 0 && k.cursors[i].next < ly.next {
			return false
		}
	}
	return true
}

// look returns the packet that is next in a layer, or when a missing one is to be
// given up (0: none is missing). s.mu is held.
func (k *Sink) look(c *cursor, ly *layer, now int64) (sl *slot, due int64) {
	if !c.started {
		c.started, c.next = true, ly.next-1 // this very packet woke the sink
		for c.next > ly.oldest() && ly.at(c.next-1) != nil {
			c.next--
		}
	}
	if c.next >= ly.ended && c.next < ly.begun {
		c.next = ly.begun // it was not drawn meanwhile
	}
	if c.next < ly.oldest() {
		k.giveUp(c, ly, ly.oldest(), "overtaken")
	}
	for c.next < ly.next {
		if sl = ly.at(c.next); sl != nil {
			return sl, 0
		}
		after := c.next + 1
		for after < ly.next && ly.at(after) == nil {
			after++
		}
		if after == ly.next { // all that is known of it is that it exists
			if due = ly.noticed(c.next) + int64(k.waits()); due > now {
				return nil, due
			}
		} else if due = ly.at(after).arrived + int64(k.waits()); due > now {
			return nil, due
		}
		k.giveUp(c, ly, after, "not repaired")
	}
	return nil, 0
}

// waits is how long a missing packet is waited for. s.mu is held.
func (k *Sink) waits() time.Duration {
	if k.patient && k.s.info.Kind == region.Data {
		return k.r.keep(k.s.info)
	}
	return k.playout
}

// giveUp goes on at index next and counts what is before it as lost.
func (k *Sink) giveUp(c *cursor, ly *layer, next uint64, why string) {
	k.r.cfg.Logger.Debug("packets given up", "stream", k.s.id, "from", c.next, "to", next, "newest", ly.next, "why", why, "parent", k.s.stats.Parent)
	k.s.stats.Lost += next - c.next
	c.next = next
}

// deliver copies a packet out of the ring. s.mu is held.
func (k *Sink) deliver(layer int, sl *slot) *Packet {
	c := &k.cursors[layer]
	index := sl.header.Index
	if index < c.delivered && !datagrams(k.s.info) {
		k.s.stats.DuplicatesDelivered++
	}
	c.delivered, c.next = index+1, index+1
	k.s.stats.Delivered++
	p := &Packet{Layer: layer, Index: index, Captured: sl.header.Time()}
	if _, err := link.Unstamp(slices.Clone(sl.data), &p.Packet); err != nil {
		// Cannot be: the header was read before it was put into the ring.
		k.r.cfg.Logger.Error("packet in the ring is malformed", "stream", k.s.id, "err", err)
	}
	return p
}

// RequestKeyframe asks the origin for a keyframe of a layer, of a scalable stream of all
// at once. Requests of many are merged; one goes up per layer and 500 ms.
func (k *Sink) RequestKeyframe(layer int) {
	if layer < 0 || layer >= region.MaxLayers {
		return
	}
	k.s.mu.Lock()
	if k.s.info.Scalable {
		layer = 0
	}
	k.s.wanted |= 1 << layer
	k.s.mu.Unlock()
	k.s.stir()
}

// Report returns the latest RTCP sender report of a layer's origin, nil if none came.
func (k *Sink) Report(layer int) []byte {
	if layer < 0 || layer >= region.MaxLayers {
		return nil
	}
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	return k.s.reports[layer]
}

// Closed reports whether the reading has ended.
func (k *Sink) Closed() bool { return k.over.Load() }

// Close ends the reading; a ReadRTP that waits returns.
func (k *Sink) Close() error {
	k.r.mu.Lock()
	defer k.r.mu.Unlock()
	k.s.mu.Lock()
	k.end()
	k.s.sinks = slices.DeleteFunc(k.s.sinks, func(o *Sink) bool { return o == k })
	k.s.revoice()
	k.s.mu.Unlock()
	k.r.release(k.s)
	return nil
}
