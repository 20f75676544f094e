package relay

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

const (
	// idleTick is how often the keeper looks at everything when nothing is due.
	idleTick = 500 * time.Millisecond
	// strayInterval between two words to a former parent that goes on sending.
	strayInterval = 200 * time.Millisecond
	// keyframeInterval between two keyframe requests for the same layer.
	keyframeInterval = 500 * time.Millisecond
	// pathInterval between two repetitions of the path to children.
	pathInterval = 2 * time.Second
)

// tipsAfter are the times of silence of a stream at which children are told
// where it ended.
var tipsAfter = [...]time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond}

// A keeper decides whom to draw from and whom to serve. One goroutine owns it and
// all places; the data plane sees its decisions through atomic pointers.
type keeper struct {
	r      *Relay
	places map[region.StreamID]*place
	all    []*place // the places by stream
	peers  peers
	drawID uint32
	recarr bool // which links carry what has changed
}

// A place is what this member does for one stream.
type place struct {
	s        *stream
	revision region.Revision
	layers   region.LayerMask
	named    region.MemberID          // the assigned parent; empty: origin, or none
	children map[region.MemberID]bool // the assigned ones
	origin   bool
	placed   bool
	ups      []*upstream     // the assigned parent, then the standbys
	current  *upstream       // carries the stream
	target   *upstream       // being drawn, to carry it
	lost     *upstream       // carried it until it failed
	failed   region.MemberID // who lost was, and why
	cause    Fault
	left     region.Revision
	orphan   bool

	path     []region.MemberID // from the root to this member; empty: not known
	pathSent int64
	tipsFor  int64 // the arrival that the tips sent so far are about
	tipsSent int

	asked  [region.MaxLayers]int64 // when a keyframe was
	wanted region.LayerMask        // layers a keyframe is wanted of
}

func newKeeper(r *Relay) *keeper {
	return &keeper{r: r, places: make(map[region.StreamID]*place), peers: newPeers(r)}
}

func (k *keeper) run() {
	timer := time.NewTimer(idleTick)
	defer timer.Stop()
	for {
		select {
		case <-k.r.ctx.Done():
			k.finish()
			return
		case x := <-k.r.inbox:
			k.open(x)
		case <-k.r.kicked:
		case <-timer.C:
		}
		for more := true; more; {
			select {
			case x := <-k.r.inbox:
				k.open(x)
			default:
				more = false
			}
		}
		timer.Reset(k.round())
	}
}

// round brings everything up to date and returns when to do so again.
func (k *keeper) round() time.Duration {
	k.takeAssignments()
	now := k.r.now()
	due := now + int64(idleTick)
	for _, p := range k.all {
		k.checkChildren(p)
		due = min(due, k.draw(p, now), k.mend(p, now), k.inform(p, now))
		k.passKeyframe(p, now)
	}
	if k.recarr {
		k.carry()
	}
	due = min(due, k.peers.tend(now, k.places))
	return max(time.Duration(due-now), time.Millisecond)
}

// takeAssignments puts into effect what the session decided since.
func (k *keeper) takeAssignments() {
	k.r.mu.Lock()
	changed := k.r.assignments
	var todo []*Assignment
	var over []*stream
	for id, a := range changed {
		p := k.places[id]
		switch {
		case a == nil:
			delete(changed, id)
			if s := k.r.streams[id]; s != nil {
				over = append(over, s)
			}
		case p == nil || !p.placed || p.revision < a.Revision:
			todo = append(todo, a)
		}
	}
	pins := k.r.pins
	if len(pins) > 0 {
		k.r.pins = make(map[region.MemberID]link.Peer)
	}
	k.r.mu.Unlock()

	for _, p := range pins {
		k.peers.pin(p, k.r.now())
	}
	for _, s := range over {
		k.unplace(s)
	}
	slices.SortFunc(todo, func(a, b *Assignment) int { return strings.Compare(string(a.Stream.ID), string(b.Stream.ID)) })
	for _, a := range todo {
		k.place(a)
	}
}

