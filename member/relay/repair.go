package relay

import (
	"slices"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// report keeps a sender report and passes it down.
func (k *keeper) report(s *stream, m *link.Message) {
	s.mu.Lock()
	s.reports[m.SSRC%region.MaxLayers] = slices.Clone(m.Report)
	s.mu.Unlock()
	for _, c := range *s.children.Load() {
		_ = c.link.Send(m)
	}
}

// passKeyframe hands a request for keyframes on: to the parent, or to the
// application at the origin. Many requests become one. It returns when to look again.
func (k *keeper) passKeyframe(p *place, now int64) (due int64) {
	due = now + int64(idleTick)
	p.s.mu.Lock()
	p.wanted |= p.s.wanted
	p.s.wanted = 0
	ssrc := p.s.info.SSRC
	p.s.mu.Unlock()
	for i := range p.asked {
		if p.wanted>>i&1 == 0 {
			continue
		}
		if again := p.asked[i] + int64(keyframeInterval); p.asked[i] != 0 && now < again {
			due = min(due, again)
			continue
		}
		switch {
		case p.origin:
			k.r.emit(KeyframeWanted{p.s.id, i})
		case p.current != nil:
			_ = p.current.link.Send(&link.Message{Kind: link.Keyframe, SSRC: ssrc + uint32(i)})
		default:
			continue
		}
		p.wanted &^= 1 << i
		p.asked[i] = now
	}
	return due
}

// askAnew has all that is missing asked for at once: another parent may have it.
func (s *stream) askAnew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ly := range s.layers {
		if ly != nil {
			for i := range ly.missing {
				ly.missing[i].asks = 0
			}
		}
	}
}

// mend asks for what is missing.
func (k *keeper) mend(p *place, now int64) (due int64) {
	due = now + int64(idleTick)
	s := p.s
	if !s.repair.Load() {
		return due
	}
	from := p.current
	if from == nil || from.link.State() != link.Up {
		from = p.target
	}
	if (from == nil || from.state != drawn) && p.extra.carries() {
		from = p.extra // while it is not certain that the parent is lost
	}
	if from == nil || from.state != drawn {
		return now + int64(minRetry)
	}
	// What is on its way is not asked for again, nor by who is late.
	retry := max(from.link.RTT()*5/4, minRetry) + 2*k.r.cfg.Late()
	due = now + int64(retry)
	var ask []link.Message
	left := 0
	s.mu.Lock()
	for _, ly := range s.layers {
		if ly != nil {
			ask = ly.nacks(now, int64(retry), ask)
			for _, g := range ly.missing {
				due = min(due, g.due(int64(retry)))
			}
			left += len(ly.missing)
		}
	}
	if left == 0 {
		s.repair.Store(false)
	}
	s.mu.Unlock()
	for i := range ask {
		_ = from.link.Send(&ask[i])
	}
	if left == 0 {
		return now + int64(idleTick)
	}
	return due
}
