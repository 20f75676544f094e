package svc

import (
	"slices"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/region"
)

const (
	// spare is how long what is missing of an upper layer is waited for, and essential how
	// long what is missing of the lowest.
	spare     = 100 * time.Millisecond
	essential = 400 * time.Millisecond
	// flows is how recent a layer's last packet is if there are more to come.
	flows = time.Second
	// stuck is how long a switching point is waited for before a keyframe is asked for.
	stuck = time.Second
	// What waits is bounded.
	maxPictures = 64
	maxWaiting  = 2048
	// longestStep is how far timestamps go back, 10 s, before they are taken to begin anew.
	longestStep = 10 * 90000
)

// A Merger puts layers of one stream together to what a decoder of one of them is to get:
// whole pictures, with sequence numbers that have no gaps but where the lowest layer lost
// something.
type Merger struct {
	target int
	layer  int // that is sent: all up to it; -1 at first
	since  time.Time

	counts  [region.MaxLayers]uint16    // the number of the next packet that may come
	base    uint16                      // the number of the lowest layer's next packet to be sent
	seen    [region.MaxLayers]time.Time // its last packet
	spatial [region.MaxLayers]uint8

	waiting []*picture // by time
	held    int        // packets of them
	started bool
	hurt    bool   // the lowest layer lost something since its last keyframe
	last    uint32 // timestamp of the last picture that was sent
	seq     uint16
	due     time.Time
}

// A picture is what has come of one.
type picture struct {
	timestamp    uint32
	frames       [region.MaxLayers][]*Packet // by layer
	began, grown time.Time
}

// NewMerger makes one that sends the lowest layer.
func NewMerger() *Merger { return &Merger{layer: -1} }

// Want says up to which layer is to be sent.
func (m *Merger) Want(layer int, now time.Time) {
	if layer != m.target {
		m.target, m.since = layer, now
	}
}

// Layer is up to which layer is sent; -1 before there was a keyframe.
func (m *Merger) Layer() int { return m.layer }

// Due is when Next has to be called at the latest; zero if nothing waits.
func (m *Merger) Due() time.Time { return m.due }

// Lacks reports whether only a keyframe makes it send all that is wanted and flows, and
// that whole.
func (m *Merger) Lacks(now time.Time) bool {
	up := m.layer + 1
	switch {
	case m.layer < 0, m.hurt:
		return true
	case up > m.target || !m.flowing(up, now):
		return false
	}
	return m.spatial[up] > 0 || now.Sub(m.since) > stuck
}

func (m *Merger) flowing(layer int, now time.Time) bool {
	return !m.seen[layer].IsZero() && now.Sub(m.seen[layer]) < flows
}

// Take takes a packet of a layer. Layers come each in its order.
func (m *Merger) Take(p *rtp.Packet, layer int, captured, now time.Time) {
	place, ok := parsePlace(p.GetExtension(PlaceID))
	if !ok || layer < 0 || layer >= place.Layers {
		return
	}
	m.counts[layer] = place.Next[layer] + 1
	m.seen[layer], m.spatial[layer] = now, place.Spatial
	if layer > max(m.target, m.layer) {
		return
	}
	if m.layer >= 0 {
		switch step := int32(p.Timestamp - m.last); {
		case step < -longestStep || step > longestStep:
			m.layer, m.waiting, m.held = -1, nil, 0
		case step <= 0: // the picture went without it
			return
		}
	}
	x := m.picture(p.Timestamp, now)
	x.frames[layer] = append(x.frames[layer], &Packet{Packet: p, Layer: layer, Captured: captured, place: place})
	x.grown = now
	m.held++
}

// picture is the one of a time.
func (m *Merger) picture(timestamp uint32, now time.Time) *picture {
	at, found := slices.BinarySearchFunc(m.waiting, timestamp, func(x *picture, t uint32) int { return int(int32(x.timestamp - t)) })
	if !found {
		m.waiting = slices.Insert(m.waiting, at, &picture{timestamp: timestamp, began: now})
	}
	return m.waiting[at]
}

func (m *Merger) fall(layer int, now time.Time) { m.layer, m.since = layer, now }

// Next returns the packets of the next picture, nil if it is not due yet.
func (m *Merger) Next(now time.Time) []*Packet {
	for m.due = (time.Time{}); len(m.waiting) > 0; {
		x := m.waiting[0]
		first := x.first()
		if m.layer >= 0 && !m.reached(first, now, x.began) {
			return nil
		}
		level := m.level(first, now)
		if m.layer < 0 && !first.starts() || first.Layer > level {
			m.pop()
			continue
		}
		whole, full := x.whole(level, m.spatial[level])
		if !full {
			if until := m.until(x, level, whole); now.Before(until) {
				m.due = until
				return nil
			}
		}
		m.pop()
		if out := m.settle(x, first, whole, full, level, now); out != nil {
			return out
		}
	}
	return nil
}

