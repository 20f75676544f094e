package gossip

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/skein-mesh/skein/region"
)

// delegate hears memberlist. Its methods run under memberlist's locks, so they
// never wait: what does not fit the queue is dropped and counted.
type delegate struct{ *Pool }

func (d delegate) NodeMeta(int) []byte { return encodeLease(region.Lease(d.lease.Load())) }

// NotifyMsg ignores user messages: the pool carries none.
func (d delegate) NotifyMsg([]byte)                       {}
func (d delegate) GetBroadcasts(overhead, n int) [][]byte { return nil }
func (d delegate) LocalState(bool) []byte                 { return nil }
func (d delegate) MergeRemoteState([]byte, bool)          {}

func (d delegate) NotifyJoin(n *memberlist.Node)   { d.put(Event{Kind: Seen, Peer: peer(n)}) }
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.put(Event{Kind: Seen, Peer: peer(n)}) }
func (d delegate) NotifyLeave(n *memberlist.Node)  { d.put(Event{Kind: Gone, Peer: peer(n)}) }

func (d delegate) AckPayload() []byte { return nil }

func (d delegate) NotifyPingComplete(n *memberlist.Node, rtt time.Duration, _ []byte) {
	d.put(Event{Kind: RTT, Peer: peer(n), RTT: rtt})
}

// NotifyAlive keeps out what is no member of ours.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	if len(n.Name) == 0 || len(n.Name) > region.MaxName {
		return fmt.Errorf("gossip: name of %d bytes: %w", len(n.Name), region.ErrInvalid)
	}
	_, err := decodeLease(n.Meta)
	return err
}

func (d delegate) put(e Event) {
	if e.Peer.ID == d.self {
		return
	}
	if e.Kind != RTT {
		d.news.Add(1)
		d.present.note(e.Peer, e.Kind == Gone)
		d.lost.note(e.Peer, e.Kind == Gone)
	}
	select {
	case d.events <- e:
	default:
		d.dropped.Add(1)
	}
}

func peer(n *memberlist.Node) Peer {
	lease, _ := decodeLease(n.Meta) // NotifyAlive has checked it
	ip, _ := netip.AddrFromSlice(n.Addr)
	return Peer{ID: region.MemberID(n.Name), Lease: lease, Addr: netip.AddrPortFrom(ip.Unmap(), n.Port)}
}
