package svc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/region"
)

var epoch = time.Unix(1_700_000_000, 0)

const frame = 33 * time.Millisecond

func TestModes(t *testing.T) {
	for name, want := range map[string]Mode{"L1T1": {1, 1}, "L1T3": {1, 3}, "L2T2_KEY": {2, 2}, "L3T3_KEY": {3, 3}, "L2T1h": {2, 1}, "L3T2_KEY_SHIFT": {3, 2}} {
		m, err := ParseMode(name)
		if err != nil || m != want {
			t.Errorf("%s: %v, %v", name, m, err)
		}
		sum := region.Rate(0)
		for _, r := range m.Rates(2500) {
			sum += r
		}
		if n := len(m.Rates(2500)); n != m.Layers() || sum > 2500 || sum < 2490 {
			t.Errorf("%s: %d rates for %d layers, together %d", name, n, m.Layers(), sum)
		}
	}
	for _, name := range []string{"", "S2T1", "L4T1", "L1T4", "L2T2_", "l1t1", "L1T1\n"} {
		if _, err := ParseMode(name); !errors.Is(err, region.ErrInvalid) {
			t.Errorf("%q is a mode", name)
		}
	}
}

// A coder makes VP9 in L2T2: each frame of a spatial layer is two packets.
type coder struct {
	seq, picture, keyed uint16
}

// next is a picture; every second one after a keyframe belongs to the upper temporal layer.
func (c *coder) next(key bool) (list []*rtp.Packet) {
	if key {
		c.keyed = c.picture
	}
	temporal := byte((c.picture - c.keyed) & 1)
	for spatial := range byte(2) {
		for i := range byte(2) {
			// I, L, F; P; B, E.
			head := byte(0xB0) | (1-i)<<3 | i<<2
			if !key {
				head |= 0x40
			}
			layers := temporal<<5 | 0x10 | spatial<<1 | spatial
			p := []byte{head, 0x80 | byte(c.picture>>8), byte(c.picture), layers}
			if !key {
				p = append(p, 1<<1)
			}
			list = append(list, &rtp.Packet{Header: rtp.Header{
				Version: 2, SequenceNumber: c.seq, Timestamp: uint32(c.picture) * 3000, Marker: spatial == 1 && i == 1,
			}, Payload: append(p, spatial, i)})
			c.seq++
		}
	}
	c.picture++
	return list
}

// A path is from a publisher to a viewer, through a mesh that loses what lose says.
type path struct {
	t      *testing.T
	split  *Splitter
	merge  *Merger
	now    time.Time
	drop   func(p *Packet) bool
	seen   []*Packet
	delays time.Duration // the longest from the last packet to a picture's departure
}

func newPath(t *testing.T) *path {
	return &path{t: t, split: NewSplitter("VP9", Mode{2, 2}), merge: NewMerger(), now: epoch, drop: func(*Packet) bool { return false }}
}

// carry brings packets in, and what is due out.
func (w *path) carry(list ...*rtp.Packet) {
	for _, p := range list {
		out, _ := w.split.Take(p.Clone(), w.now, w.now)
		for _, q := range out {
			if !w.drop(q) {
				w.merge.Take(q.Packet, q.Layer, q.Captured, w.now)
			}
			w.flush()
		}
	}
}

func (w *path) flush() {
	for out := w.merge.Next(w.now); out != nil; out = w.merge.Next(w.now) {
		for i, p := range out {
			if p.Marker != (i == len(out)-1) {
				w.t.Errorf("packet %d of %d has marker %v", i, len(out), p.Marker)
			}
			w.delays = max(w.delays, w.now.Sub(p.Captured))
			w.seen = append(w.seen, p)
		}
	}
}

// wait lets time pass, and no packet come.
func (w *path) wait(d time.Duration) {
	for end := w.now.Add(d); ; {
		due := w.merge.Due()
		if due.IsZero() || due.After(end) {
			w.now = end
			return
		}
		if due.After(w.now) {
			w.now = due
		}
		w.flush()
	}
}