func (m *Merger) pop() {
	for _, f := range m.waiting[0].frames {
		m.held -= len(f)
	}
	m.waiting = m.waiting[1:]
}

// crowded says that no more can wait.
func (m *Merger) crowded() bool { return len(m.waiting) > maxPictures || m.held > maxWaiting }

// reached says whether all that is sent and stood before p has come, or was waited for in
// vain since p came: then the layer it is missing of is sent no more.
func (m *Merger) reached(p *Packet, now, came time.Time) bool {
	for j := 0; j <= m.layer && j < p.place.Layers; j++ {
		if int16(p.place.Next[j]-m.counts[j]) <= 0 {
			continue
		}
		wait := spare
		if j == 0 {
			wait = essential
		}
		if until := came.Add(wait); now.Before(until) && !m.crowded() {
			m.due = until
			return false
		}
		if j > 0 {
			m.fall(j-1, now)
		}
	}
	return true
}

// level is up to which layer the picture that begins with p is to be sent.
func (m *Merger) level(p *Packet, now time.Time) int {
	level := max(m.layer, 0)
	switch {
	case p.starts():
		for level < m.target && m.flowing(level+1, now) {
			level++
		}
	case p.place.Begins && p.place.Up && p.Layer <= m.layer:
		for level < m.target && m.flowing(level+1, now) && m.spatial[level+1] == 0 {
			level++
		}
	}
	return min(level, m.target)
}

// until is when to go on without what a picture lacks.
func (m *Merger) until(x *picture, level int, whole int) time.Time {
	wait := spare
	if whole == 0 && x.first().Layer == 0 {
		wait = essential
	}
	if m.crowded() {
		return time.Time{}
	}
	if len(m.waiting) == 1 {
		return x.grown.Add(wait)
	}
	next := m.waiting[1]
	first := next.first()
	for j := 0; j <= level && j < first.place.Layers; j++ {
		if int16(first.place.Next[j]-m.counts[j]) > 0 {
			return next.began.Add(wait)
		}
	}
	return time.Time{} // nothing more comes of it
}

// settle makes the packets of a picture's whole frames those that are sent next.
func (m *Merger) settle(x *picture, first *Packet, whole int, full bool, level int, now time.Time) (out []*Packet) {
	for i := range x.frames {
		if len(x.frames[i]) > 0 && whole > 0 {
			out = append(out, x.frames[i]...)
			whole--
		}
	}
	switch {
	case len(out) == 0:
		m.fall(max(first.Layer-1, min(m.layer, 0)), now)
		return nil
	case full:
		m.layer = level
	default:
		top := out[len(out)-1]
		lacking := top.Layer + 1
		for lacking < level && m.spatial[lacking] <= top.place.Spatial {
			lacking++
		}
		m.fall(lacking-1, now)
	}
	if first.starts() {
		m.hurt = false
	}
	if m.started && first.place.Next[0] != m.base {
		m.seq++ // the decoder is to see that something is missing
		m.hurt = !first.starts()
	}
	m.started, m.base = true, first.place.Next[0]+uint16(len(x.frames[0]))
	m.last = x.timestamp
	for i, p := range out {
		m.seq++
		p.SequenceNumber, p.Marker = m.seq, i == len(out)-1
	}
	return out
}

// first is the packet that comes first of those at hand.
func (x *picture) first() *Packet {
	for _, f := range x.frames {
		if len(f) > 0 {
			return f[0]
		}
	}
	return nil
}

// starts says whether everything may begin with p.
func (p *Packet) starts() bool { return p.Layer == 0 && p.place.Begins && p.place.Key }

// whole is how many frames of a picture, up to a layer, are there whole; full, whether that
// is all of it that a viewer of that layer needs.
func (x *picture) whole(level int, spatial uint8) (count int, full bool) {
	for _, f := range x.frames[:level+1] {
		if len(f) == 0 {
			continue
		}
		begin, last := f[0].place, f[len(f)-1]
		numbers := last.place.Next[last.Layer] - begin.Next[last.Layer]
		if !begin.Begins || count == 0 && !begin.Opens || !last.place.Ends && !last.Marker || int(numbers) != len(f)-1 {
			return count, false
		}
		count++
		full = last.Marker || last.place.Spatial >= spatial
	}
	return count, full
}
