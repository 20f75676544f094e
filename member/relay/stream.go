package relay

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// logSize is how many packets a stream's log of arrivals remembers: the longest
// a child's queue can be.
const logSize = 1024

// What is longer than habitMost is a pause, and no habit; habits fade by a share of
// habitFade with every packet.
const (
	habitMost = 200 * time.Millisecond
	habitFade = 256
)

// A stream is the data plane of one stream: what arrived lately, who gets it.
// Packets come in by the socket's goroutine or the Source; the writer and the
// sinks take them out.
type stream struct {
	r  *Relay
	id region.StreamID

	children atomic.Pointer[[]*child] // by peer; replaced whole by the keeper
	feeds    atomic.Pointer[[]*feed]  // who may send packets; likewise
	dirty    atomic.Bool              // the writer has something to do, and has been told
	waits    atomic.Bool              // likewise, but it has time
	repair   atomic.Bool              // the keeper has something to ask for
	stirred  atomic.Bool              // the keeper is to look at it, and has been told
	voiced   atomic.Bool              // a reader here wants it as a voice
	strayed  atomic.Int64             // when a stray packet was last reported
	moved    atomic.Int64             // when the last packet arrived
	news     atomic.Uint64            // counts what sinks may have to do
	budget   atomic.Int64             // rate of all layers, kbit/s

	mu      sync.Mutex // guards what follows; held shortly
	info    region.Stream
	layers  [region.MaxLayers]*layer
	reports [region.MaxLayers][]byte
	log     []arrival // the last ones, logSize at most; that of i is at i modulo logSize
	head    uint64    // arrivals so far
	sinks   []*Sink
	local   bool    // the place here is one that no tree knows
	resting bool    // nobody here wants it for now
	source  *Source // nil unless it is published here and open
	stats   StreamStats
	delay   histogram
	// delayNow is the mean delay of the last packets, in microseconds.
	delayNow int64
	last     int64            // as moved, but set forward by a pause that the parent confirms
	wanted   region.LayerMask // layers a local reader wants a keyframe of
	// habit is the longest time between two packets of late, habitMost at most.
	habit time.Duration
	// loud is the level of the loudest packet of late, in dB, and loudAt when that came; 0:
	// no packet told its level.
	loud   float64
	loudAt int64
}

// An arrival is an entry of the log: layer and index.
type arrival struct {
	layer int
	index uint64
}

// insert takes a packet that arrived, from nil if it comes from the Source. It
// reports whether children should get it now: inside a frame of video more is
// about to come, and a burst costs half as much as single packets.
func (s *stream) insert(from *feed, h link.Header, p []byte, now int64) (urgent bool) {
	s.mu.Lock()
	ly := s.layer(h.SSRC)
	if ly == nil {
		s.mu.Unlock()
		return false
	}
	if from != nil && from.came(int(h.SSRC-s.info.SSRC), h.Index) {
		defer s.stir()
	}
	if ly.muted {
		s.last = 0 // the pause is none of the stream's
	}
	before := len(ly.missing)
	sl, kind := ly.put(h, p, now)
	if kind == duplicate || kind == tooOld {
		s.stats.Duplicates++
		s.mu.Unlock()
		return false
	}
	sl.order = s.head
	s.note(arrival{int(h.SSRC - s.info.SSRC), h.Index})
	urgent = s.info.Kind != region.Video || h.Marker || s.head%maxBurst == 0
	s.account(ly, h, kind, now)
	if s.info.Kind == region.Audio {
		s.hark(p, now)
	}
	if s.info.Kind == region.Video {
		s.mark(ly, h.Index, p[h.Payload:])
	}
	for _, k := range s.sinks {
		k.wake()
	}
	missing := len(ly.missing) > before
	s.mu.Unlock()

	s.moved.Store(now)
	s.news.Add(1)
	if missing {
		s.repair.Store(true)
		s.stir()
	}
	return urgent
}

// note adds an arrival to the log. s.mu is held.
func (s *stream) note(a arrival) {
	if len(s.log) < logSize {
		s.log = append(s.log, a)
	} else {
		s.log[s.head%logSize] = a
	}
	s.head++
}

// mark notes where keyframes begin. Of a scalable stream the lowest layer's are those of
// all: what comes of the others after it builds upon it. s.mu is held.
func (s *stream) mark(ly *layer, index uint64, payload []byte) {
	if s.info.Scalable && ly != s.layers[0] || index <= ly.keyframe || !KeyframeStarts(s.info.Codec, payload) {
		return
	}
	ly.keyframe = index
	for _, upper := range s.layers[1:] {
		if s.info.Scalable && upper != nil && upper.started {
			upper.keyframe = upper.next
		}
	}
}