// take is what was sent since it was asked last, as "picture.layer", judged: no gap in the
// numbers, and pictures in order.
func (w *path) take() (list []string) {
	w.t.Helper()
	for i, p := range w.seen {
		id := binary.BigEndian.Uint16(p.Payload[1:]) & 0x7FFF
		if text := fmt.Sprintf("%d.%d", id, p.Layer); i == 0 || list[len(list)-1] != text {
			list = append(list, text)
		}
		if i > 0 && p.SequenceNumber != w.seen[i-1].SequenceNumber+1 {
			w.t.Errorf("number %d follows %d", p.SequenceNumber, w.seen[i-1].SequenceNumber)
		}
	}
	w.seen = w.seen[max(len(w.seen)-1, 0):]
	return list
}

func (w *path) want(list ...string) {
	w.t.Helper()
	got := w.take()
	if len(got) > 0 && len(list) > 0 && got[0] != list[0] {
		got = got[1:] // the last one of before
	}
	if !slices.Equal(got, list) {
		w.t.Errorf("sent %v, want %v", got, list)
	}
}

// Layers are split, and put together to what a viewer of any of them is to get; up it goes
// at a switching point in time, at a keyframe in space, down at any picture.
func TestUpAndDown(t *testing.T) {
	w, c := newPath(t), coder{seq: 65530}
	step := func(key bool) { w.carry(c.next(key)...); w.wait(frame) }
	step(true)
	step(false)
	w.want("0.0")
	w.merge.Want(1, w.now)
	step(false)
	step(false)
	w.want("2.0", "3.1")
	w.merge.Want(2, w.now)
	step(false)
	if !w.merge.Lacks(w.now) {
		t.Error("a larger picture begins without a keyframe")
	}
	step(false)
	w.want("4.0", "5.1")
	step(true)
	step(false)
	w.want("6.0", "6.2", "7.1", "7.2")
	if w.merge.Lacks(w.now) || w.merge.Layer() != 2 {
		t.Errorf("layer %d, and something lacks", w.merge.Layer())
	}
	w.merge.Want(0, w.now)
	step(false)
	step(false)
	w.want("8.0")
	if w.delays != 0 {
		t.Errorf("delayed by %v though nothing was lost", w.delays)
	}
}

// What comes in disorder, or twice, goes on in order; what never comes is left out with the
// rest of its frame, and reported.
func TestDisorder(t *testing.T) {
	w, c := newPath(t), coder{}
	w.merge.Want(2, w.now)
	for range 4 {
		w.carry(c.next(c.picture == 0)...)
	}
	w.carry(c.next(true)...) // all flow: the keyframe starts them
	w.take()
	p := c.next(false)
	p = append(p, c.next(false)...)
	slices.Reverse(p[1:])
	w.carry(append(p, p...)...)
	w.want("5.1", "5.2", "6.0", "6.2")
	broken := c.next(false)
	w.carry(broken[0], broken[1], broken[2]) // the end of the large picture does not come
	w.carry(c.next(false)...)
	w.wait(patience + time.Millisecond)
	out, lost := w.split.Take(c.next(false)[0], w.now, w.now)
	if !lost || len(out) != 5 {
		t.Errorf("%d packets go on, lost %v", len(out), lost)
	}
}

// An upper layer that loses packets, or ends, costs the lower ones a moment, once.
func TestUpperLayersDoNotStopLowerOnes(t *testing.T) {
	w, c := newPath(t), coder{}
	step := func(key bool) { w.carry(c.next(key)...); w.wait(frame) }
	start := func() {
		w.drop = func(*Packet) bool { return false }
		w.merge.Want(2, w.now)
		step(false)
		step(false)
		step(true)
		if got := w.take(); len(got) == 0 || w.merge.Layer() != 2 {
			t.Fatalf("does not begin: %v", got)
		}
	}
	step(true)
	step(false)
	for name, lose := range map[string]func(*Packet) bool{
		"a packet": func(p *Packet) bool {
			return p.Layer == 2 && p.Payload[1]&0x7F == 0 && p.place.Ends && uint16(p.Payload[2]) == c.picture-1
		},
		"all of it":        func(p *Packet) bool { return p.Layer == 2 },
		"a temporal layer": func(p *Packet) bool { return p.Layer == 1 },
	} {
		w.take()
		start()
		w.delays, w.drop = 0, lose
		for range 30 {
			step(false)
		}
		count := 0
		for _, p := range w.seen[1:] {
			if p.Layer == 0 && p.place.Begins {
				count++
			}
		}
		if count != 15 {
			t.Errorf("%s lost: %d of 15 pictures of the lowest layer", name, count)
		}
		if w.delays > 2*spare {
			t.Errorf("%s lost: delayed by %v", name, w.delays)
		}
		if late := w.seen[len(w.seen)-1].Captured; w.now.Sub(late) > 4*frame {
			t.Errorf("%s lost: the last picture is of %v ago", name, w.now.Sub(late))
		}
		w.take()
	}
}

