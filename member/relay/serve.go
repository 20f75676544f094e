package relay

import (
	"slices"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// admit answers a Draw.
func (k *keeper) admit(from *link.Link, m *link.Message) {
	reply := link.Message{Kind: link.DrawReply, ID: m.ID, Stream: m.Stream}
	p := k.placeOf(m.Stream)
	if p != nil {
		k.seeOrigin(p)
	}
	reply.Fault = k.judge(p, from, m)
	if reply.Fault == 0 {
		k.attach(p, from, m)
		reply.Path = p.path
		p.s.mu.Lock()
		reply.Tips = p.s.tips()
		p.s.mu.Unlock()
	}
	_ = from.Send(&reply)
	k.r.writer.kick(true)
}

// seeOrigin lets a published stream serve children before its assignment came.
func (k *keeper) seeOrigin(p *place) {
	p.s.mu.Lock()
	origin := p.s.info.Origin == k.r.cfg.Self
	p.s.mu.Unlock()
	if origin && !p.origin {
		p.origin = true
		p.path = []region.MemberID{k.r.cfg.Self}
	}
}

// judge says why a Draw is refused; 0 if it is not.
func (k *keeper) judge(p *place, from *link.Link, m *link.Message) Fault {
	child := from.Peer()
	g, err := k.r.cfg.OpenGrant(m.Grant)
	switch {
	case err != nil, g.Stream != m.Stream, g.Child != child.ID, g.Parent != k.r.cfg.Self, g.Lease < child.Lease:
		return link.BadGrant
	case p == nil || !(p.placed || p.origin):
		return link.NoStream
	case k.r.leaving.Load():
		return link.Leaving
	case slices.Contains(p.path, child.ID), k.drawsFrom(p, child.ID):
		return link.Loop
	}
	sum, uplink := k.admitted()+p.s.rate(m.Layers), region.Rate(k.r.uplink.Load())
	for _, c := range *p.s.children.Load() {
		// What the child draws already, and what was sent to the parent it lost:
		// that one needs it no more, though this member cannot know that yet.
		if c.link == from || c.link.Peer().ID == m.Failed {
			sum -= p.s.rate(c.layers)
		}
	}
	if sum > uplink && (sum > 2*uplink || !p.entitles(child.ID, g)) {
		return link.Overloaded
	}
	return 0
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

// admitted is what the attached children draw by their streams' rates.
func (k *keeper) admitted() (sum region.Rate) {
	for _, p := range k.all {
		for _, c := range *p.s.children.Load() {
			sum += p.s.rate(c.layers)
		}
	}
	return sum
}

func (s *stream) rate(layers region.LayerMask) region.Rate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info.Rate(layers)
}

// attach makes the peer a child. The same Draw again changes nothing.
func (k *keeper) attach(p *place, from *link.Link, m *link.Message) {
	c := p.s.childOf(from)
	if c != nil && c.draw == m.ID && c.session == from.Session() {
		return
	}
	fresh := &child{link: from, session: from.Session(), draw: m.ID, layers: m.Layers, resume: m.Tips, tokens: resendBurst}
	children := slices.DeleteFunc(slices.Clone(*p.s.children.Load()), func(o *child) bool { return o == c })
	children = append(children, fresh)
	slices.SortFunc(children, func(a, b *child) int {
		if a.link.Peer().ID < b.link.Peer().ID {
			return -1
		}
		return 1
	})
	p.s.children.Store(&children)
	p.s.dirty.Store(true)
	if len(m.Tips) == 0 {
		p.wanted |= m.Layers & p.s.unkeyed()
	}
	p.tipsSent = 0
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
		u.until = k.r.now() + int64(refusedTime)
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

// checkChildren detaches those whose link has lost its session.
func (k *keeper) checkChildren(p *place) {
	for _, c := range *p.s.children.Load() {
		if c.link.State() == link.Connecting || c.link.Session() != c.session {
			k.detach(p, c)
		}
	}
}

// setPath notes the path to the parent and tells the children.
func (k *keeper) setPath(p *place, parents []region.MemberID) {
	var path []region.MemberID
	if len(parents) > 0 {
		path = append(slices.Clone(parents), k.r.cfg.Self)
		path = path[max(0, len(path)-link.MaxPath):]
	}
	if !slices.Equal(path, p.path) {
		p.path = path
		p.pathSent = 0
	}
}

// pathCame takes the parent's path.
func (k *keeper) pathCame(from *link.Link, m *link.Message) {
	p := k.places[m.Stream]
	if p == nil {
		return
	}
	p.hear(from, k.r.now())
	if p.current == nil || p.current.link != from {
		return
	}
	if slices.Contains(m.Path, k.r.cfg.Self) {
		u := p.current
		k.lose(p, link.Loop)
		k.fail(p, u, link.Loop, k.r.now())
		return
	}
	k.setPath(p, m.Path)
}

// tipsCame notices the loss of the last packets before a pause. All tips of a
// message are of one stream.
func (k *keeper) tipsCame(from *link.Link, m *link.Message) {
	if len(m.Tips) == 0 {
		return
	}
	s := k.r.bySource(m.Tips[0].SSRC)
	if s == nil || s.feedOf(from) == nil {
		return
	}
	now := k.r.now()
	if p := k.places[s.id]; p != nil {
		if u := p.hear(from, now); u != nil {
			u.ends = m.Tips
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range m.Tips {
		ly := s.layer(t.SSRC)
		switch {
		case ly == nil:
		case ly.expect(t.Index, now):
			s.repair.Store(true)
		case t.Index == ly.next && s.last != 0:
			s.last = now // a pause, not a gap
		}
	}
}

// inform tells the children of a place the path and, in a pause, the tips.
func (k *keeper) inform(p *place, now int64) (due int64) {
	due = now + int64(idleTick)
	children := *p.s.children.Load()
	if len(children) == 0 {
		return due
	}
	if p.pathSent == 0 || now-p.pathSent > int64(pathInterval) {
		p.pathSent = now
		for _, c := range children {
			_ = c.link.Send(&link.Message{Kind: link.Path, Stream: p.s.id, Path: p.path})
		}
	}
	moved := p.s.moved.Load()
	if moved != p.tipsFor {
		p.tipsFor, p.tipsSent = moved, 0
	}
	if p.tipsSent == len(tipsAfter) {
		return due
	}
	at := moved + int64(tipsAfter[p.tipsSent])
	if now < at {
		return min(due, at)
	}
	p.tipsSent++
	m := link.Message{Kind: link.Tips}
	p.s.mu.Lock()
	m.Tips = p.s.tips()
	if len(m.Tips) == 0 {
		m.Tips = []link.Tip{{SSRC: p.s.info.SSRC}}
	}
	p.s.mu.Unlock()
	for _, c := range children {
		_ = c.link.Send(&m)
	}
	return min(due, now+int64(tipsAfter[0]))
}
