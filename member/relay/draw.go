package relay

import (
	"slices"
	"time"

	"github.com/skein-mesh/skein/member/link"
)

const (
	// minRetry is how soon an unanswered request is repeated at the earliest.
	minRetry = 20 * time.Millisecond
	// answerTime is how long a peer whose link is up may leave a Draw unanswered,
	// or three round trips if that is longer; where answers have taken longer of late, twice
	// as long as they did, up to answerMost.
	answerTime = 250 * time.Millisecond
	answerMost = time.Second
	// How long they took fades by a share of answersFade with every answer.
	answersFade = 8
	// levelTime is how long the old parent is kept after the new one was asked, if
	// that never gets level: it may have less room. What is missing for so long is in
	// nobody's ring any more; and coordinators take back what lasts for 5 s.
	levelTime = 2 * time.Second
	// renewInterval between two showings of a grant that replaces an older one.
	renewInterval = time.Second
	// linkTime is how long a draw waits for its link to come up.
	linkTime = 4 * time.Second
	// A peer that refused is set aside for a while; one that has not got the
	// stream yet only shortly, for its own assignment may be on the way.
	refusedTime  = time.Second
	noStreamTime = 50 * time.Millisecond
	noStreamMax  = 3 * time.Second
	// stallTime is how long a silent parent is waited for while a standby sends what is
	// needed: it may only have stalled.
	stallTime = 200 * time.Millisecond
	// edgeSilence is how long a parent may say nothing about a stream, not even its
	// path, although its link is up: then it has forgotten this child.
	edgeSilence = 5 * time.Second
)

// draw moves a place one step towards being fed by the parent it was assigned, or
// the best standby, and returns when to look again.
func (k *keeper) draw(p *place, now int64) (due int64) {
	due = now + int64(idleTick)
	if p.local && p.current == nil && p.target == nil {
		k.refresh(p, now)
	}
	if p.origin || !p.placed || p.named == "" {
		return due
	}
	for _, u := range p.ups {
		due = min(due, k.watch(p, u, now))
		if u.renewed && u.link.State() == link.Up && (u.shown == 0 || now-u.shown > int64(renewInterval+4*k.r.cfg.Late())) {
			u.shown = now
			_ = u.link.Send(k.drawMessage(p, u))
		}
	}
	k.promote(p)
	k.choose(p, now)
	if k.places[p.s.id] != p {
		return due // it was given up
	}
	if p.target != nil {
		due = min(due, k.ask(p, p.target, now))
	}
	due = min(due, k.double(p, now))
	for _, u := range p.ups {
		if u.until > now {
			due = min(due, u.until)
		}
	}
	return due
}

