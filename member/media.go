package member

import (
	"context"
	"fmt"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
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
		if p := n.placementAt(n.rules(e.Stream), e.Stream); p != nil {
			p.want(region.Orphaned, e.To, fault{e.From, e.Cause})
		}
	case relay.Orphaned:
		n.events.put(Event{Kind: Orphaned, Stream: e.Stream})
		if p := n.placementAt(n.rules(e.Stream), e.Stream); p != nil {
			p.want(region.Orphaned, "", silent(e.Failed)...)
		}
	case relay.Refused:
		n.events.put(Event{Kind: Refused, Stream: e.Stream, Peer: string(e.Peer), Detail: e.Fault.String()})
		at := n.from(e.Stream, e.Peer)
		if p := n.placementAt(at, e.Stream); p != nil {
			p.blame(fault{e.Peer, e.Fault})
		}
		at.out.report(peerReport(e.Stream, e.Peer, e.Fault))
	case relay.ChildAttached:
		n.childChanged(e.Stream)
	case relay.ChildDetached:
		n.childChanged(e.Stream)
	case relay.Settled:
		n.events.put(Event{Kind: Switched, Stream: e.Stream, Peer: string(e.Parent), Detail: string(e.From) + " " + e.Cause.String()})
		if p := n.placement(e.Stream); p != nil {
			p.settled(e.Parent)
		}
	case relay.Forsaken:
		n.events.put(Event{Kind: Orphaned, Stream: e.Stream})
		if p := n.placement(e.Stream); p != nil {
			p.want(region.Joining, "")
		}
	case relay.Cramped:
		if p := n.placement(e.Stream); p != nil {
			p.wantMore()
		}
	case relay.LeafWanted:
		n.out.admits(n.leafReport())
	case relay.Disagreed:
		n.out.mismatch(&skeinv1.Mismatch{
			Stream: string(e.Stream), Peer: string(e.Peer), Kind: skeinv1.MismatchKind(e.Kind),
		})
	case relay.LayersWanted:
		if p := n.publication(e.Stream); p != nil {
			p.wantLayers(e.Layers)
		}
	case relay.Offended:
		n.offended(e)
	case relay.KeyframeWanted:
		n.events.put(Event{Kind: KeyframeWanted, Stream: e.Stream})
		if p := n.publication(e.Stream); p != nil {
			p.wantKeyframe(e.Layer)
		}
	}
}

// childChanged tells those who wait for the children of a stream.
func (n *Node) childChanged(id region.StreamID) {
	if p := n.placement(id); p != nil {
		p.ring()
	}
	select {
	case n.attached <- struct{}{}:
	default:
	}
}

// offended names a peer that misbehaves.
func (n *Node) offended(e relay.Offended) {
	n.events.put(Event{Kind: Offended, Peer: string(e.Peer), Detail: fmt.Sprintf("%s, %d/s", e.Offence, e.PerSecond)})
	n.mu.Lock()
	defer n.mu.Unlock()
	key := Offence{Peer: e.Peer, Kind: e.Offence}
	if _, known := n.offences[key]; known || len(n.offences) < maxOffences {
		n.offences[key]++
	}
}

// established confirms an edge to the coordinators, unless it is one they have
// not named: that of a standby is reported by the placement.
func (n *Node) established(e relay.Established) {
	if e.Revision == 0 {
		return
	}
	at := n.from(e.Stream, e.Parent)
	// The event may be older than the loss of the place.
	now := at.assigned.place(e.Stream)
	if now.parent == e.Parent {
		at.out.confirm(e.Stream, e.Parent, now.revision)
	}
	if at != n.residence && now.parent == e.Parent {
		n.drawnFrom(at, e.Stream, true)
	}
	p := n.placementAt(at, e.Stream)
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
