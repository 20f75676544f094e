package relay

import (
	"bytes"
	"slices"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// drawState says how far drawing from an upstream has come.
type drawState uint8

const (
	idle    drawState = iota
	drawing           // asked, or waiting for the link
	drawn             // accepted
)

// An upstream is a peer that a stream may be drawn from.
type upstream struct {
	peer  link.Peer
	grant []byte
	link  *link.Link // nil if the transport would not have it

	state   drawState
	session uint64 // of the link, when it was asked
	id      uint32 // of the Draw
	doubled bool   // which was for an extra copy
	since   int64  // when drawing began
	waits   bool   // for the first answer to the Draw
	asked   int64  // when it was asked last; 0: not yet
	feed    *feed
	alive   bool       // accepted, and something came: packets, tips or the path
	heard   int64      // when it last said something about the stream, but for packets
	ends    []link.Tip // the tips that came last
	until   int64      // set aside until then
	silent  int64      // since when its link is; 0: it is not
	spared  int64      // not asked for an extra copy until then
	failing int64      // since when it has no stream; 0: it has, or was not asked
	renewed bool       // it has not seen the grant, or layers, yet that replaced those it accepted
	shown   int64      // when they were shown last
	told    request    // with the last Draw
	sends   bool       // it has accepted that something is wanted of it
	granted bool       // it has accepted the grant, so that a Draw need not show it again
}

// A request is what a Draw says is wanted.
type request struct {
	layers   region.LayerMask
	priority uint8
	voice    bool
}

// request is what is wanted of a place's parents now.
func (p *place) request() request { return request{p.drawn, p.priority, p.voices} }

// accepted notes that u has accepted what it was told last. Whoever did not know yet which
// layers there are has asked for any.
func (u *upstream) accepted(p *place) {
	u.told.layers &= p.s.all()
	u.renewed, u.sends = u.told != p.request(), u.told.layers != 0
}

// renew has u told what is wanted of it now, if it was told anything before.
func (u *upstream) renew() {
	if u.state == drawn {
		u.renewed, u.shown = true, 0
	}
}

// usable says whether u may be tried.
func (u *upstream) usable(now int64) bool {
	return u.link != nil && now >= u.until && u.link.State() != link.Silent
}

// setUpstreams replaces whom the stream may be drawn from. Who stays the same
// keeps what is agreed with it.
func (k *keeper) setUpstreams(p *place, a *Assignment) {
	old := p.ups
	p.ups = nil
	for _, want := range append([]Upstream{a.Parent}, a.Standbys...) {
		if want.Peer.ID == "" || want.Peer.ID == k.r.cfg.Self || p.upstream(want.Peer.ID) != nil {
			continue
		}
		l := k.peers.expect(want.Peer)
		u := &upstream{peer: want.Peer, grant: want.Grant, link: l}
		for _, o := range old {
			if o.peer.ID == want.Peer.ID && o.link == l {
				if !bytes.Equal(o.grant, want.Grant) {
					o.granted = false
					o.renew()
				}
				o.peer, o.grant, o.until, o.failing = want.Peer, want.Grant, 0, 0
				u = o
			}
		}
		p.ups = append(p.ups, u)
	}
	for _, o := range old {
		if slices.Contains(p.ups, o) {
			continue
		}
		if o == p.current && p.named != "" {
			p.ups = append(p.ups, o) // until the new parent carries the stream
			continue
		}
		k.quit(p, o)
	}
	if p.named == "" {
		for _, u := range p.ups {
			k.quit(p, u)
		}
	}
	if c := p.current; c != nil && c.peer.ID == p.named && c.alive {
		k.r.emit(Established{p.s.id, c.peer.ID, p.revision})
	}
	p.orphan = false
	k.setFeeds(p)
}

func (p *place) upstream(id region.MemberID) *upstream {
	for _, u := range p.ups {
		if u.peer.ID == id {
			return u
		}
	}
	return nil
}

// hear notes that the peer at the end of a link said something about the stream;
// it returns the upstream if the stream is drawn from it.
func (p *place) hear(from *link.Link, now int64) *upstream {
	for _, u := range p.ups {
		if u.link == from && u.state == drawn {
			u.alive, u.heard = true, now
			return u
		}
	}
	return nil
}

// quit stops drawing from u.
func (k *keeper) quit(p *place, u *upstream) {
	if u.asked != 0 && u.link.Session() == u.session {
		_ = u.link.Send(&link.Message{Kind: link.Drop, ID: u.id, Stream: p.s.id})
	}
	k.reset(p, u)
}

// reset forgets what was agreed with u.
func (k *keeper) reset(p *place, u *upstream) {
	u.state, u.alive, u.asked, u.feed, u.ends, u.renewed = idle, false, 0, nil, nil, false
	u.granted, u.sends = false, false
	for _, role := range []**upstream{&p.current, &p.target, &p.lost, &p.extra} {
		if *role == u {
			*role = nil
		}
	}
	k.setFeeds(p)
}

// setFeeds tells the data plane who may send packets.
func (k *keeper) setFeeds(p *place) {
	feeds := []*feed{}
	for _, u := range p.ups {
		if u.state == idle || u.link == nil {
			continue
		}
		if u.feed == nil {
			u.feed = &feed{link: u.link}
			u.feed.given.Store(uint32(region.AllLayers))
		}
		feeds = append(feeds, u.feed)
	}
	p.s.feeds.Store(&feeds)
	k.recarr = true
}
