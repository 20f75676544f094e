package relay

import (
	"slices"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// The path is repeated to children every pathInterval; while the stream flows,
// twice as long after each time, up to maxPathInterval.
const pathInterval, maxPathInterval = 2 * time.Second, 64 * time.Second

// tipsAfter are the times of silence of a stream at which children are told
// where it ended, if it says something more often.
var tipsAfter = [...]time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond}

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
	if u := p.hear(from, k.r.now()); u != nil {
		u.feed.given.Store(uint32(m.Layers))
		k.reshare = p.follow() || k.reshare
	}
	if u := p.extra; u != nil && u.link == from && slices.Contains(m.Path, k.r.cfg.Self) {
		k.spare(p, u, k.r.now())
	}
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
	layers := region.AllLayers
	if p := k.places[s.id]; p != nil {
		layers = p.drawn
		if u := p.hear(from, now); u != nil {
			u.ends = m.Tips
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range m.Tips {
		ly := s.layer(t.SSRC)
		if ly != nil && !ly.started && ly.live == 0 && t.Index > 0 {
			// Told twice, the very first packet was lost; told once, it may be on its way.
			if ly.told == t.Index {
				ly.started, ly.next = true, t.Index-1
			}
			ly.told = t.Index
		}
		switch {
		case ly == nil || layers>>(t.SSRC-s.info.SSRC)&1 == 0:
		case ly.expect(t.Index, now):
			s.repair.Store(true)
			s.news.Add(1)
		case t.Index == ly.next && s.last != 0:
			s.last = now // a pause, not a gap
		}
	}
}

// inform tells the children of a place the path.
func (k *keeper) inform(p *place, now int64) {
	children := *p.s.children.Load()
	if len(children) == 0 {
		return
	}
	if moved := p.s.moved.Load(); p.pathSent == 0 || now-moved > int64(pathInterval) && p.got != 0 {
		p.pathWait = pathInterval // in a pause it is what tells of the stream
	}
	if p.pathSent == 0 || now-p.pathSent > int64(p.pathWait) {
		if p.pathSent != 0 {
			p.pathWait = min(2*p.pathWait, maxPathInterval)
		}
		p.pathSent = now
		for _, c := range children {
			if c.want.Load() != 0 { // or it is told when it draws again
				_ = c.link.Send(p.pathMessage(c))
			}
		}
	}
}

// pause tells the children of a place where the stream ended, once it has paused. It
// returns when to look again.
func (k *keeper) pause(p *place, now int64) (due int64) {
	due = now + int64(idleTick)
	children := *p.s.children.Load()
	if len(children) == 0 {
		return due
	}
	moved := p.s.moved.Load()
	if moved != p.tipsFor {
		p.tipsFor, p.tipsSent = moved, 0
	}
	if p.tipsSent == len(tipsAfter) || p.s.unreliable() {
		return due // of datagrams none is waited for
	}
	// Who is late himself cannot tell a pause so soon.
	if at := moved + int64(max(tipsAfter[p.tipsSent], p.s.pause())+k.r.cfg.Late()); now < at {
		return min(due, at)
	}
	p.tipsSent++
	for _, c := range children {
		if allowed := region.LayerMask(c.allowed.Load()); allowed != 0 && !c.muted {
			_ = c.link.Send(p.tipsMessage(allowed))
		}
	}
	return min(due, now+int64(tipsAfter[0]))
}

// pathMessage tells a child on which path it hangs, and what it is sent. A leaf, below
// which nobody can be, has no use for the path.
func (p *place) pathMessage(c *child) *link.Message {
	m := &link.Message{Kind: link.Path, Stream: p.s.id, Layers: region.LayerMask(c.allowed.Load())}
	if !c.permit.Load() {
		m.Path = p.path
	}
	return m
}

// tipsMessage tells a child that gets these layers where they have got to.
func (p *place) tipsMessage(layers region.LayerMask) *link.Message {
	m := &link.Message{Kind: link.Tips, Tips: p.s.tips(layers & p.atHand())}
	if len(m.Tips) == 0 {
		m.Tips = []link.Tip{{SSRC: p.s.record().SSRC}}
	}
	return m
}

// atHand are the layers that come here, of which therefore is known where they are.
func (p *place) atHand() region.LayerMask {
	if p.origin {
		return region.AllLayers
	}
	return p.drawn
}
