package relay

import "github.com/skein-mesh/skein/region"

// A Wish is what a reader wants of a stream. The zero Wish is all of it.
type Wish struct {
	// Paused: nothing is wanted for now. The member keeps its place; unless others
	// need the stream from it, it draws nothing.
	Paused bool
	// Layers wanted at most; 0 stands for all.
	Layers region.LayerMask
	// Size is how high the picture has to be, as a share of the full height. Layers are
	// then taken for pictures each half as high as the next one's, and the smallest that is
	// large enough is wanted, with what it builds upon: alone if each is a picture of its own
	// (simulcast). 0: all Layers.
	Size float64
	// Priority over other streams where a link carries less than all of them: layers of
	// streams of the lowest priority go first, then the dearest.
	Priority uint8
	// Voice: the stream is wanted only while it speaks and is among the loudest of all that
	// are wanted so (Relay.SetVoices), by the level that its packets tell (RFC 6464).
	Voice bool
	// Critical: a standby is to send, too, as long as its uplink has room, so that the
	// loss of a parent leaves no gap. It doubles what this member receives.
	Critical bool
}

// mask are the layers that are wanted of a stream, and what they build upon.
func (w Wish) mask(s region.Stream) region.LayerMask { return s.Supported(w.chosen(len(s.Layers))) }

// chosen are the layers that are wanted of n.
func (w Wish) chosen(n int) region.LayerMask {
	mask := region.LayerMask(1)<<n - 1
	if n == 0 {
		mask = region.AllLayers
	}
	if w.Layers != 0 {
		mask &= w.Layers
	}
	switch {
	case w.Paused:
		return 0
	case w.Size <= 0, n == 0: // what there is will be told
		return mask
	}
	best := region.LayerMask(0)
	height := 1.0
	for i := n - 1; i >= 0; i-- {
		if bit := region.LayerMask(1) << i; mask&bit != 0 && (best == 0 || height >= w.Size) {
			best = bit
		}
		height /= 2
	}
	return best
}

// Want changes what is wanted here: all of the stream at first. What nobody here and
// below wants is soon drawn no more. A layer that is wanted again begins with a
// keyframe, as soon as there is one; what was missed meanwhile does not count as lost.
func (k *Sink) Want(w Wish) {
	k.s.mu.Lock()
	added := w.mask(k.s.info) &^ k.wish.mask(k.s.info)
	for i := range k.cursors {
		if ly := k.s.layers[i]; added>>i&1 != 0 && ly != nil && ly.started {
			k.cursors[i].started, k.cursors[i].next = true, ly.next
		}
	}
	k.wish = w
	k.s.revoice()
	k.s.news.Add(1)
	k.wake()
	k.s.mu.Unlock()
	k.s.stir()
}

// A demand is what readers here and children want of a stream together.
type demand struct {
	layers   region.LayerMask
	priority uint8
	critical bool // to a reader here
	voice    bool // to all
}

// demand is what readers here and children get of a place's stream.
func (p *place) demand() (d demand) {
	p.s.mu.Lock()
	d.voice = true
	asking, resting := len(p.s.sinks), p.s.resting
	// Who keeps many voices and messages ready, and hears few, would be a warm standby of most.
	cold := p.s.info.Kind != region.Video && (resting || asking > 0)
	for _, k := range p.s.sinks {
		if mask := k.wish.mask(p.s.info); mask != 0 {
			d.voice = d.voice && k.wish.Voice
			d.layers |= mask
			d.priority = max(d.priority, k.wish.Priority)
			d.critical = d.critical || k.wish.Critical
		}
	}
	p.s.mu.Unlock()
	for _, c := range *p.s.children.Load() {
		asking++
		d.layers |= region.LayerMask(c.allowed.Load())
		if c.muted {
			d.layers |= region.LayerMask(c.want.Load()) // it is wanted as soon as it is loud
		}
		d.voice = d.voice && c.voice.Load()
		d.priority = max(d.priority, c.priority)
	}
	if all := p.s.all(); all != 0 {
		d.layers &= all
	}
	d.voice = d.voice && d.layers != 0
	relied := !cold && p.given != nil && len(p.given.Dependents) > 0
	if d.layers == 0 && !p.origin && (relied || asking == 0 && !resting) {
		d.layers = 1 // ready for those who have this member as a standby
	}
	return d
}
