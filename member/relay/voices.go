package relay

import (
	"math"
	"slices"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// Of a crowd's voices a listener needs the loudest few. Who subscribes to a stream as
// a voice tells its parents how many of those it wants at a time and how loud they must
// be to count (link.Voices); every relay reads the levels of what passes (RFC 6464)
// and sends a child those alone. A relay that feeds others asks its own parents for
// whatever is loud enough for any of them, so a voice that nobody below can hear is
// sent nowhere. A stream that does not tell its level always counts as loud.

const (
	// voiceInterval is how often voices are chosen, and what is wanted of them told; at once
	// when a voice is raised by raise dB, though not sooner than voicePause after the last time.
	voiceInterval = 100 * time.Millisecond
	voicePause    = 20 * time.Millisecond
	raise         = 6
	// voiceLead is how much of a voice is sent that was said before it was chosen.
	voiceLead = 200 * time.Millisecond
	// voiceRepeat is how often is repeated what is wanted, since it may be lost.
	voiceRepeat = 5 * time.Second
	// voiceDecay is how fast a stream that has fallen silent ceases to be loud, in dB per
	// second: pauses between words are none.
	voiceDecay = 25
	// silence is the level, in dB, below which nobody speaks, noVoice the lowest there is.
	silence, noVoice = -70, -127
	// floorStep is by how many dB the floor must have changed to be told before voiceRepeat.
	floorStep = 3
)

// A hearing says which voices are wanted over a link.
type hearing struct {
	most  int     // at a time; 0: any number
	floor float64 // dB below which none is
	at    int64   // when it was told last
}

// A chorus chooses voices. The keeper owns it.
type chorus struct {
	next    int64                    // when to choose again
	last    int64                    // when it was done last
	changed bool                     // who is muted has
	heard   map[*link.Link]hearing   // by children
	told    map[*link.Link]hearing   // to parents
	lists   map[*link.Link]*audience // of this time
	parents map[*link.Link]bool      // likewise, from which voices are drawn
	own     []float64                // likewise, how loud the voices are that are read here
}

// An audience is a child and the voices it draws.
type audience struct {
	voices   []region.Voice
	children map[region.StreamID]*child
}

// SetVoices says how many of the streams that are wanted as voices are to be sent
// here at a time: the loudest. 0 is any number of those that are not silent.
func (r *Relay) SetVoices(most int) {
	r.voices.Store(int32(max(0, min(most, math.MaxUint8))))
	r.kick()
}

// hark notes how loud a packet is. s.mu is held.
func (s *stream) hark(p []byte, now int64) {
	level, ok := link.AudioLevel(p)
	before := s.loudness(now)
	if !ok || s.loudAt != 0 && -float64(level) < before {
		return
	}
	s.loud, s.loudAt = -float64(level), now
	if s.loud > before+raise && s.loud > silence && !s.r.raised.Swap(true) {
		s.r.rouse()
	}
}

// loudness of a stream, in dB. s.mu is held.
func (s *stream) loudness(now int64) float64 {
	switch {
	case s.head == 0:
		return noVoice
	case s.loudAt == 0:
		return 0
	}
	return max(noVoice, s.loud-voiceDecay*float64(now-s.loudAt)/1e9)
}

// voicesCame takes what a child wants to hear.
func (k *keeper) voicesCame(from *link.Link, m *link.Message) {
	if slices.ContainsFunc(k.all, func(p *place) bool { return p.s.childOf(from) != nil }) {
		k.chorus.heard[from] = hearing{most: int(m.Most), floor: -float64(m.Floor)}
		k.chorus.next = 0
	}
}

// sing chooses the voices that children get, and tells parents which are wanted, when
// it is time to.
func (k *keeper) sing(now int64) {
	if k.r.raised.Swap(false) {
		k.chorus.next = min(k.chorus.next, k.chorus.last+int64(voicePause))
	}
	if now < k.chorus.next {
		return
	}
	k.chorus.last = now
	k.chorus.next = next(now, idleTick)
	k.chorus.clear()
	want := hearing{most: int(k.r.voices.Load())}
	own, parents := k.chorus.own[:0], k.chorus.parents
	clear(parents)
	for _, p := range k.all {
		if !p.voice {
			continue
		}
		level := p.loudness(now)
		if p.s.voiced.Load() {
			own = append(own, level)
		}
		for _, c := range *p.s.children.Load() {
			if c.voice.Load() {
				k.chorus.seat(p.s.id, c, level)
			}
		}
		for _, u := range p.ups {
			if p.voices && u.state == drawn && u.link.State() == link.Up {
				parents[u.link] = true
			}
		}
	}
	k.chorus.own = own
	want.floor = floorOf(own, want.most)
	if len(k.chorus.heard) > 0 {
		want = k.chorus.choose(want, len(own) > 0)
	}
	k.reshare, k.chorus.changed = k.reshare || k.chorus.changed, false
	for l := range k.chorus.told {
		if !parents[l] {
			delete(k.chorus.told, l)
		}
	}
	for l := range parents {
		k.chorus.tell(l, want, now)
	}
	if len(k.chorus.heard) > 0 || len(parents) > 0 {
		k.chorus.next = next(now, voiceInterval)
	}
}

// loudness is how loud a place's stream is.
func (p *place) loudness(now int64) float64 {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return p.s.loudness(now)
}

// sings says whether somebody here or below wants the stream as a voice.
func (p *place) sings() bool {
	return p.voices || p.s.voiced.Load() || slices.ContainsFunc(*p.s.children.Load(), func(c *child) bool { return c.voice.Load() })
}

// revoice notes whether a reader here wants the stream as a voice. s.mu is held.
func (s *stream) revoice() {
	s.voiced.Store(slices.ContainsFunc(s.sinks, func(k *Sink) bool { return k.wish.Voice && !k.wish.Paused }))
}

func newChorus() chorus {
	return chorus{
		heard: make(map[*link.Link]hearing), told: make(map[*link.Link]hearing),
		lists: make(map[*link.Link]*audience), parents: make(map[*link.Link]bool),
	}
}

// clear empties the lists, and forgets children that draw no voices any more.
func (h *chorus) clear() {
	for l, a := range h.lists {
		if len(a.voices) == 0 {
			delete(h.lists, l)
			delete(h.heard, l)
		}
		a.voices = a.voices[:0]
		clear(a.children)
	}
}

// seat notes a child of a voice.
func (h *chorus) seat(id region.StreamID, c *child, level float64) {
	if _, told := h.heard[c.link]; !told {
		h.mute(c, false) // it will say what it wants in a moment
		return
	}
	a := h.lists[c.link]
	if a == nil {
		a = &audience{children: make(map[region.StreamID]*child)}
		h.lists[c.link] = a
	}
	a.voices = append(a.voices, region.Voice{Stream: id, Level: level})
	a.children[id] = c
}

func (h *chorus) mute(c *child, muted bool) {
	h.changed = h.changed || c.muted != muted
	c.muted = muted
}

// choose mutes those whom a child does not hear. It returns what this member must be
// sent for that: whatever is loud enough for one of them, or for its own readers if it
// has any.
func (h *chorus) choose(own hearing, reads bool) hearing {
	want := hearing{}
	if reads {
		want.floor = own.floor
	}
	for l, limit := range h.heard {
		a := h.lists[l]
		if a == nil {
			continue
		}
		rule := region.Loudest{Max: limit.most, Floor: limit.floor}
		if rule.Max == 0 {
			rule.Max = len(a.voices)
		}
		n := rule.Choose(a.voices, func(id region.StreamID) bool { return !a.children[id].muted })
		for i, v := range a.voices {
			h.mute(a.children[v.Stream], i >= n)
		}
		want.floor = min(want.floor, limit.floor)
	}
	return want
}

// floorOf is how loud a voice must be to be among the loudest, when those are as loud
// as given.
func floorOf(levels []float64, most int) float64 {
	if most == 0 || len(levels) <= most {
		return silence
	}
	slices.SortFunc(levels, func(a, b float64) int {
		if a > b {
			return -1
		}
		return 1
	})
	return max(silence, levels[most-1])
}

// tell tells a parent what is wanted, if it has changed or was long ago.
func (h *chorus) tell(l *link.Link, want hearing, now int64) {
	old, told := h.told[l]
	since := now - old.at
	if told && since < int64(voiceRepeat) && old.most == want.most && math.Abs(old.floor-want.floor) < floorStep {
		return
	}
	_ = l.Send(&link.Message{Kind: link.Voices, Most: uint8(want.most), Floor: uint8(-want.floor)})
	want.at = now
	h.told[l] = want
}

// gets is what the parents give of a place's stream for now; all unless they say that
// a voice is not heard.
func (p *place) gets() region.LayerMask {
	if !p.voices || p.origin {
		return region.AllLayers
	}
	mask, drawing := region.LayerMask(0), false
	for _, u := range p.ups {
		if u.state == drawn {
			drawing = true
			mask |= p.givenBy(u)
		}
	}
	if !drawing {
		return region.AllLayers
	}
	return mask
}

// givenBy is what one of them gives.
func (p *place) givenBy(u *upstream) region.LayerMask {
	if !p.voices {
		return region.AllLayers
	}
	return region.LayerMask(u.feed.given.Load())
}

// follow makes the stream ready for a voice that comes or goes: its pauses are no gaps.
// It reports whether one did.
func (p *place) follow() bool {
	got := p.gets()
	if got == p.got {
		return false
	}
	p.s.redraw(p.got, got)
	p.got = got
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	for i, ly := range p.s.layers {
		if ly != nil {
			ly.muted = got>>i&1 == 0
		}
	}
	return true
}

// lead is where a voice begins for who has not heard it: a little before it was chosen.
func (l *layer) lead(now int64) uint64 {
	from := l.next
	for from > l.oldest() {
		if s := l.at(from - 1); s == nil || now-s.arrived > int64(voiceLead) {
			break
		}
		from--
	}
	return from
}
