package relay

import (
	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// A receiver is the Relay as the transport sees it.
type receiver Relay

var _ link.Handler = (*receiver)(nil)

func (r *receiver) Wanted(ssrc uint32) bool { return (*Relay)(r).bySource(ssrc) != nil }

func (r *receiver) Packet(l *link.Link, h link.Header, p []byte) {
	s := (*Relay)(r).bySource(h.SSRC)
	if s == nil {
		return
	}
	now := (*Relay)(r).now()
	f := s.feedOf(l)
	if f == nil {
		// A former parent goes on; tell it, now and then.
		if last := s.strayed.Load(); now-last > int64(strayInterval) || last == 0 {
			s.strayed.Store(now)
			(*Relay)(r).deliver(letter{from: l, stream: s})
		}
		return
	}
	if !f.allow(len(p), s.budget.Load(), now) {
		l.CountFlood()
		return
	}
	if s.insert(f, h, p, now) {
		r.urgent = true
	}
	if len(*s.children.Load()) > 0 {
		s.soil()
		r.unsent = true
	}
}

func (r *receiver) Drained() {
	if r.unsent {
		r.writer.kick(r.urgent)
		r.unsent, r.urgent = false, false
	}
}

func (r *receiver) Message(l *link.Link, m *link.Message) {
	if m.Kind != link.Nack {
		(*Relay)(r).deliver(letter{from: l, message: m})
		return
	}
	s := (*Relay)(r).bySource(m.SSRC)
	if s == nil {
		return
	}
	if c := s.childOf(l); c != nil {
		select {
		case r.writer.resends <- resend{s, c, int(m.SSRC % region.MaxLayers), m.Base, m.Mask}:
		default: // it asks again
		}
	}
}

func (r *receiver) Changed(*link.Link) { (*Relay)(r).kick() }

func (r *receiver) Offended(l *link.Link, o link.Offence, perSecond int) {
	(*Relay)(r).deliver(letter{from: l, offence: &Offended{l.Peer().ID, o, perSecond}})
}

func (r *Relay) deliver(x letter) {
	select {
	case r.inbox <- x:
	default:
	}
}
