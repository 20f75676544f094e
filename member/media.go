package member

import (
	"context"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/region"
)

// heedRelay passes on what the relay reports: to the coordinators what they
// must know, to a placement what needs a new place, to the application the rest.
func (n *Node) heedRelay(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-n.relay.Events():
			n.heedEvent(e)
		}
	}
}

func (n *Node) heedEvent(e relay.Event) {
	switch e := e.(type) {
	case relay.Established:
		n.established(e)
	case relay.ParentSwitched:
		n.events.put(Event{Kind: Switched, Stream: e.Stream, Peer: string(e.To), Detail: string(e.From) + " " + e.Cause.String()})
		if p := n.placement(e.Stream); p != nil {
			p.want(region.Orphaned, e.To, fault{e.From, e.Cause})
		}
	case relay.Orphaned:
		n.events.put(Event{Kind: Orphaned, Stream: e.Stream})
		if p := n.placement(e.Stream); p != nil {
			p.want(region.Orphaned, "", silent(e.Failed)...)
		}
	case relay.Refused:
		n.events.put(Event{Kind: Refused, Stream: e.Stream, Peer: string(e.Peer), Detail: e.Fault.String()})
		if p := n.placement(e.Stream); p != nil {
			p.blame(fault{e.Peer, e.Fault})
		}
		n.out.report(peerReport(e.Stream, e.Peer, e.Fault))
	case relay.ChildAttached, relay.ChildDetached:
		select {
		case n.attached <- struct{}{}:
		default:
		}
	case relay.KeyframeWanted:
		n.events.put(Event{Kind: KeyframeWanted, Stream: e.Stream})
		if p := n.publication(e.Stream); p != nil {
			p.wantKeyframe(e.Layer)
		}
	}
}

// established confirms an edge to the coordinators, unless it is one they have
// not named: that of a standby is reported by the placement.
func (n *Node) established(e relay.Established) {
	if e.Revision == 0 {
		return
	}
	n.out.confirm(e.Stream, e.Parent, e.Revision)
	// The event may be older than the loss of the place.
	now := n.assigned.place(e.Stream)
	p := n.placement(e.Stream)
	if p != nil && now.placed && now.parent == e.Parent && p.settled(e.Parent) {
		n.events.put(Event{Kind: Placed, Stream: e.Stream, Peer: string(e.Parent)})
	}
}

func silent(peers []region.MemberID) []fault {
	list := make([]fault, 0, len(peers))
	for _, id := range peers {
		list = append(list, fault{id, link.SilentPeer})
	}
	return list
}
