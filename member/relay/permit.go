package relay

import (
	"bytes"
	"slices"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// A permit is shown once in a session of a link: Draws that follow come without, which
// halves them. The parent keeps it, and judges it anew each time: its stay, generation and
// time may be over.

// maxShown bounds the permits of a peer that are remembered.
const maxShown = 8

// A Permit lets this member draw the streams that Grant covers from whoever admits it.
type Permit struct {
	Grant trust.Grant
	Raw   []byte
}

// SetPermits replaces the member's permits. Of two that differ in nothing but their end the
// one that neighbours know is kept until half of its time is over: with every session come
// new ones, and all would have to be shown.
func (r *Relay) SetPermits(list []Permit) {
	list = slices.Clone(list)
	now := time.Now()
	if known := r.permits.Load(); known != nil {
		for i, p := range list {
			at := slices.IndexFunc(*known, func(o Permit) bool { return o.serves(p, now) })
			if at >= 0 {
				list[i] = (*known)[at]
			}
		}
	}
	r.permits.Store(&list)
	r.kick()
}

// serves says whether p will do in place of next, which ends later, for more than half of
// its time.
func (p Permit) serves(next Permit, now time.Time) bool {
	ends, latest := p.Grant.Expires, next.Grant.Expires
	p.Grant.Expires, p.Grant.Revision = latest, next.Grant.Revision
	return p.Grant == next.Grant && !ends.After(latest) && ends.Sub(now) > latest.Sub(now)/2
}

// permitFor is the permit that covers a stream; nil if none does.
func (r *Relay) permitFor(id region.StreamID) []byte {
	list := r.permits.Load()
	if list == nil {
		return nil
	}
	for _, p := range *list {
		if p.Grant.Covers(id) {
			return p.Raw
		}
	}
	return nil
}

// renewPermits shows neighbours the permit that has replaced the one they know.
func (k *keeper) renewPermits() {
	for _, p := range k.all {
		if !p.local {
			continue
		}
		raw := k.r.permitFor(p.s.id)
		for _, u := range p.ups {
			if raw != nil && !bytes.Equal(u.grant, raw) {
				u.grant = raw
				u.renew()
			}
		}
	}
}

// seen says whether the peer of u has accepted its permit in this session.
func (ps *peers) seen(u *upstream) bool {
	a := ps.known[u.peer.ID]
	return a != nil && a.shownIn == u.link.Session() && bytes.Equal(a.shown, u.grant)
}

// answered notes what became of a Draw with a permit. It reports whether the peer has
// forgotten the permit that it had seen.
func (ps *peers) answered(u *upstream, fault Fault) (forgotten bool) {
	a := ps.known[u.peer.ID]
	switch {
	case a == nil:
	case fault == link.BadGrant:
		forgotten = ps.seen(u)
		a.shown = nil
	case fault == 0:
		a.shown, a.shownIn = u.grant, u.link.Session()
	}
	return forgotten
}

// openGrant reads what a Draw shows or, if that is nothing, what the peer has shown before.
func (k *keeper) openGrant(from *link.Link, m *link.Message) (trust.Grant, error) {
	a := k.peers.known[from.Peer().ID]
	if len(m.Grant) > 0 || a == nil || a.permitIn != from.Session() {
		g, err := k.r.cfg.OpenGrant(m.Grant)
		if err == nil && a != nil && g.Permit() && g.Child == from.Peer().ID {
			a.remember(Permit{g, m.Grant}, from.Session())
		}
		return g, err
	}
	for _, p := range a.permits {
		if p.Grant.Covers(m.Stream) {
			return k.r.cfg.OpenGrant(p.Raw)
		}
	}
	return trust.Grant{}, trust.ErrGrant
}

// remember keeps a permit in place of the one before of the same streams.
func (a *acquaintance) remember(p Permit, session uint64) {
	if a.permitIn != session {
		a.permits, a.permitIn = nil, session
	}
	a.permits = slices.DeleteFunc(a.permits, func(o Permit) bool { return o.Grant.Stream == p.Grant.Stream })
	a.permits = append(a.permits, p)
	a.permits = a.permits[max(0, len(a.permits)-maxShown):]
}
