package link

import (
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// A NAT may give a peer another address at any time, and hosts change networks. Then
// packets come from an address that belongs to nobody. Such a packet is held against
// the sessions that have not been heard for a moment; what is genuine and new is taken
// as if it had come the old way. But nothing is sent to the new address before that
// has answered a check: whoever can send a packet on that is not his could otherwise
// have the stream sent to anybody.

const (
	// astray is how long a session must not have been heard to be looked for elsewhere.
	astray = 30 * time.Millisecond
	// strayRate bounds the packets a second that are held against sessions.
	strayRate, strayBurst = 200, 100
	// roamRetry between two checks of the same address.
	roamRetry = 100 * time.Millisecond
)

func newStrayLimit() *rate.Limiter { return rate.NewLimiter(strayRate, strayBurst) }

// A roaming is the check of a peer's new address. It belongs to the socket's reader.
type roaming struct {
	to    netip.AddrPort
	id    uint32 // of the ping
	asked int64
}

// seekMedia finds the session that a media packet from an unknown address belongs to.
// It returns the packet, opened; nil if there is none.
func (t *Transport) seekMedia(b []byte, h Header, from netip.AddrPort) (s *session, p []byte) {
	if !t.strayLimit.Allow() {
		return nil, nil
	}
	for _, l := range *t.links.Load() {
		s := l.session.Load()
		if !t.mayRoam(s) || s.windows[h.SSRC] == nil {
			continue
		}
		// Opening destroys what is not genuine.
		t.spare = append(t.spare[:0], b...)
		if p, _, ok := s.decrypt(t.spare, h, t.arrived); ok {
			t.check(s, from)
			return s, p
		}
	}
	return nil, nil
}

// seekControl does so for a control message.
func (t *Transport) seekControl(b []byte, from netip.AddrPort) (s *session, m Message, ok bool) {
	if !t.strayLimit.Allow() {
		return nil, m, false
	}
	for _, l := range *t.links.Load() {
		s := l.session.Load()
		if !t.mayRoam(s) {
			continue
		}
		t.spare = append(t.spare[:0], b...)
		m, err := s.control.open(t.spare)
		if err != nil {
			continue
		}
		if m.Kind == Pong && m.ID == s.roaming.id && from == s.roaming.to && m.ID != 0 {
			s.roam()
		} else {
			t.check(s, from)
		}
		return s, m, true
	}
	return nil, m, false
}

// mayRoam says whether a session may be that of a packet from an unknown address: one
// that is being checked, or was not heard lately.
func (t *Transport) mayRoam(s *session) bool {
	return s != nil && (s.roaming.id != 0 || t.arrived-s.link.heardAt.Load() > int64(astray))
}

// check asks the peer of s to answer at another address.
func (t *Transport) check(s *session, at netip.AddrPort) {
	r := &s.roaming
	if r.to == at && t.arrived-r.asked < int64(roamRetry) {
		return
	}
	r.to, r.asked = at, t.arrived
	r.id = roamIDs | (r.id+1)&^roamIDs
	_ = s.link.sendTo(s, &Message{Kind: Ping, ID: r.id}, at) // or the next packet asks again
}

// roamIDs tells the ids of checks from those of pings, which begin at 1.
const roamIDs = 1 << 31

// roam goes over to the address that has answered.
func (s *session) roam() {
	l := s.link
	old := s.dest.Load()
	l.t.cfg.Logger.Info("peer is at another address", "peer", l.peer.ID, "from", old.addr, "to", s.roaming.to)
	s.dest.Store(newDestination(l, s.roaming.to))
	l.t.route(s)
	s.roaming = roaming{}
}
