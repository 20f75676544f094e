package relay

import (
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// What a member draws of a stream is what somebody here or below gets of it, up to
// the origin, whose application is told what to encode (LayersWanted). What a child
// gets is what it asked for, as far as the link to it carries that.

const (
	// narrowAfter is how long a layer must be unwanted before it is drawn no more.
	narrowAfter = 2 * time.Second
	// quickStart is how many packets a layer's newest keyframe may be old, so that a
	// child is sent all since: more is a burst, and a new keyframe is asked for.
	quickStart = 48
)

// lower replaces the highest layer of a mask by the one below it; the lowest
// layer stays.
func lower(mask region.LayerMask) region.LayerMask {
	for i := region.MaxLayers - 1; i > 0; i-- {
		if mask>>i&1 != 0 {
			if mask &^= 1 << i; mask == 0 {
				mask = 1 << (i - 1)
			}
			return mask
		}
	}
	return mask
}

// share decides what children get. Where the room of a link is known it goes to the
// streams of the highest priority and, among equals, to the cheapest layers first: the
// dearest of the lowest priority are lowered.
func (k *keeper) share() {
	type portion struct {
		p    *place
		c    *child
		mask region.LayerMask
	}
	var tight map[*link.Link][]portion
	for _, p := range k.all {
		for _, c := range *p.s.children.Load() {
			mask := p.allowance(c)
			if c.link.Room() > 0 {
				if tight == nil {
					tight = make(map[*link.Link][]portion)
				}
				tight[c.link] = append(tight[c.link], portion{p, c, mask})
				continue
			}
			k.allow(p, c, mask)
		}
	}
	for l, portions := range tight {
		for room := l.Room(); ; {
			var sum, most region.Rate
			var first *portion
			for i := range portions {
				o := &portions[i]
				rate := o.p.s.rate(o.mask)
				sum += rate
				if lower(o.mask) == o.mask {
					continue
				}
				if first == nil || o.c.rank() < first.c.rank() || o.c.rank() == first.c.rank() && rate > most {
					most, first = rate, o
				}
			}
			if sum <= room || first == nil {
				break
			}
			first.mask = lower(first.mask)
		}
		for _, o := range portions {
			k.allow(o.p, o.c, o.mask)
		}
	}
}

// shareOf is share for the children of one place, if no link of theirs is narrow.
func (k *keeper) shareOf(p *place) {
	for _, c := range *p.s.children.Load() {
		if c.link.Room() > 0 {
			k.share()
			return
		}
	}
	for _, c := range *p.s.children.Load() {
		k.allow(p, c, p.allowance(c))
	}
}

// allowance is what a child of a place gets where the link has room for it.
func (p *place) allowance(c *child) region.LayerMask {
	if c.muted {
		return 0
	}
	return region.LayerMask(c.want.Load()) & p.got
}

func (k *keeper) allow(p *place, c *child, mask region.LayerMask) {
	if old := region.LayerMask(c.allowed.Swap(uint32(mask))); old != mask {
		s := p.s
		s.stir()
		k.recarr = k.recarr || (old == 0) != (mask == 0)
		if c.voice.Load() {
			_ = c.link.Send(p.pathMessage(c)) // before the packets
		}
		k.r.cfg.Logger.Debug("layers of a child changed", "stream", s.id, "child", c.link.Peer().ID, "layers", mask, "room", c.link.Room())
		s.soil()
		k.r.writer.kick(true)
	}
}

// all are the layers that a stream has.
func (s *stream) all() region.LayerMask {
	s.mu.Lock()
	defer s.mu.Unlock()
	return region.LayerMask(1)<<len(s.info.Layers) - 1
}

// adjust draws what is wanted: more at once, less after a while. It returns when
// to look again.
func (k *keeper) adjust(p *place, now int64) (due int64) {
	due = now + int64(idleTick)
	d := p.demand()
	p.critical = d.critical
	want := d.layers
	if !p.origin {
		want &= p.layers
	}
	if want&^p.drawn == 0 && want != p.drawn {
		if p.narrow == 0 {
			p.narrow = now
		}
		if at := p.narrow + int64(narrowAfter); now < at {
			return min(due, at)
		}
	} else {
		want |= p.drawn
	}
	p.narrow = 0
	if want == p.drawn && d.priority == p.priority && d.voice == p.voices {
		return due
	}
	old := p.drawn
	p.drawn, p.priority, p.voices = want, d.priority, d.voice
	k.recarr = k.recarr || (old == 0) != (want == 0)
	if p.origin {
		if want != old {
			k.r.emit(LayersWanted{p.s.id, want})
		}
		return due
	}
	p.s.redraw(old, want)
	for _, u := range p.ups {
		if old == 0 {
			u.heard = now // it had nothing to say
		}
		u.renew()
	}
	return due
}

// redraw goes over from drawing some layers to drawing others: what is missing of
// those left out is forgotten, and those that come go on wherever they are.
func (s *stream) redraw(from, to region.LayerMask) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from == 0 {
		s.last = 0 // the pause is none of the stream's
	}
	for i, ly := range s.layers {
		if ly == nil {
			continue
		}
		if from&^to>>i&1 != 0 {
			ly.missing = ly.missing[:0]
		}
		ly.skip = ly.skip || to&^from>>i&1 != 0
	}
}

// change makes c get what it is allowed to. Layers it did not get begin with their
// newest keyframe. s.mu is held, and released while sending.
func (w *writer) change(s *stream, c *child, allowed region.LayerMask) {
	added := allowed &^ c.layers
	c.layers = allowed
	// A voice begins a little before it was chosen, so that no first syllable is cut off.
	if ly := s.layers[0]; added != 0 && ly != nil && s.info.Kind == region.Audio && c.voice.Load() {
		w.replay(s, c, 0, ly.lead(s.r.now()))
		c.cursor = s.head
		return
	}
	for i, ly := range s.layers {
		if added>>i&1 == 0 || s.info.Kind != region.Video {
			continue
		}
		// Where upper layers of a scalable stream may begin is up to who puts them together.
		upper := s.info.Scalable && i > 0
		if ly == nil || ly.keyframe == 0 || ly.at(ly.keyframe) == nil || ly.next-ly.keyframe > quickStart || ly.stale(s.r.now()) || upper && added&1 == 0 {
			if !upper {
				s.wanted |= 1 << i
				s.stir()
			}
			continue
		}
		w.replay(s, c, i, ly.keyframe)
	}
}

// replay sends a layer from index from on. s.mu is held, and released while sending.
func (w *writer) replay(s *stream, c *child, layer int, from uint64) {
	ly := s.layers[layer]
	for end := ly.next; from < end; {
		w.reset()
		for ; from < end && len(w.views) < chunk; from++ {
			if ly.at(from) != nil {
				w.copy(s, layer, from)
			}
		}
		s.mu.Unlock()
		w.send(c, w.views)
		s.mu.Lock()
	}
}
