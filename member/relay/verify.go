package relay

import (
	"sync"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

const (
	// verifyInterval is how often neighbours tell one another what they believe.
	verifyInterval = 10 * time.Second
	// seldom is how many times less often neighbours are asked about a stream of which
	// nothing is drawn, aside how many times less often standbys are about one that is
	// no picture, since those of a voice must only be there, and parents about datagrams,
	// of which standbys are not asked at all.
	seldom, aside = 6, 3
	// believedFor is how long a belief is worth anything.
	believedFor = (aside + 1) * verifyInterval
	// maxBeliefs bounds what is remembered.
	maxBeliefs = 4096
	// delaySmooth is over how many packets a delay is averaged.
	delaySmooth = 64
)

// A Disagreement says what neighbours hold differently. The values are those of
// MismatchKind in proto/skein/v1.
type Disagreement uint8

// The disagreements.
const (
	// NotFed: the peer says that it draws from this member, which does not feed
	// it. It is told so, and looks for another parent.
	NotFed Disagreement = 1
	// WrongParent: this member feeds a peer that says it draws from somebody
	// else. It is not fed any more.
	WrongParent Disagreement = 2
	// Stranger: this member feeds a peer that no assignment names. A peer may do
	// so for as long as its grant is good; the coordinators are to know of it.
	Stranger Disagreement = 4
)

// A Neighbour is what a peer said it believes.
type Neighbour struct {
	Peer region.MemberID
	// Stream that the peer draws, from this member if Mine, and its delay since the origin.
	Stream region.StreamID
	Mine   bool
	Delay  time.Duration
	// Free is what the peer could still send.
	Free region.Rate
}

// Neighbours lists what peers said lately.
func (r *Relay) Neighbours() []Neighbour {
	v := &r.keeper.verifier
	v.mu.Lock()
	defer v.mu.Unlock()
	var list []Neighbour
	for k, b := range v.beliefs {
		if r.now()-b.at < int64(believedFor) {
			list = append(list, Neighbour{k.peer, k.stream, b.Yours, b.Delay, b.free})
		}
	}
	return list
}

// A verifier compares what neighbours believe. The keeper owns it, but for what
// mu guards.
type verifier struct {
	next int64
	turn int
	// doubts counts how often in a row a peer has disagreed: the first time, word
	// of a change may still be on its way.
	doubts map[beliefKey]int

	mu      sync.Mutex
	beliefs map[beliefKey]belief
}

type beliefKey struct {
	stream region.StreamID
	peer   region.MemberID
}

type belief struct {
	link.Belief
	free region.Rate
	at   int64
}

// verify asks all neighbours what they believe, and tells them, when it is time.
func (k *keeper) verify(now int64) (due int64) {
	v := &k.verifier
	if v.next == 0 {
		v.next = now + int64(verifyInterval)
	}
	if now < v.next {
		return v.next
	}
	v.next = now + int64(verifyInterval)
	v.mu.Lock()
	for key, b := range v.beliefs {
		if now-b.at >= int64(believedFor) {
			delete(v.beliefs, key)
			delete(v.doubts, key)
		}
	}
	v.mu.Unlock()
	v.turn++
	about := make(map[*link.Link][]link.Belief)
	var links []*link.Link
	for _, p := range k.all {
		if !p.placed || p.local || p.drawn == 0 && v.turn%seldom != 0 {
			continue // of leaves no tree knows, and so nobody is wrong about them
		}
		datagrams, often := p.s.unreliable(), p.s.pictures() || v.turn%aside == 0
		for _, u := range p.ups {
			if u.link == nil || !often && (u != p.current || datagrams) || u != p.current && datagrams {
				continue
			}
			if about[u.link] == nil {
				links = append(links, u.link)
			}
			about[u.link] = append(about[u.link], p.belief(u.link))
		}
	}
	for _, l := range links {
		k.believe(l, about[l], true) // what gets lost is asked again
	}
	return v.next
}

// belief is what this member holds for true of a place, for the neighbour at a link.
func (p *place) belief(to *link.Link) link.Belief {
	b := link.Belief{Mark: link.MarkOf(p.s.id), Yours: p.current != nil && p.current.peer.ID == to.Peer().ID}
	p.s.mu.Lock()
	b.Delay = time.Duration(p.s.delayNow) * time.Microsecond
	p.s.mu.Unlock()
	return b
}

// believe tells a neighbour beliefs.
func (k *keeper) believe(to *link.Link, list []link.Belief, question bool) {
	for _, bundle := range link.Bundles(list) {
		_ = to.Send(&link.Message{Kind: link.Believe, Question: question, Free: k.r.free(), Beliefs: bundle})
	}
}

// free is what this member could still send.
func (r *Relay) free() region.Rate {
	uplink := region.Rate(r.uplink.Load())
	return uplink - min(uplink, r.keeper.admitted(false))
}

// believed takes a peer's beliefs, answers them, and compares them with what this
// member does.
func (k *keeper) believed(from *link.Link, m *link.Message) {
	var mine []link.Belief
	for _, b := range m.Beliefs {
		if p := k.marked[b.Mark]; p != nil && p.placed {
			mine = append(mine, p.belief(from))
			k.compare(p, from, b, m.Question, m.Free)
		}
	}
	if m.Question {
		k.believe(from, mine, false)
	}
}

// compare judges one belief of a peer.
func (k *keeper) compare(p *place, from *link.Link, b link.Belief, question bool, free region.Rate) {
	key := beliefKey{p.s.id, from.Peer().ID}
	v := &k.verifier
	v.mu.Lock()
	if v.beliefs == nil {
		v.beliefs, v.doubts = make(map[beliefKey]belief), make(map[beliefKey]int)
	}
	if _, known := v.beliefs[key]; known || len(v.beliefs) < maxBeliefs {
		v.beliefs[key] = belief{b, free, k.r.now()}
	}
	v.mu.Unlock()
	kind := k.disagreement(p, from, b, question)
	if kind == 0 {
		delete(v.doubts, key)
		return
	}
	if v.doubts[key]++; v.doubts[key] < 2 || len(v.doubts) > maxBeliefs {
		return
	}
	delete(v.doubts, key)
	switch kind {
	case NotFed:
		_ = from.Send(&link.Message{Kind: link.Dismiss, Stream: p.s.id})
	case WrongParent:
		k.detach(p, p.s.childOf(from))
	}
	k.r.emit(Disagreed{p.s.id, from.Peer().ID, kind})
}

// disagreement says in what a peer and this member differ; 0 if in nothing.
func (k *keeper) disagreement(p *place, from *link.Link, b link.Belief, question bool) Disagreement {
	c := p.s.childOf(from)
	fed := c != nil
	switch {
	case fed && c.extra:
		return 0 // it has another parent, as it should
	case b.Yours && !fed:
		return NotFed
	case fed && question && !b.Yours && !p.children[from.Peer().ID]:
		return WrongParent
	case fed && c.permit.Load():
		return 0 // no tree knows of it
	case fed && question && !p.children[from.Peer().ID]:
		return Stranger
	}
	return 0
}