// Whatever is lost, doubled or swapped anywhere: no picture is sent without what it builds
// upon, and in the end it goes on.
func TestWhateverIsLost(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		w, c := newPath(t), coder{seq: uint16(rng.Uint32()), picture: uint16(rng.Uint32N(1 << 14))}
		w.drop = func(*Packet) bool { return rng.IntN(50) == 0 }
		for i := range 200 {
			if rng.IntN(20) == 0 {
				w.merge.Want(rng.IntN(3), w.now)
			}
			list := c.next(i%30 == 0)
			switch rng.IntN(10) {
			case 0:
				list = slices.Delete(list, 1, 2)
			case 1:
				list[0], list[3] = list[3], list[0]
			case 2:
				list = append(list, list...)
			}
			w.carry(list...)
			w.wait(frame)
		}
		w.drop = func(*Packet) bool { return false }
		w.merge.Want(2, w.now)
		for range 20 {
			w.carry(c.next(false)...)
			w.wait(frame)
		}
		w.carry(c.next(true)...)
		judgeDecodable(t, seed, w.seen)
		last := w.seen[len(w.seen)-1]
		if n := binary.BigEndian.Uint16(last.Payload[1:]) & 0x7FFF; n != c.picture-1 || last.Layer != 2 {
			t.Fatalf("seed %d: ends with layer %d of picture %d of %d", seed, last.Layer, n, c.picture-1)
		}
	}
}

// judgeDecodable fails for frames that are not whole, and for those whose predecessor or
// lower layer is missing without a gap in the numbers that tells so.
func judgeDecodable(t *testing.T, seed uint64, list []*Packet) {
	t.Helper()
	var decoded [2]int // the last picture by spatial layer, -1: broken
	decoded[0], decoded[1] = -1, -1
	for i := 0; i < len(list); {
		p := list[i]
		end := i + 1
		for end < len(list) && list[end].Timestamp == p.Timestamp && list[end].place.Spatial == p.place.Spatial {
			end++
		}
		id := int(binary.BigEndian.Uint16(p.Payload[1:]) & 0x7FFF)
		spatial, temporal, key := int(p.place.Spatial), int(p.Payload[3]>>5), p.Payload[0]&0x40 == 0
		if i > 0 && p.SequenceNumber != list[i-1].SequenceNumber+1 {
			decoded[0] = -1 // the decoder knows
		}
		known := decoded[0] >= 0 || key
		if end-i != 2 || !p.place.Begins || !list[end-1].place.Ends {
			t.Fatalf("seed %d: picture %d.%d has %d packets", seed, id, spatial, end-i)
		}
		refers := id - 1 - (1 - temporal) // T0 refers to the last T0, T1 to the one before
		if known && !key && decoded[spatial] < refers {
			t.Fatalf("seed %d: picture %d.%d follows %d", seed, id, spatial, decoded[spatial])
		}
		if spatial == 1 && decoded[0] != id && known {
			t.Fatalf("seed %d: the large picture %d stands alone", seed, id)
		}
		if key || known {
			decoded[spatial] = id
		}
		if key && spatial == 0 {
			decoded[1] = -1 << 30
		}
		i = end
	}
}

func FuzzParsers(f *testing.F) {
	f.Add([]byte{0xB8, 0x80, 1, 0x10, 2}, []byte{0x80, 0, 1, 0x80, 0, 0x14})
	f.Add([]byte{0x08}, descriptor(true, 0, 0))
	f.Fuzz(func(t *testing.T, payload, extension []byte) {
		vp9(payload)
		var s structure
		if _, ok := s.read(extension); ok && (len(s.templates) == 0 || s.targets > maxTargets) {
			t.Errorf("a frame of no template: %+v", s)
		}
		s.read(extension)
		if p, ok := parsePlace(extension); ok {
			q, ok := parsePlace(p.append(nil))
			if !ok || q != p {
				t.Errorf("%+v comes back as %+v", p, q)
			}
		}
	})
}

