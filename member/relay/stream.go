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

// A stream is the data plane of one stream: what arrived lately, who gets it.
// Packets come in by the socket's goroutine or the Source; the writer and the
// sinks take them out.
type stream struct {
	r  *Relay
	id region.StreamID

	children atomic.Pointer[[]*child] // by peer; replaced whole by the keeper
	feeds    atomic.Pointer[[]*feed]  // who may send packets; likewise
	dirty    atomic.Bool              // the writer has something to do
	repair   atomic.Bool              // the keeper has something to ask for
	strayed  atomic.Int64             // when a stray packet was last reported
	moved    atomic.Int64             // when the last packet arrived

	mu      sync.Mutex // guards what follows; held shortly
	info    region.Stream
	layers  [region.MaxLayers]*layer
	reports [region.MaxLayers][]byte
	log     [logSize]arrival
	head    uint64 // arrivals so far
	sinks   []*Sink
	source  *Source // nil unless it is published here and open
	stats   StreamStats
	delay   histogram
	last    int64            // as moved, but set forward by a pause that the parent confirms
	wanted  region.LayerMask // layers a local reader wants a keyframe of
}

// An arrival is an entry of the log: layer and index.
type arrival struct {
	layer int
	index uint64
}

// A feed is a link from which a stream is drawn.
type feed struct {
	link *link.Link
	// first is the index of the first packet that came of each layer; 0: none did.
	first [region.MaxLayers]atomic.Uint64
}

// began notes a packet; it reports whether it was the first of its layer.
func (f *feed) began(layer int, index uint64) bool {
	return f.first[layer].Load() == 0 && f.first[layer].CompareAndSwap(0, index)
}

// flowing says whether any packet came.
func (f *feed) flowing() bool {
	for i := range f.first {
		if f.first[i].Load() != 0 {
			return true
		}
	}
	return false
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
	if from != nil && from.began(int(h.SSRC-s.info.SSRC), h.Index) {
		defer s.r.kick() // a parent that was asked for the stream has begun
	}
	before := len(ly.missing)
	sl, kind := ly.put(h, p, now)
	if kind == duplicate || kind == tooOld {
		s.stats.Duplicates++
		s.mu.Unlock()
		return false
	}
	sl.order = s.head
	s.log[s.head%logSize] = arrival{int(h.SSRC - s.info.SSRC), h.Index}
	s.head++
	urgent = s.info.Kind != region.Video || h.Marker || s.head%maxBurst == 0
	s.account(ly, h, kind, now)
	if s.info.Kind == region.Video && keyframeStarts(s.info.Codec, p[h.Payload:]) && h.Index > ly.keyframe {
		ly.keyframe = h.Index
	}
	for _, k := range s.sinks {
		k.wake()
	}
	missing := len(ly.missing) > before
	s.mu.Unlock()

	s.moved.Store(now)
	s.dirty.Store(true)
	if missing {
		s.repair.Store(true)
		s.r.kick()
	}
	return urgent
}

// layer returns the layer of an SSRC. s.mu is held.
func (s *stream) layer(ssrc uint32) *layer {
	i := int(ssrc) - int(s.info.SSRC)
	if i < 0 || i >= len(s.info.Layers) || i >= len(s.layers) {
		return nil
	}
	if s.layers[i] == nil {
		s.layers[i] = newLayer(ssrc, s.r.cfg.Ring)
	}
	return s.layers[i]
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
	}
	s.last = now
	if ly.live != history && h.Index >= ly.live {
		delay := s.r.wall(now) - h.Captured
		s.delay.add(delay)
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

// unkeyed are the layers of a video stream whose ring holds no keyframe.
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

// tips are where a stream has got to, for those who draw it. s.mu is held.
func (s *stream) tips() (tips []link.Tip) {
	for _, ly := range s.layers {
		if ly != nil && ly.started {
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
