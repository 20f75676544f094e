package world

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

const (
	// frame is the time between two packets of a camera.
	frame = 40 * time.Millisecond
	// streamRate is what a camera is said to need, kbit/s.
	streamRate = region.Rate(1000)
	// payloadSize of a packet: its number, and something to carry.
	payloadSize = 100
)

// A camera publishes numbered packets. Its numbers go on over the stays of the
// member at which it is plugged in.
type camera struct {
	w    *world
	id   region.StreamID
	kind region.Kind
	rate region.Rate
	at   atomic.Pointer[participant] // nil: unplugged
	stop chan struct{}
	done chan struct{}
	sent uint64 // owned by run
}

// camera returns the camera of a stream, which is plugged in nowhere at first.
func (w *world) camera(id region.StreamID) *camera {
	c := w.cameras[id]
	if c == nil {
		c = &camera{w: w, id: id, kind: region.Video, rate: streamRate}
		w.cameras[id] = c
	}
	return c
}

// film plugs in the camera of a stream.
func (p *participant) film(c *camera) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	codec := "VP8"
	if c.kind == region.Audio {
		codec = "opus"
	}
	pub, err := p.node.Publish(ctx, member.Stream{Name: c.id, Kind: c.kind, Layers: []region.Rate{c.rate}, Codec: codec})
	if err != nil {
		return err
	}
	c.stop, c.done = make(chan struct{}), make(chan struct{})
	c.at.Store(p)
	p.w.note("%s publishes %s", p, c.id)
	go c.run(pub, c.stop, c.done)
	return nil
}

func (c *camera) run(pub *member.Publication, stop, done chan struct{}) {
	defer close(done)
	ticker := time.NewTicker(frame)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		c.sent++
		n := c.sent
		packet := &rtp.Packet{
			Header:  rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: uint16(n), Timestamp: uint32(n) * 3600, Marker: true},
			Payload: binary.BigEndian.AppendUint64(make([]byte, 0, payloadSize), n)[:payloadSize],
		}
		if err := pub.WriteRTP(packet); err != nil && !errors.Is(err, region.ErrClosed) {
			c.w.fault("write to %s: %v", c.id, err)
		}
	}
}

// unplug stops the camera; its stream ends with the member's stay.
func (c *camera) unplug() {
	if c.at.Swap(nil) != nil {
		close(c.stop)
		<-c.done
	}
}

// A viewer reads a stream for as long as its member takes part, and judges every
// packet: none twice, none out of order. It counts what is missing.
type viewer struct {
	p      *participant
	id     region.StreamID
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	began    time.Time
	came     time.Time // when the very first packet did; zero: none has
	first    uint64    // number of the first packet since the last mark; 0: none yet
	last     uint64    // number of the newest packet
	ssrc     uint32
	received uint64
	lost     uint64
	gap      time.Duration // the longest time between two packets since the last mark
	at       time.Time     // of the newest packet
}

// watch begins to watch a stream, as soon as the coordinators find a place.
func (p *participant) watch(id region.StreamID) *viewer {
	ctx, cancel := context.WithCancel(context.Background())
	v := &viewer{p: p, id: id, cancel: cancel, done: make(chan struct{}), at: time.Now(), began: time.Now()}
	p.views[id] = v
	node := p.node
	p.w.watchers.Go(func() { v.run(ctx, node) })
	return v
}

func (v *viewer) leave() {
	v.cancel()
	<-v.done
}

func (v *viewer) run(ctx context.Context, node *member.Node) {
	defer close(v.done)
	for ctx.Err() == nil {
		sub, err := node.Await(ctx, v.id)
		if err != nil {
			if ctx.Err() == nil {
				v.p.w.note("%s cannot watch %s: %v", v.p, v.id, err)
				time.Sleep(time.Second)
			}
			continue
		}
		v.read(ctx, sub)
		if err := sub.Close(); err != nil {
			v.p.w.fault("%s closes its subscription: %v", v.p, err)
		}
	}
}