// Whatever arrives, in any order, nothing panics, what waits is bounded, and numbers grow
// by one or two.
func FuzzMerger(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		c, m := coder{}, NewMerger()
		s := NewSplitter("VP9", Mode{2, 2})
		now, last, started := epoch, uint16(0), false
		for i, b := range script {
			list := c.next(b&0x0F == 0)
			if b&0x10 != 0 {
				list = slices.Delete(list, int(b>>5)&3, int(b>>5)&3+1)
			}
			for j, p := range list {
				if b&0x0F == 7 {
					p.SequenceNumber += uint16(b) << 5
					p.Timestamp -= uint32(b) << 20
				}
				out, _ := s.Take(p, now, now)
				for _, q := range out {
					m.Take(q.Packet, (q.Layer+int(b&0x0F)/13*j)%3, now, now)
				}
			}
			m.Want(int(b)%3, now)
			now = now.Add(time.Duration(b) * time.Millisecond)
			for out := m.Next(now); out != nil; out = m.Next(now) {
				for _, p := range out {
					if d := p.SequenceNumber - last; started && d != 1 && d != 2 {
						t.Fatalf("step %d: number %d follows %d", i, p.SequenceNumber, last)
					}
					last, started = p.SequenceNumber, true
				}
			}
			if len(m.waiting) > maxPictures+4 || m.held > maxWaiting+8 || s.waiting > maxHeld {
				t.Fatalf("%d pictures, %d packets, %d held", len(m.waiting), m.held, s.waiting)
			}
		}
	})
}

// descriptor is a dependency descriptor in L2T2: 6 templates, 4 targets.
func descriptor(key bool, spatial, temporal int) []byte {
	w := &writer{}
	template := 3 * spatial
	if !key {
		template += 1 + temporal
	}
	w.put(1, 1)
	w.put(1, 1)
	w.put(template, 6)
	w.put(7, 16)
	if !key || spatial > 0 {
		return w.data
	}
	w.put(1, 1) // structure
	w.put(0, 4)
	w.put(0, 6)
	w.put(3, 5)
	// Templates: S0T0 (key), S0T0, S0T1, S1T0 (key), S1T0, S1T1.
	for _, next := range []int{0, 1, 2, 0, 1, 3} {
		w.put(next, 2)
	}
	// Targets: S0T0, S0T1, S1T0, S1T1.
	for _, row := range [][4]int{{2, 2, 2, 2}, {2, 2, 3, 3}, {0, 1, 0, 3}, {0, 0, 2, 2}, {0, 0, 2, 2}, {0, 0, 0, 1}} {
		for _, dti := range row {
			w.put(dti, 2)
		}
	}
	for _, refers := range []bool{false, true, true, true, true, true} {
		if refers {
			w.put(1, 1)
			w.put(1, 4)
		}
		w.put(0, 1)
	}
	w.put(0, 2) // chains: ns(5) of 0
	w.put(1, 1) // resolutions
	for range 4 {
		w.put(319, 16)
	}
	return w.data
}

type writer struct {
	data []byte
	at   int
}

func (w *writer) put(value, width int) {
	for i := width - 1; i >= 0; i-- {
		if w.at%8 == 0 {
			w.data = append(w.data, 0)
		}
		w.data[w.at/8] |= byte(value>>i&1) << (7 - w.at%8)
		w.at++
	}
}

func TestDependencyDescriptor(t *testing.T) {
	var s structure
	if _, ok := s.read(descriptor(false, 0, 0)); ok {
		t.Error("a frame of templates that did not come")
	}
	for _, c := range []struct {
		key               bool
		spatial, temporal int
		want              part
	}{
		{true, 0, 0, part{key: true, open: true}},
		{true, 1, 0, part{spatial: 1}},
		{false, 0, 0, part{open: true}},
		{false, 0, 1, part{temporal: 1}},
		{false, 1, 1, part{spatial: 1, temporal: 1}},
	} {
		c.want.begins, c.want.ends = true, true
		if got, ok := s.read(descriptor(c.key, c.spatial, c.temporal)); !ok || got != c.want {
			t.Errorf("%+v: %+v, %v", c, got, ok)
		}
	}
}
