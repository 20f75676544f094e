package member

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// Stats is a snapshot of a Node.
type Stats struct {
	ID        region.MemberID
	Name      string
	Lease     region.Lease
	Control   ControlStats
	Connected bool // whether the session with the coordinators stands
	Leader    string
	Uplink    region.Rate
	Sending   region.Rate // over the last second, kbit/s
	Peers     int         // members that gossip knows
	// GossipEvents counts how often gossip told of a member that came up, changed
	// or was gone.
	GossipEvents uint64
	Links        int
	Streams      []StreamStats // by name
	// Leaf says how local admissions are doing.
	Leaf relay.LeafStats
	// Offences counts how often each peer was named for what it does too much of: at
	// most once in ten seconds. At most 256 are remembered.
	Offences map[Offence]uint64
}

// An Offence is what a peer does too much of.
type Offence struct {
	Peer region.MemberID
	Kind link.Offence
}

// maxOffences bounds what is remembered of peers that misbehave.
const maxOffences = 256

// StreamStats is how a stream arrives at, and leaves, a Node. Counters only
// grow as long as the node has a place in the stream.
type StreamStats struct {
	Stream   region.StreamID
	Parent   region.MemberID // in use; empty at the origin and for an orphan
	Standbys []region.MemberID
	Ready    []region.MemberID // those of Standbys to whom a link stands
	Children []region.MemberID
	// Local: Parent feeds it by itself, no tree knows of that. Leaves are those of
	// Children of which none does.
	Local  bool
	Leaves []region.MemberID

	Layers     region.LayerMask // of which packets came within the last two seconds
	Received   uint64           // distinct packets
	Duplicates uint64           // copies dropped on arrival
	Repaired   uint64           // of those received, sent again because they had been missed
	Sent       uint64           // packets to all children
	// Delivered, Lost and DuplicatesDelivered are summed over the node's own
	// subscriptions: packets handed out, given up, handed out twice (always 0).
	Delivered, Lost, DuplicatesDelivered uint64
	// Delay from the publisher's clock to this node's.
	DelayP50, DelayP99 time.Duration
	// GapMax is the longest time without a packet while the stream was flowing.
	GapMax time.Duration
	// Delays and Gaps are how all delays, and all times between two packets,
	// are distributed.
	Delays, Gaps relay.Distribution
}

// Stats returns a snapshot of the node and its streams.
func (n *Node) Stats() Stats {
	now := n.relay.Stats()
	s := Stats{
		ID: n.id, Name: n.cfg.Name, Lease: n.Lease(), Uplink: n.cfg.Uplink,
		Connected: n.connected.Load(), Leader: n.group.leaderAddr(),
		Sending: now.Sending, Leaf: n.relay.Leaf(), Links: len(n.transport.Links()),
		Peers: n.poolPeers(), GossipEvents: n.poolNews(),
		Control: ControlStats{
			Coordinators: n.group.bytes.Load(), Gossip: n.poolBytes(), Session: n.group.session.read(), Links: n.transport.Control(),
		},
	}
	n.mu.Lock()
	s.Offences = maps.Clone(n.offences)
	n.mu.Unlock()
	for _, st := range now.Streams {
		standbys := n.assigned.place(st.Stream.ID).standbys
		s.Streams = append(s.Streams, StreamStats{
			Stream: st.Stream.ID, Parent: st.Parent, Children: st.Children, Local: st.Local, Leaves: st.Leaves,
			Standbys: standbys, Ready: n.linked(standbys),
			Layers: st.Layers, Received: st.PacketsReceived, Duplicates: st.Duplicates, Repaired: st.PacketsRepaired, Sent: st.PacketsSent,
			Delivered: st.Delivered, Lost: st.Lost, DuplicatesDelivered: st.DuplicatesDelivered,
			DelayP50: st.DelayP50, DelayP99: st.DelayP99, GapMax: st.GapMax,
			Delays: st.Delays, Gaps: st.Gaps,
		})
	}
	return s
}

// linked are those to whom a link stands.
func (n *Node) linked(list []region.MemberID) (up []region.MemberID) {
	for _, m := range list {
		if l := n.transport.Link(m); l != nil && l.State() == link.Up {
			up = append(up, m)
		}
	}
	return up
}

// Streams lists the streams of the region, by name. It asks a coordinator.
func (n *Node) Streams(ctx context.Context) ([]region.Stream, error) {
	var answer *skeinv1.StreamsResponse
	err := n.call(ctx, func(ctx context.Context, c client, at *address) (err error) {
		answer, err = c.Streams(ctx, &skeinv1.StreamsRequest{Region: string(at.region)})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("member: list streams: %w", err)
	}
	list := make([]region.Stream, 0, len(answer.GetStreams()))
	for i, st := range answer.GetStreams() {
		stream, err := skeinv1.ToStream(st.GetStream())
		if err != nil {
			return nil, fmt.Errorf("member: list streams: streams[%d]: %w", i, err)
		}
		list = append(list, stream)
	}
	return list, nil
}