// layer returns the layer of an SSRC. s.mu is held.
func (s *stream) layer(ssrc uint32) *layer {
	i := int(ssrc) - int(s.info.SSRC)
	if i < 0 || i >= len(s.info.Layers) || i >= len(s.layers) {
		return nil
	}
	if s.layers[i] == nil {
		s.layers[i] = newLayer(ssrc, s.r.keep(s.info))
		s.layers[i].several = len(s.info.Layers) > 1
		s.layers[i].unrepaired = datagrams(s.info)
	}
	return s.layers[i]
}

// datagrams says whether a stream's messages are unreliable.
func datagrams(s region.Stream) bool { return s.Kind == region.Data && s.Codec == Datagrams }

// pictures says whether the stream is a video.
func (s *stream) pictures() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info.Kind == region.Video
}

// pause is how long the stream must have said nothing for that to be unusual: so much longer
// than its habit that who looks again then finds most often that it has gone on.
func (s *stream) pause() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.habit * 9 / 4
}

// unreliable says whether the stream's messages are datagrams.
func (s *stream) unreliable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return datagrams(s.info)
}

// keep is how long packets of a stream are kept.
func (r *Relay) keep(s region.Stream) time.Duration {
	if s.Kind == region.Data && !datagrams(s) {
		return max(r.cfg.Ring, dataKeep)
	}
	return r.cfg.Ring
}

func (s *stream) account(ly *layer, h link.Header, kind verdict, now int64) {
	st := &s.stats
	st.PacketsReceived++
	if kind == repaired {
		st.PacketsRepaired++
	}
	if s.last != 0 {
		gap := s.r.since(s.last, now)
		st.GapMax = max(st.GapMax, gap)
		st.Gaps.add(gap)
		switch {
		case gap > habitMost:
		case gap > s.habit:
			s.habit = gap
		default:
			s.habit -= (s.habit - gap) / habitFade
		}
	}
	s.last = now
	if ly.live != history && h.Index >= ly.live {
		delay := s.r.wall(now) - h.Captured
		s.delay.add(delay)
		s.delayNow += (max(delay, 0) - s.delayNow) / delaySmooth
		st.Delays.add(time.Duration(max(delay, 0)) * time.Microsecond)
	}
}

// goLive notes, when the first parent has accepted, from which index on packets
// are not history. s.mu is held.
func (s *stream) goLive(tips []link.Tip) {
	for i := range s.info.Layers {
		ly := s.layer(s.info.SSRC + uint32(i))
		if ly.live != history {
			continue
		}
		ly.live = 0
		for _, t := range tips {
			if t.SSRC == ly.ssrc {
				ly.live = t.Index
			}
		}
	}
}

// unkeyed are the layers of a video stream whose ring holds no keyframe; of a scalable
// one only the lowest has any of its own.
func (s *stream) unkeyed() (mask region.LayerMask) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.info.Kind != region.Video {
		return 0
	}
	for i := range s.info.Layers {
		if ly := s.layers[i]; ly == nil || ly.keyframe == 0 || ly.at(ly.keyframe) == nil {
			mask |= 1 << i
		}
	}
	if s.info.Scalable {
		mask &= 1
	}
	return mask
}

// level says whether the stream goes on without a gap if only f feeds it from now
// on: f has reached what arrived from others, and all before is here. ends are the
// next indexes at f, for layers that pause.
func (s *stream) level(f *feed, layers region.LayerMask, ends []link.Tip) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, ly := range s.layers {
		if layers>>i&1 == 0 || ly == nil || !ly.started {
			continue
		}
		from := f.first[i].Load()
		for _, t := range ends {
			if from == 0 && t.SSRC == ly.ssrc {
				from = t.Index
			}
		}
		if from == 0 || from > ly.next || (len(ly.missing) > 0 && ly.missing[0].index < from) {
			return false
		}
	}
	return true
}

// bereave notes that the parent was lost: layers that flowed until then pause for that
// reason.
func (s *stream) bereave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := s.moved.Load()
	for _, ly := range s.layers {
		if ly != nil && ly.started {
			ly.bereft = ly.bereft || !ly.stale(moved)
		}
	}
}

// tips are where layers have got to, as far as is known.
func (s *stream) tips(layers region.LayerMask) (tips []link.Tip) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, ly := range s.layers {
		if ly != nil && ly.started && !ly.skip && layers>>i&1 != 0 {
			tips = append(tips, link.Tip{SSRC: ly.ssrc, Index: ly.next})
		}
	}
	return tips
}

// feedOf returns the feed of a link, nil if the stream is not drawn from it.
func (s *stream) feedOf(l *link.Link) *feed {
	for _, f := range *s.feeds.Load() {
		if f.link == l {
			return f
		}
	}
	return nil
}

// childOf returns the child at the end of a link, nil if there is none.
func (s *stream) childOf(l *link.Link) *child {
	for _, c := range *s.children.Load() {
		if c.link == l {
			return c
		}
	}
	return nil
}
