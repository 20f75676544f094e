package relay

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// Local admissions, as the child: a stream is asked for, with a permit, of neighbours
// that have it, over links that stand. Nobody draws it from this member, which so is
// a leaf that no tree knows. Its standbys are the other neighbours that have it.

// maxLocal bounds the neighbours that are tried one after the other.
const maxLocal = 4

// A quest is a stream that is wanted of neighbours; the application's goroutine
// waits for what comes of it.
type quest struct {
	// answer takes the parent, or nothing if there is none; capacity 1.
	answer chan region.MemberID
	over   bool
}

// Seek asks neighbours for a stream that has a Sink, and returns who feeds it: that
// is then kept up, with Settled and Forsaken told, until Abandon or an assignment.
// region.ErrUnreachable if nobody does. It waits a few round trips, or until ctx ends.
func (r *Relay) Seek(ctx context.Context, id region.StreamID) (region.MemberID, error) {
	q := &quest{answer: make(chan region.MemberID, 1)}
	r.mu.Lock()
	if r.streams[id] == nil || r.permitFor(id) == nil {
		r.mu.Unlock()
		return "", fmt.Errorf("%s: no permit, or nobody reads it: %w", id, region.ErrForbidden)
	}
	r.quests[id] = q
	r.mu.Unlock()
	r.kick()
	select {
	case parent, found := <-q.answer:
		if !found {
			return "", fmt.Errorf("%s: no neighbour feeds it: %w", id, region.ErrUnreachable)
		}
		return parent, nil
	case <-ctx.Done():
		r.Abandon(id)
		return "", context.Cause(ctx)
	}
}

// Abandon ends what Seek began; a place that was assigned stays.
func (r *Relay) Abandon(id region.StreamID) {
	r.mu.Lock()
	r.quests[id] = &quest{answer: make(chan region.MemberID, 1), over: true}
	r.mu.Unlock()
	r.kick()
}

// found answers whoever waits for a quest; an empty parent says that it is in vain.
func (p *place) found(parent region.MemberID) {
	if p.quest == nil {
		return
	}
	if parent != "" {
		p.quest.answer <- parent
	}
	close(p.quest.answer)
	p.quest = nil
}

// takeQuests begins and ends what the application wants of neighbours.
func (k *keeper) takeQuests(now int64) {
	k.r.mu.Lock()
	var quests map[region.StreamID]*quest
	if len(k.r.quests) > 0 {
		quests, k.r.quests = k.r.quests, make(map[region.StreamID]*quest)
	}
	k.r.mu.Unlock()
	for id, q := range quests {
		if p := k.places[id]; q.over {
			if p != nil && p.local {
				k.unplace(p.s)
			}
			continue
		}
		p := k.placeOf(id)
		switch {
		case p == nil:
			close(q.answer)
		case p.serves(): // the coordinators were quicker
			q.answer <- p.named
			close(q.answer)
		default:
			p.found("")
			p.quest = q
			k.seek(p, now)
		}
	}
}

// seek begins to draw from a neighbour, unless one feeds the stream already.
func (k *keeper) seek(p *place, now int64) {
	if p.local && p.current != nil {
		p.found(p.current.peer.ID)
		return
	}
	p.placed, p.local, p.layers, p.orphan = true, true, region.AllLayers, false
	if p.drawn = p.s.all(); p.drawn == 0 {
		p.drawn = region.AllLayers // what it has will be told
	} else if d := p.demand(); d.layers != 0 {
		p.drawn = d.layers
	}
	p.s.setLocal(true)
	k.refresh(p, now)
	if len(p.ups) == 0 {
		k.forsake(p)
	}
}

// refresh makes the neighbours that have the stream those it may be drawn from, the
// present ones first, then whose link carries something already, then the nearest.
func (k *keeper) refresh(p *place, now int64) {
	raw, rate := k.r.permitFor(p.s.id), p.s.rate(p.drawn)
	p.ups = slices.DeleteFunc(p.ups, func(u *upstream) bool {
		return u.state == idle && u != p.lost && now >= u.until
	})
	var more []*acquaintance
	for id, a := range k.peers.known {
		able := a.link.State() == link.Up && a.has(p.s.id) && a.stock.free > 0 && a.stock.free >= rate
		if raw != nil && able && now >= a.spared && p.upstream(id) == nil {
			more = append(more, a)
		}
	}
	slices.SortFunc(more, func(a, b *acquaintance) int {
		return cmp.Or(-cmp.Compare(a.feeds, b.feeds), cmp.Compare(a.link.RTT(), b.link.RTT()), cmp.Compare(a.link.Peer().ID, b.link.Peer().ID))
	})
	for _, a := range more[:min(len(more), max(maxLocal-len(p.ups), 0))] {
		p.ups = append(p.ups, &upstream{peer: a.link.Peer(), grant: raw, link: a.link})
	}
	if p.current == nil && len(p.ups) > 0 {
		p.named = p.ups[0].peer.ID
	}
}

// forsake gives up: no neighbour feeds the stream. Who was fed before keeps looking
// until somebody else decides.
func (k *keeper) forsake(p *place) {
	if p.quest != nil && p.failed == "" {
		k.unplace(p.s)
		return
	}
	if p.quest == nil && !p.orphan {
		k.r.emit(Forsaken{p.s.id})
	}
	p.orphan = true
	p.found("")
}

// settle notes that a neighbour feeds the stream.
func (k *keeper) settle(p *place, parent region.MemberID, failed region.MemberID, cause Fault) {
	p.named = parent
	if p.quest == nil {
		k.r.emit(Settled{p.s.id, parent, failed, cause})
	}
	p.found(parent)
}

// refusedLocally takes a neighbour's refusal, and what it knows of others.
func (k *keeper) refusedLocally(p *place, u *upstream, m *link.Message) {
	if a := k.peers.known[u.peer.ID]; a != nil && m.Fault == link.Overloaded {
		a.spared = k.r.now() + int64(refusedTime)
	}
	for _, id := range m.Path[:min(len(m.Path), maxHints)] {
		if o := k.peers.known[id]; o != nil && id != u.peer.ID {
			o.hint(p.s.id)
		}
	}
}

// cramped notes that the neighbour which feeds a stream does not feed what is wanted of
// it by now: others may.
func (k *keeper) cramped(p *place, u *upstream) {
	if now := k.r.now(); u == p.current && now-p.complained > int64(edgeSilence) {
		p.complained = now
		k.r.emit(Cramped{p.s.id})
	}
}

// learn takes what a stream is from a neighbour; false if that cannot be.
func (k *keeper) learn(p *place, record *region.Stream) bool {
	if record == nil {
		return len(p.s.record().Layers) > 0
	}
	k.r.mu.Lock()
	defer k.r.mu.Unlock()
	if s := k.r.bySource(record.SSRC); s != nil && s != p.s {
		return false
	}
	if _, err := k.r.open(*record); err != nil {
		return false
	}
	p.drawn &= p.s.all()
	return p.drawn != 0
}

// setLocal says whether this member's place is one that no tree knows.
func (s *stream) setLocal(local bool) {
	s.mu.Lock()
	s.local = local
	s.mu.Unlock()
}

// Record is what is known of a stream.
func (r *Relay) Record(id region.StreamID) region.Stream {
	r.mu.Lock()
	s := r.streams[id]
	r.mu.Unlock()
	if s == nil {
		return region.Stream{}
	}
	return s.record()
}

// record is what the stream is, as far as is known.
func (s *stream) record() region.Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info
}
