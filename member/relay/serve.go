package relay

import (
	"slices"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// admit answers a Draw.
func (k *keeper) admit(from *link.Link, m *link.Message) {
	reply := link.Message{Kind: link.DrawReply, ID: m.ID, Stream: m.Stream}
	p := k.placeOf(m.Stream)
	if p != nil && len(m.Grant) == 0 {
		if c := p.s.childOf(from); c.drew(from, m) && !c.permit.Load() { // it wants something else of what it draws already
			rested := c.want.Load() == 0
			k.attach(p, from, m, c.expires, false)
			_ = from.Send(&reply)
			if rested {
				_ = from.Send(p.pathMessage(c))
			}
			k.r.writer.kick(true)
			return
		}
	}
	turned := false
	if p != nil {
		k.seeOrigin(p)
		turned = p.s.childOf(from).turns(from, m)
	}
	var grant trust.Grant
	if grant, reply.Fault = k.judge(p, from, m); reply.Fault == 0 {
		k.attach(p, from, m, grant.Expires, grant.Permit())
		reply.Path = p.path
		reply.Tips = p.s.tips(p.atHand())
	}
	switch {
	case reply.Fault == link.BadGrant || !grant.Permit():
	case reply.Fault == 0:
		record := p.s.record()
		reply.Record, reply.Path = &record, nil
	default:
		reply.Path = k.hints(p)
		k.leaf.refused.Add(1)
	}
	_ = from.Send(&reply)
	if reply.Fault == 0 && !turned {
		_ = from.Send(p.tipsMessage(m.Layers))
	}
	k.r.writer.kick(true)
}

// seeOrigin lets a published stream serve children before its assignment came.
func (k *keeper) seeOrigin(p *place) {
	p.s.mu.Lock()
	origin := p.s.info.Origin == k.r.cfg.Self
	p.s.mu.Unlock()
	if origin && !p.origin {
		p.origin, p.drawn = true, p.s.all()
		p.path = []region.MemberID{k.r.cfg.Self}
	}
}

// judge says why a Draw is refused; 0 if it is not.
func (k *keeper) judge(p *place, from *link.Link, m *link.Message) (trust.Grant, Fault) {
	child := from.Peer()
	g, err := k.openGrant(from, m)
	switch {
	case err == nil && g.Permit():
		return g, k.judgePermit(p, from, m, g)
	case err != nil, g.Stream != m.Stream, g.Child != child.ID, g.Parent != k.r.cfg.Self, g.Lease < child.Lease:
		return g, link.BadGrant
	case p == nil || !(p.placed || p.origin):
		return g, link.NoStream
	case k.r.leaving.Load():
		return g, link.Leaving
	case slices.Contains(p.path, child.ID), k.drawsFrom(p, child.ID):
		return g, link.Loop
	}
	if u := p.extra; u != nil && u.peer.ID == child.ID {
		k.spare(p, u, k.r.now()) // or the two would ask one another for ever
	}
	sum, uplink := k.admitted(m.Extra)+p.s.rate(m.Layers), region.Rate(k.r.uplink.Load())
	for _, c := range *p.s.children.Load() {
		if c.extra && !m.Extra {
			continue // not in the sum
		}
		// What the child draws already, and what was sent to the parent it lost:
		// that one needs it no more, though this member cannot know that yet.
		if c.link == from || c.link.Peer().ID == m.Failed {
			sum -= p.s.rate(region.LayerMask(c.want.Load()))
		}
	}
	if sum > uplink && (m.Extra || sum > 2*uplink || !p.entitles(child.ID, g)) {
		return g, link.Overloaded
	}
	return g, 0
}

// entitles says whether the coordinators count a child among those of this
// member. Then there is room as soon as somebody who is leaving has left, and he
// may be waiting for this very child: until then more is sent than the uplink.
func (p *place) entitles(child region.MemberID, g trust.Grant) bool {
	return p.children[child] || !g.Standby && g.Revision > p.revision
}

// drawsFrom says whether this member itself draws, or asks to draw, from a peer:
// then the two must not feed one another. If both ask at once, both are refused.
func (k *keeper) drawsFrom(p *place, id region.MemberID) bool {
	for _, u := range []*upstream{p.current, p.target} {
		if u != nil && u.peer.ID == id && (u.state == drawn || u.asked != 0) {
			return true
		}
	}
	return false
}

// admitted is what the attached children draw by their streams' rates, with or without
// those that draw a second copy.
func (k *keeper) admitted(extra bool) (sum region.Rate) {
	for _, p := range k.all {
		for _, c := range *p.s.children.Load() {
			if c.extra && !extra {
				continue
			}
			sum += p.s.rate(region.LayerMask(c.want.Load()))
		}
	}
	return sum
}

func (s *stream) rate(layers region.LayerMask) region.Rate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info.Rate(layers)
}

