package member

import (
	"fmt"
	"time"

	"github.com/skein-mesh/skein/member/interest"
	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// Links to those around. Whoever comes near is linked to before it matters, so that its
// streams can be drawn from it at once and without a place in a tree: both ends do so,
// since each is as near to the other.

const (
	// linkEvery is how often a link is asked for again, since relays forget those that
	// nothing needs, and linksAtOnce how many are being built at a time: handshakes are
	// dear, and who is short of processor time builds slower.
	linkEvery   = 20 * time.Second
	linksAtOnce = 2
	// Whoever is later than hurried gets to his work begins one link at a time, the next
	// after hurriedPause times as long as he is late.
	hurried      = 20 * time.Millisecond
	hurriedPause = 20
	// linkPatience is how long a stream waits for the link to whoever carries it, and
	// lateLinks by how many times more than it is late a process that is waits longer: the
	// coordinators would have it find a place for each stream, which is more work.
	linkPatience = 2 * time.Second
	lateLinks    = 50
	// maxContacts bounds those who are remembered.
	maxContacts = 2 * region.MaxBystanders
	// companyShare is the part of the uplink that somebody in a space asks to be let
	// give to those around by itself.
	companyShare = 8
)

// A contact is how somebody around is reached. The Presence's mu guards it.
type contact struct {
	peer  link.Peer
	told  time.Time
	near  time.Time // when it came near enough for a link, and
	seen  time.Time // when it was so last; zero: never
	since time.Time // when the link was begun; zero: it was not
	asked time.Time
}

// introduced takes how somebody is reached. mu is held.
func (p *Presence) introduced(who region.PresenceID, m *skeinv1.Peer, now time.Time) error {
	if m == nil || who.Member() == p.node.id {
		return nil
	}
	peer, err := toPeer(m)
	switch {
	case err != nil:
		return fmt.Errorf("peer: %w", err)
	case peer.ID != who.Member():
		return fmt.Errorf("peer: %w: %s is not the member of %s", region.ErrInvalid, peer.ID, who)
	}
	old := p.contacts[peer.ID]
	if old != nil && old.peer.Lease == peer.Lease && old.peer.Endpoint.Key == peer.Endpoint.Key {
		return nil
	}
	if old == nil && len(p.contacts) >= maxContacts {
		for id, k := range p.contacts {
			if now.Sub(k.asked) > linkEvery && now.Sub(k.told) > linkPatience {
				delete(p.contacts, id)
			}
		}
		if len(p.contacts) >= maxContacts {
			return nil // trees do for who cannot be remembered
		}
	}
	p.contacts[peer.ID] = &contact{peer: peer, told: now}
	return nil
}

// meet keeps links to those who are near. mu is held.
func (c *company) meet(now time.Time) {
	building, newest := 0, time.Time{}
	for _, k := range c.contacts {
		if k.since.After(newest) {
			newest = k.since
		}
		if now.Sub(k.since) < linkPatience && !c.node.relay.Linked(k.peer.ID) {
			building++
		}
	}
	most := mayBuild(c.node.transport.Late(), now.Sub(newest))
	for who := range c.planner.Near() {
		k := c.contacts[who.Member()]
		if k == nil {
			continue
		}
		if now.Sub(k.seen) > linkEvery { // it comes, or comes back, and is linked to anew
			k.near, k.since = now, time.Time{}
		}
		k.seen = now
		switch {
		case now.Sub(k.asked) < linkEvery:
			continue
		case k.since.IsZero() && building >= most:
			continue
		case k.since.IsZero():
			building++
			k.since = now
		}
		k.asked = now
		if err := c.node.relay.Expect(k.peer); err != nil {
			c.node.log.Debug("somebody around is not linked to", "peer", k.peer.ID, "err", err)
		}
	}
}

// mayBuild is how many links may be in the making, when this process is so late and the
// last one was begun so long ago.
func mayBuild(late, since time.Duration) int {
	switch {
	case late <= hurried:
		return linksAtOnce
	case since >= hurriedPause*late:
		return 1
	}
	return 0
}

// awaits says whether a stream is better left alone for now: whoever carries it is about
// to be linked to, or will feed it as soon as it is wanted.
func (c *company) awaits(id region.StreamID, w interest.Want, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.contacts[w.Who.Member()]
	if k == nil {
		return false
	}
	offered, known := c.node.relay.Offers(k.peer.ID, id)
	if known {
		return offered && w.State == interest.Ready
	}
	patience := linkPatience + lateLinks*c.node.transport.Late()
	switch {
	case w.State != interest.Present && k.seen.Before(now):
		return true // it will be linked to when it is near
	case !k.since.IsZero():
		return now.Sub(k.since) < patience
	case w.State == interest.Present: // others are linked to first
		return now.Sub(later(k.told, k.near)) < 2*patience
	}
	return now.Sub(k.near) < 5*patience
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