func (v *viewer) read(ctx context.Context, sub *member.Subscription) {
	for {
		packet, err := sub.ReadRTP(ctx)
		switch {
		case errors.Is(err, io.EOF):
			v.p.w.note("%s: %s has ended", v.p, v.id)
			return
		case err != nil:
			return
		}
		v.take(packet)
	}
}

func (v *viewer) take(packet *rtp.Packet) {
	n := binary.BigEndian.Uint64(packet.Payload)
	if len(packet.Payload) != payloadSize || packet.SequenceNumber != uint16(n) {
		v.p.w.fault("%s: packet %d of %s is damaged", v.p, n, v.id)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	switch {
	case v.last != 0 && n <= v.last:
		v.p.w.fault("%s: packet %d of %s after packet %d", v.p, n, v.id, v.last)
	case v.last != 0 && v.ssrc == packet.SSRC && n > v.last+1:
		v.lost += n - v.last - 1
		v.p.w.note("%s: %s lost packets %d to %d", v.p, v.id, v.last+1, n-1)
	}
	if v.came.IsZero() {
		v.came = now
	}
	if v.first == 0 {
		v.first = n
	} else {
		v.gap = max(v.gap, now.Sub(v.at))
		if gap := now.Sub(v.at); gap > across {
			v.p.w.note("%s: nothing of %s for %v", v.p, v.id, gap)
		}
	}
	v.last, v.ssrc, v.at = n, packet.SSRC, now
	v.received++
}

// mark begins to count anew.
func (v *viewer) mark() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.received, v.lost, v.gap = 0, 0, 0
}

// A sight is what a viewer saw since its last mark.
type sight struct {
	received, lost uint64
	gap            time.Duration // the longest, up to now
	last           uint64
}

func (v *viewer) sight() sight {
	v.mu.Lock()
	defer v.mu.Unlock()
	return sight{v.received, v.lost, max(v.gap, time.Since(v.at)), v.last}
}

// audience lists all viewers of a stream.
func (w *world) audience(id region.StreamID) []*viewer {
	var list []*viewer
	for _, p := range w.present() {
		if v := p.views[id]; v != nil {
			list = append(list, v)
		}
	}
	return list
}

// stage lets the first member publish a stream and all others watch it.
func (w *world) stage(id region.StreamID) []*viewer {
	w.t.Helper()
	if err := w.members[0].film(w.camera(id)); err != nil {
		w.t.Fatal(err)
	}
	for _, p := range w.members[1:] {
		p.watch(id)
	}
	list := w.audience(id)
	w.seen(list, 25)
	return list
}

// seen waits until every viewer has received so many packets since its mark.
func (w *world) seen(list []*viewer, count uint64) {
	w.t.Helper()
	w.within(patience, fmt.Sprintf("everybody sees %d packets", count), func() error {
		for _, v := range list {
			if s := v.sight(); s.received < count {
				return fmt.Errorf("%s has %d of %s", v.p, s.received, v.id)
			}
		}
		return nil
	})
}

func mark(list []*viewer) {
	for _, v := range list {
		v.mark()
	}
}

// unbroken checks that no viewer has missed a packet, nor waited longer than
// limit for one, since its mark.
func (w *world) unbroken(list []*viewer, limit time.Duration) {
	w.t.Helper()
	for _, v := range list {
		s := v.sight()
		if s.lost > 0 || s.gap > limit {
			w.fault("%s: %d packets of %s lost, the longest gap was %v of %v", v.p, s.lost, v.id, s.gap, limit)
		}
	}
}

// ready waits until viewers have links to all their standbys.
func (w *world) ready(list []*viewer) {
	w.t.Helper()
	w.within(patience, "links to standbys stand", func() error {
		for _, v := range list {
			for _, s := range v.p.node.Stats().Streams {
				if s.Stream == v.id && len(s.Ready) < len(s.Standbys) {
					return fmt.Errorf("%s has links to %d of %d standbys", v.p, len(s.Ready), len(s.Standbys))
				}
			}
		}
		return nil
	})
}

// settled waits until members and coordinators hold the same, and nothing moves.
func (w *world) settled() {
	w.t.Helper()
	w.within(patience, "the coordinators' structure is what the members hold", w.disagreement)
}