// drew says whether it was for that very Draw that c was made a child.
func (c *child) drew(from *link.Link, m *link.Message) bool {
	return c != nil && c.draw == m.ID && c.session == from.Session()
}

// turns says whether c, which is fed, wants something else of what it draws by that Draw.
func (c *child) turns(from *link.Link, m *link.Message) bool {
	return c.drew(from, m) && c.want.Load() != 0 &&
		(c.want.Load() != uint32(m.Layers) || c.voice.Load() != m.Voice || c.priority != m.Priority)
}

// attach makes the peer a child until expires, for a permit or by a grant. The same Draw
// again changes nothing else.
func (k *keeper) attach(p *place, from *link.Link, m *link.Message, expires time.Time, permit bool) {
	c := p.s.childOf(from)
	if c.drew(from, m) {
		c.voice.Store(m.Voice)
		c.muted = c.muted && m.Voice
		c.expires, c.priority, c.extra = expires, m.Priority, m.Extra
		k.recarr = c.permit.Swap(permit) != permit || k.recarr
		c.want.Store(uint32(m.Layers))
		k.makeRoom()
		k.shareOf(p)
		return
	}
	fresh := &child{
		link: from, session: from.Session(), draw: m.ID, resume: m.Tips, expires: expires, tokens: resendBurst,
		priority: m.Priority, extra: m.Extra,
	}
	fresh.voice.Store(m.Voice)
	fresh.permit.Store(permit)
	fresh.want.Store(uint32(m.Layers))
	fresh.allowed.Store(uint32(m.Layers))
	p.s.mu.Lock()
	for i, ly := range p.s.layers {
		if ly != nil {
			fresh.came[i] = ly.next
		}
	}
	p.s.mu.Unlock()
	children := slices.DeleteFunc(slices.Clone(*p.s.children.Load()), func(o *child) bool { return o == c })
	children = append(children, fresh)
	slices.SortFunc(children, func(a, b *child) int {
		if a.link.Peer().ID < b.link.Peer().ID {
			return -1
		}
		return 1
	})
	p.s.children.Store(&children)
	if permit {
		k.leaf.admitted.Add(1)
	}
	k.makeRoom()
	k.shareOf(p)
	p.s.soil()
	if len(m.Tips) == 0 {
		p.wanted |= m.Layers & p.s.unkeyed()
	}
	k.recarr = true
	if c == nil {
		k.r.emit(ChildAttached{p.s.id, from.Peer().ID})
	} else {
		p.s.retire(c)
	}
	k.r.cfg.Logger.Debug("child attached", "stream", p.s.id, "child", from.Peer().ID)
}

// detach ends the feeding of a child.
func (k *keeper) detach(p *place, c *child) {
	children := slices.DeleteFunc(slices.Clone(*p.s.children.Load()), func(o *child) bool { return o == c })
	p.s.children.Store(&children)
	p.s.retire(c)
	k.recarr = true
	k.r.emit(ChildDetached{p.s.id, c.link.Peer().ID})
}

// dismiss detaches a child and tells it: it need not wait for silence.
func (k *keeper) dismiss(p *place, c *child) {
	_ = c.link.Send(&link.Message{Kind: link.Dismiss, Stream: p.s.id})
	k.detach(p, c)
}

// dismissed takes the word of a parent that it feeds this member no longer.
func (k *keeper) dismissed(p *place, from *link.Link) {
	for _, u := range p.ups {
		if u.link != from || u.state != drawn {
			continue
		}
		if u == p.current {
			k.lose(p, link.NoStream)
		}
		if u == p.extra {
			u.spared = k.r.now() + int64(extraPause)
		} else {
			u.until = k.r.now() + int64(refusedTime)
		}
		k.reset(p, u)
	}
}

// retire keeps the counters of a child that is no more.
func (s *stream) retire(c *child) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.PacketsSent += c.packets.Load()
	s.stats.BytesSent += c.bytes.Load()
	s.stats.PacketsDropped += c.dropped.Load()
}

// checkChildren detaches those whose link has lost its session, and those whose
// grant has ended. While coordinators are silent grants last: nobody can renew them.
func (k *keeper) checkChildren(p *place) {
	for _, c := range *p.s.children.Load() {
		switch {
		case c.link.State() == link.Connecting || c.link.Session() != c.session:
			k.detach(p, c)
		case time.Now().After(c.expires) && k.r.assigned.Load() > c.expires.UnixMilli():
			k.r.cfg.Logger.Info("grant of a child has ended", "stream", p.s.id, "child", c.link.Peer().ID)
			k.dismiss(p, c)
		}
	}
}
