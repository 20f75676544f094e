package relay

import (
	"slices"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

const (
	// minRetry is how soon an unanswered request is repeated at the earliest.
	minRetry = 20 * time.Millisecond
	// answerTime is how long a peer whose link is up may leave a Draw unanswered,
	// or three round trips if that is longer.
	answerTime = 250 * time.Millisecond
	// linkTime is how long a draw waits for its link to come up.
	linkTime = 4 * time.Second
	// A peer that refused is set aside for a while; one that has not got the
	// stream yet only shortly, for its own assignment may be on the way.
	refusedTime  = time.Second
	noStreamTime = 50 * time.Millisecond
	noStreamMax  = 3 * time.Second
	// edgeSilence is how long a parent may say nothing about a stream, not even its
	// path, although its link is up: then it has forgotten this child.
	edgeSilence = 5 * time.Second
)

// draw moves a place one step towards being fed by the parent it was assigned, or
// the best standby, and returns when to look again.
func (k *keeper) draw(p *place, now int64) (due int64) {
	due = now + int64(idleTick)
	if p.origin || !p.placed || p.named == "" {
		return due
	}
	for _, u := range p.ups {
		k.watch(p, u, now)
	}
	k.promote(p)
	k.choose(p, now)
	if p.target != nil {
		due = min(due, k.ask(p, p.target, now))
	}
	for _, u := range p.ups {
		if u.until > now {
			due = min(due, u.until)
		}
	}
	return due
}

// watch notices what has become of an upstream.
func (k *keeper) watch(p *place, u *upstream, now int64) {
	if u.state == idle || u.link == nil {
		return
	}
	gone := u.asked != 0 && u.link.Session() != u.session || u.state == drawn && u.link.State() == link.Connecting
	switch {
	case gone && u == p.current:
		k.lose(p, link.SilentPeer)
		k.reset(p, u)
	case gone && u == p.target:
		u.state, u.asked, u.alive = drawing, 0, false // ask again in the new session
	case gone:
		k.reset(p, u)
	case u == p.current && u.link.State() == link.Silent:
		k.lose(p, link.SilentPeer)
	case u == p.target && u.state == drawn && u.link.State() == link.Silent:
		k.fail(p, u, link.SilentPeer, now)
	case u == p.current && now-max(u.heard, p.s.moved.Load()) > int64(edgeSilence):
		k.lose(p, link.SilentPeer)
	case u == p.lost && u.link.State() == link.Up && (p.target == nil || p.target.state != drawn):
		// It only stalled, and nobody else has taken over. Whether it still feeds
		// this member is not known: draw again.
		if p.target != nil {
			k.quit(p, p.target)
		}
		p.lost = nil
		k.aim(p, u, now)
	}
	if u.state == drawn && !u.alive && u.feed.flowing() {
		u.alive = true
	}
}

// lose notes that the current parent fails. What it still sends is welcome.
func (k *keeper) lose(p *place, cause Fault) {
	p.lost, p.failed, p.current, p.cause = p.current, p.current.peer.ID, nil, cause
	p.left = p.revision
	k.note(p)
}

// fail sets an upstream aside.
func (k *keeper) fail(p *place, u *upstream, fault Fault, now int64) {
	wait := refusedTime
	quiet := false
	if fault == link.NoStream {
		if u.failing == 0 {
			u.failing = now
		}
		if now-u.failing < int64(noStreamMax) {
			wait, quiet = noStreamTime, true
		}
	}
	u.until = now + int64(wait)
	k.quit(p, u)
	if !quiet {
		k.r.cfg.Logger.Debug("parent refused", "stream", p.s.id, "peer", u.peer.ID, "fault", fault.String())
		k.r.emit(Refused{p.s.id, u.peer.ID, fault})
	}
}

// promote makes the target the current parent once it carries the stream, then
// drops the old one: make before break.
func (k *keeper) promote(p *place) {
	u := p.target
	if u == nil || u.state != drawn || !u.alive {
		return
	}
	if p.current != nil && !p.s.level(u.feed, p.layers, u.ends) {
		return // it may have begun later than this member needs
	}
	old := p.current
	if old == nil {
		old = p.lost
	}
	cause := p.cause
	p.current, p.target, p.lost, p.orphan, p.cause = u, nil, nil, false, 0
	switch {
	case u.peer.ID == p.named:
		k.r.emit(Established{p.s.id, u.peer.ID, p.revision})
	case cause != 0 && u.peer.ID == p.failed: // it only stalled
	default:
		from := p.failed
		if cause == 0 { // the assigned parent was never reached
			from, cause = p.named, link.Unreachable
		}
		k.r.emit(ParentSwitched{p.s.id, from, u.peer.ID, cause})
	}
	if old != nil && old != u {
		k.quit(p, old)
		if old.peer.ID != p.named && !k.peers.assignedTo(p.s.id, old.peer.ID) {
			p.ups = slices.DeleteFunc(p.ups, func(o *upstream) bool { return o == old })
		}
	}
	k.note(p)
	k.setFeeds(p)
}

// choose picks a target if one is needed.
func (k *keeper) choose(p *place, now int64) {
	if p.current != nil {
		// The assigned parent, unless it has failed under this very assignment.
		u := p.upstream(p.named)
		if p.target == nil && u != nil && u != p.current && u.usable(now) && p.revision > p.left && u.link.State() == link.Up {
			k.aim(p, u, now)
		}
		return
	}
	k.choosePresent(p, now)
	// A parent named since the loss has a link to build first.
	fresh := p.cause == 0 || p.target != nil && p.target.peer.ID == p.named && p.named != p.failed && p.revision > p.left
	if p.orphan || (p.target != nil && (fresh || p.target.link.State() == link.Up)) || p.awaited(now) {
		return
	}
	p.orphan = true
	failed := make([]region.MemberID, 0, len(p.ups))
	for _, u := range p.ups {
		failed = append(failed, u.peer.ID)
	}
	k.r.emit(Orphaned{p.s.id, failed})
}

// choosePresent picks a target when nobody carries the stream: the first of those
// whose link is up, else the first whose link may come up.
func (k *keeper) choosePresent(p *place, now int64) {
	waiting := p.target != nil && p.target.link.State() != link.Up
	if (p.target != nil && !waiting) || (p.cause == 0 && p.awaited(now)) {
		return
	}
	for _, up := range []bool{true, false} {
		for _, u := range p.ups {
			if u == p.target || u == p.lost || !u.usable(now) || (u.link.State() == link.Up) != up {
				continue
			}
			if !up && waiting {
				return
			}
			// While the parent's link is being built for the first time, standbys
			// are left alone for a while.
			if waiting && p.cause == 0 && p.target.peer.ID == p.named && now-p.target.since < int64(linkTime)/4 {
				return
			}
			if p.target != nil {
				k.quit(p, p.target)
			}
			k.aim(p, u, now)
			return
		}
	}
}

// awaited says whether an upstream is about to be asked again that had not got
// the stream yet.
func (p *place) awaited(now int64) bool {
	for _, u := range p.ups {
		if u.failing != 0 && now-u.failing < int64(noStreamMax) && u.until > now {
			return true
		}
	}
	return false
}

func (k *keeper) aim(p *place, u *upstream, now int64) {
	p.target = u
	u.state, u.since, u.asked, u.alive, u.feed, u.ends = drawing, now, 0, false, nil, nil
	k.setFeeds(p)
}

// ask sends the Draw to the target, again if need be, and gives up in the end.
func (k *keeper) ask(p *place, u *upstream, now int64) (due int64) {
	switch {
	case u.state == drawn:
		return now + int64(minRetry)
	case u.link.State() != link.Up:
		if now-u.since > int64(linkTime) {
			k.fail(p, u, link.Unreachable, now)
			return now
		}
		return u.since + int64(linkTime)/4
	}
	retry := max(2*u.link.RTT(), minRetry)
	if u.asked != 0 && now-u.asked < int64(retry) {
		return u.asked + int64(retry)
	}
	if u.asked == 0 {
		k.drawID++
		u.id, u.session, u.since = k.drawID, u.link.Session(), now
	} else if now-u.since > int64(max(answerTime, 3*u.link.RTT())) {
		k.fail(p, u, link.SilentPeer, now)
		return now
	}
	u.asked = now
	p.s.mu.Lock()
	tips := p.s.tips()
	p.s.mu.Unlock()
	m := &link.Message{Kind: link.Draw, ID: u.id, Stream: p.s.id, Layers: p.layers, Grant: u.grant, Tips: tips}
	if p.current == nil && p.cause != 0 {
		m.Failed = p.failed
	}
	_ = u.link.Send(m)
	return now + int64(retry)
}

// replied takes the answer to a Draw.
func (k *keeper) replied(from *link.Link, m *link.Message) {
	p := k.places[m.Stream]
	if p == nil || p.target == nil || p.target.link != from || p.target.id != m.ID || p.target.state != drawing {
		return
	}
	u := p.target
	now := k.r.now()
	switch {
	case m.Fault != 0:
		k.fail(p, u, m.Fault, now)
		return
	case slices.Contains(m.Path, k.r.cfg.Self):
		k.fail(p, u, link.Loop, now)
		return
	}
	u.state, u.failing, u.heard = drawn, 0, now
	k.recarr = true
	p.s.mu.Lock()
	p.s.goLive(m.Tips)
	p.s.mu.Unlock()
	k.setPath(p, m.Path)
}
