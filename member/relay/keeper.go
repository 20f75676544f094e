package relay

import (
	"slices"
	"strings"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

const (
	// idleTick is how often the keeper looks at everything when nothing is due.
	idleTick = 500 * time.Millisecond
	// together is how soon the next look at everything is, unless something happens.
	together = 4 * time.Millisecond
	// strayInterval between two words to a former parent that goes on sending.
	strayInterval = 200 * time.Millisecond
	// keyframeInterval between two keyframe requests for the same layer.
	keyframeInterval = 500 * time.Millisecond
)

// A keeper decides whom to draw from and whom to serve. One goroutine owns it and
// all places; the data plane sees its decisions through atomic pointers.
type keeper struct {
	r      *Relay
	places map[region.StreamID]*place
	all    []*place // the places by stream
	marked map[uint32]*place
	peers  peers
	// verifier compares what neighbours believe.
	verifier verifier
	chorus   chorus
	drawID   uint32
	answers  time.Duration // how long they have taken of late, besides the round trip
	recarr   bool          // which links carry what has changed
	reshare  bool          // what children get may have
	// due is when the first of all places is, pauses when the first may have paused.
	due, pauses int64
	busy        []*place
	stirred     []*stream
	leaf        leafBudget
	// told and toldFree are what neighbours were last told, at toldAt, edition counts that,
	// and tended is when it was last looked at.
	told     []uint32
	toldFree region.Rate
	toldAt   int64
	edition  uint64
	tended   int64
	flows    flows
}

// flows are what the links carry, both ways, and whose peers send pictures.
type flows struct {
	feeding, fed map[*link.Link]link.Flow
	pictures     map[*link.Link]bool
}

func newKeeper(r *Relay) *keeper {
	return &keeper{r: r, places: make(map[region.StreamID]*place), peers: newPeers(r), chorus: newChorus(), flows: flows{
		make(map[*link.Link]link.Flow), make(map[*link.Link]link.Flow), make(map[*link.Link]bool),
	}}
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

// round brings up to date what has been stirred or is due, and returns when to do so
// again: most streams of a member rest at any time.
func (k *keeper) round() time.Duration {
	everything := k.r.everything.Swap(false)
	if everything {
		k.takeAssignments()
	}
	now := k.r.now()
	k.takeQuests(now)
	if everything {
		k.renewPermits()
	}
	k.sing(now)
	k.gather(everything, now)
	for _, p := range k.busy {
		k.reshare = p.follow() || k.reshare
	}
	if everything || k.reshare {
		k.reshare = false
		k.share()
	}
	for _, p := range k.busy {
		k.look(p, now)
	}
	clear(k.busy)
	due := min(now+int64(idleTick), k.due, k.listen(now), k.chorus.next)
	if k.recarr {
		k.carry()
	}
	if now-k.tended >= int64(tendInterval) {
		k.tended = now
		k.tendLeaves(now)
		k.tellHave(now, false)
	} else if everything && k.newcomers() {
		k.tellHave(now, true)
	}
	due = min(due, k.peers.tend(now, k.places), k.verify(now))
	// What is due at about the same time is done together; who is late does more at a time.
	return max(time.Duration(due-now), together, k.r.cfg.Late()/4)
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
		case p == nil || p.given != a && (p.revision <= a.Revision || a.Anew): // grants are renewed under the same revision
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

// open reads a control message.
func (k *keeper) open(x letter) {
	m := x.message
	k.stir(m)
	switch {
	case x.offence != nil:
		k.r.emit(*x.offence)
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
	case m.Kind == link.Believe:
		k.believed(x.from, m)
	case m.Kind == link.Have:
		k.haveCame(x.from, m)
	case m.Kind == link.Path:
		k.pathCame(x.from, m)
	case m.Kind == link.Voices:
		k.voicesCame(x.from, m)
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

// stir has the place looked at that a message is about.
func (k *keeper) stir(m *link.Message) {
	switch {
	case m == nil:
	case m.Stream != "":
		if p := k.places[m.Stream]; p != nil {
			p.s.queue()
		}
	case m.Kind == link.Tips && len(m.Tips) > 0:
		k.stirSource(m.Tips[0].SSRC)
	case m.Kind == link.Keyframe:
		k.stirSource(m.SSRC)
	}
}

func (k *keeper) stirSource(ssrc uint32) {
	if s := k.r.bySource(ssrc); s != nil {
		s.queue()
	}
}

// carry tells the links what they carry now.
func (k *keeper) carry() {
	k.recarr = false
	feeding, fed, pictures := k.flows.feeding, k.flows.fed, k.flows.pictures
	clear(feeding)
	clear(fed)
	clear(pictures)
	for _, p := range k.all {
		if len(*p.s.children.Load()) == 0 && len(p.ups) == 0 {
			continue
		}
		for _, c := range *p.s.children.Load() {
			// Who listens for voices cannot know at once that none is loud enough.
			if c.allowed.Load() != 0 || c.voice.Load() {
				feeding[c.link] = max(feeding[c.link], p.flow(p.origin && c.permit.Load()))
			}
		}
		for _, u := range p.ups {
			// Who has not accepted yet that something is wanted sends nothing yet.
			if u.link != nil && u.state == drawn && p.drawn != 0 && u.sends {
				fed[u.link] = max(fed[u.link], p.flow(p.local && u.peer.ID == p.s.record().Origin))
				pictures[u.link] = pictures[u.link] || p.s.pictures()
			}
		}
	}
	k.peers.carry(k.flows)
}

// flow says how soon it must be noticed that an edge of the stream is broken. A leaf that is
// fed by the origin itself (only) loses little by a later word: nobody goes on with the
// stream of a member that has died, and where crowds are it is what most links carry.
func (p *place) flow(only bool) link.Flow {
	if only || p.s.unreliable() {
		return link.Loose
	}
	return link.Tight
}