// watch notices what has become of an upstream, and returns when to look again.
func (k *keeper) watch(p *place, u *upstream, now int64) (due int64) {
	due = now + int64(idleTick)
	if u.state == idle || u.link == nil {
		return due
	}
	if u.link.State() != link.Silent {
		u.silent = 0
	} else if u.silent == 0 {
		u.silent = now
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
	case u == p.current && u.silent != 0 && now < u.silent+int64(stallTime) && p.extra.carries():
		due = u.silent + int64(stallTime)
	case u == p.current && u.silent != 0:
		k.lose(p, link.SilentPeer)
	case u == p.target && u.state == drawn && u.link.State() == link.Silent:
		k.fail(p, u, link.SilentPeer, now)
	case u == p.extra && u.link.State() != link.Up:
		k.quit(p, u)
	case u == p.current && now-max(u.heard, p.s.moved.Load()) > int64(edgeSilence) && p.got != 0 && p.drawn != 0:
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
	return due
}

// carries says whether u, which may be nil, sends the stream.
func (u *upstream) carries() bool {
	return u != nil && u.state == drawn && u.link.State() == link.Up && u.feed.flowing()
}

// lose notes that the current parent fails. What it still sends is welcome.
func (k *keeper) lose(p *place, cause Fault) {
	p.lost, p.failed, p.current, p.cause = p.current, p.current.peer.ID, nil, cause
	p.left = p.revision
	p.s.bereave()
	k.note(p)
}

// fail sets an upstream aside.
func (k *keeper) fail(p *place, u *upstream, fault Fault, now int64) {
	wait := refusedTime
	quiet := false
	if fault == link.NoStream && !p.local {
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
	}
	if !quiet && !p.local { // of neighbours that refuse by themselves nobody need hear
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
	if p.current != nil && !p.s.level(u.feed, p.drawn&p.givenBy(u), u.ends) && k.r.now()-u.since < int64(levelTime) {
		return // it may have begun later than this member needs
	}
	old := p.current
	if old == nil {
		old = p.lost
	}
	cause := p.cause
	p.current, p.target, p.lost, p.orphan, p.cause = u, nil, nil, false, 0
	switch {
	case p.local:
		k.settle(p, u.peer.ID, p.failed, cause)
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
		p.s.askAnew()
		k.quit(p, old)
		if old.peer.ID != p.named && !k.peers.assignedTo(p.s.id, old.peer.ID) {
			p.ups = slices.DeleteFunc(p.ups, func(o *upstream) bool { return o == old })
		}
	}
	k.note(p)
	k.setFeeds(p)
}

// begin starts to draw from u.
func (k *keeper) begin(p *place, u *upstream, now int64) {
	u.state, u.since, u.asked, u.alive, u.feed, u.ends, u.doubled = drawing, now, 0, false, nil, nil, false
	k.setFeeds(p)
}

// ask sends the Draw to the target, again if need be, and gives up in the end.
func (k *keeper) ask(p *place, u *upstream, now int64) (due int64) {
	switch {
	case u.state == drawn:
		return now + int64(minRetry)
	case u.link.State() != link.Up && p.local:
		k.fail(p, u, link.Unreachable, now)
		return now
	case u.link.State() != link.Up:
		if now-u.since > int64(linkTime) {
			k.fail(p, u, link.Unreachable, now)
			return now
		}
		return u.since + int64(linkTime)/4
	}
	// A machine that is busy is not asked more often for that, nor does one that is busy ask.
	retry := max(2*u.link.RTT(), minRetry, time.Duration(u.asked-u.since)) + 2*k.r.cfg.Late()
	if u.asked != 0 && now-u.asked < int64(retry) {
		return u.asked + int64(retry)
	}
	if u.asked == 0 {
		k.drawID++
		u.id, u.session, u.since, u.waits = k.drawID, u.link.Session(), now, true
	} else if now-u.since > int64(k.patience(u)) {
		k.fail(p, u, link.SilentPeer, now)
		return now
	}
	u.asked = now
	_ = u.link.Send(k.drawMessage(p, u))
	return now + int64(retry)
}

// patience is how long an answer is waited for. Question and answer are read and decided upon,
// here and there, and the peer may be as busy as this process is.
func (k *keeper) patience(u *upstream) time.Duration {
	return max(answerTime, 3*u.link.RTT(), min(2*k.answers, answerMost)) + 4*k.r.cfg.Late()
}

// timed learns how long answers take, also from those that come too late: who gives up those
// who are merely busy makes them busier.
func (k *keeper) timed(u *upstream, now int64) {
	if u.waits {
		u.waits = false
		took := time.Duration(now-u.since) - u.link.RTT()
		k.answers = max(took, k.answers-k.answers/answersFade)
	}
}

func (k *keeper) drawMessage(p *place, u *upstream) *link.Message {
	u.told = p.request()
	if u.granted && u.state == drawn {
		return &link.Message{Kind: link.Draw, ID: u.id, Stream: p.s.id, Layers: p.drawn, Priority: p.priority, Extra: u == p.extra, Voice: p.voices}
	}
	m := &link.Message{
		Kind: link.Draw, ID: u.id, Stream: p.s.id, Layers: p.drawn, Priority: p.priority, Extra: u == p.extra, Voice: p.voices, Grant: u.grant,
	}
	m.Tips = p.s.tips(p.drawn)
	if p.current == nil && p.cause != 0 {
		m.Failed = p.failed
	}
	if p.local && k.peers.seen(u) {
		m.Grant = nil
	}
	return m
}

// replied takes the answer to a Draw.
func (k *keeper) replied(from *link.Link, m *link.Message) {
	p := k.places[m.Stream]
	if p == nil {
		return
	}
	for _, u := range p.ups {
		if u.link != from || u.id != m.ID {
			continue
		}
		k.timed(u, k.r.now())
		if p.local && k.peers.answered(u, m.Fault) && u.state == drawing {
			u.asked = 0 // it is asked again, and shown the permit
			return
		}
		switch {
		case u.state != drawn:
		case m.Fault == 0:
			u.accepted(p)
			u.granted = true
			k.recarr = true
		case p.local && m.Fault == link.Overloaded:
			k.cramped(p, u)
		case u.granted: // it has forgotten
			u.granted = false
			u.renew()
		}
	}
	u := p.target
	if u == nil || u.link != from || u.id != m.ID || u.state != drawing {
		k.repliedExtra(p, from, m)
		return
	}
	now := k.r.now()
	switch {
	case m.Fault == link.Overloaded && u.doubled: // for an extra copy; it is no such any more
		u.asked, u.doubled = 0, false
		return
	case m.Fault != 0 && p.local:
		k.refusedLocally(p, u, m)
		fallthrough
	case m.Fault != 0:
		k.fail(p, u, m.Fault, now)
		return
	case p.local && !k.learn(p, m.Record):
		k.fail(p, u, link.BadGrant, now)
		return
	case slices.Contains(m.Path, k.r.cfg.Self):
		k.fail(p, u, link.Loop, now)
		return
	}
	u.state, u.failing, u.heard, u.ends = drawn, 0, now, m.Tips
	u.accepted(p) // which may have changed while the answer was on its way
	u.renewed = u.renewed || u.doubled
	k.recarr = true
	p.s.mu.Lock()
	p.s.goLive(m.Tips)
	p.s.mu.Unlock()
	k.setPath(p, m.Path)
}