// place carries out an assignment.
func (k *keeper) place(a *Assignment) {
	p := k.placeOf(a.Stream.ID)
	if p == nil {
		return
	}
	p.revision, p.layers, p.placed = a.Revision, a.Layers, true
	p.named, p.origin = a.Parent.Peer.ID, a.Stream.Origin == k.r.cfg.Self
	p.children = make(map[region.MemberID]bool)
	for _, c := range a.Children {
		p.children[c.ID] = true
	}
	if p.origin {
		p.path = []region.MemberID{k.r.cfg.Self}
	}
	k.peers.assigned(a)
	k.setUpstreams(p, a)
	k.note(p)
}

// placeOf returns the place of a known stream, nil if it is not known.
func (k *keeper) placeOf(id region.StreamID) *place {
	k.r.mu.Lock()
	s := k.r.streams[id]
	k.r.mu.Unlock()
	p := k.places[id]
	if s == nil || p != nil && p.s == s {
		return p
	}
	// A place without an assignment may have outlived its stream: it was made for
	// a peer that asked, and nobody here wanted the stream for a while.
	p = &place{s: s}
	k.places[id] = p
	k.list()
	return p
}

func (k *keeper) list() {
	k.all = slices.SortedFunc(maps.Values(k.places), func(a, b *place) int {
		return strings.Compare(string(a.s.id), string(b.s.id))
	})
}

// unplace ends the place in a tree.
func (k *keeper) unplace(s *stream) {
	p := k.places[s.id]
	if p == nil {
		return
	}
	for _, u := range p.ups {
		k.quit(p, u)
	}
	for _, c := range *s.children.Load() {
		k.dismiss(p, c)
	}
	delete(k.places, s.id)
	k.list()
	k.peers.dropped(s.id)
	s.feeds.Store(&[]*feed{})
	s.mu.Lock()
	s.stats.Parent, s.stats.Revision = "", 0
	s.mu.Unlock()
	k.recarr = true
	k.r.mu.Lock()
	k.r.release(s)
	k.r.mu.Unlock()
}

// finish tells parents and children that this member goes.
func (k *keeper) finish() {
	for _, p := range k.all {
		for _, u := range p.ups {
			k.quit(p, u)
		}
		for _, c := range *p.s.children.Load() {
			k.dismiss(p, c)
		}
	}
}

// note publishes the parent for Stats.
func (k *keeper) note(p *place) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.s.stats.Parent, p.s.stats.Revision = "", p.revision
	if p.current != nil {
		p.s.stats.Parent = p.current.peer.ID
	}
	p.s.stats.Assigned = p.named
}

// open reads a control message.
func (k *keeper) open(x letter) {
	m := x.message
	switch {
	case m == nil:
		if x.stream.feedOf(x.from) == nil { // it may be drawn from by now
			_ = x.from.Send(&link.Message{Kind: link.Drop, Stream: x.stream.id})
		}
	case m.Kind == link.Draw:
		k.admit(x.from, m)
	case m.Kind == link.DrawReply:
		k.replied(x.from, m)
	case m.Kind == link.Drop:
		if p := k.places[m.Stream]; p != nil {
			if c := p.s.childOf(x.from); c != nil && (m.ID == 0 || m.ID == c.draw) {
				k.detach(p, c)
			}
		}
	case m.Kind == link.Dismiss:
		if p := k.places[m.Stream]; p != nil {
			k.dismissed(p, x.from)
		}
	case m.Kind == link.Path:
		k.pathCame(x.from, m)
	case m.Kind == link.Tips:
		k.tipsCame(x.from, m)
	case m.Kind == link.Keyframe:
		if s := k.r.bySource(m.SSRC); s != nil && s.childOf(x.from) != nil {
			if p := k.places[s.id]; p != nil {
				p.wanted |= 1 << (m.SSRC % region.MaxLayers)
			}
		}
	case m.Kind == link.Report && x.stream != nil: // from the Source
		k.report(x.stream, m)
	case m.Kind == link.Report:
		if s := k.r.bySource(m.SSRC); s != nil && s.feedOf(x.from) != nil {
			k.report(s, m)
		}
	}
}

// carry tells the links what they carry now.
func (k *keeper) carry() {
	k.recarr = false
	feeding, fed := make(map[*link.Link]bool), make(map[*link.Link]bool)
	for _, p := range k.all {
		for _, c := range *p.s.children.Load() {
			feeding[c.link] = true
		}
		for _, u := range p.ups {
			if u.link != nil && u.state == drawn {
				fed[u.link] = true
			}
		}
	}
	k.peers.carry(feeding, fed)
}
