package member

import (
	"context"
	"fmt"
	"time"

	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// Stats is a snapshot of a Node.
type Stats struct {
	ID        region.MemberID
	Name      string
	Lease     region.Lease
	Connected bool // whether the session with the coordinators stands
	Leader    string
	Uplink    region.Rate
	Sending   region.Rate // over the last second, kbit/s
	Peers     int         // members that gossip knows
	Links     int
	Streams   []StreamStats // by name
}

// StreamStats is how a stream arrives at, and leaves, a Node. Counters only
// grow as long as the node has a place in the stream.
type StreamStats struct {
	Stream   region.StreamID
	Parent   region.MemberID // in use; empty at the origin and for an orphan
	Standbys []region.MemberID
	Children []region.MemberID

	Received   uint64 // distinct packets
	Duplicates uint64 // copies dropped on arrival
	Sent       uint64 // packets to all children
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
		Sending: now.Sending, Links: len(n.transport.Links()),
		Peers: n.poolPeers(),
	}
	for _, st := range now.Streams {
		s.Streams = append(s.Streams, StreamStats{
			Stream: st.Stream.ID, Parent: st.Parent, Children: st.Children,
			Standbys: n.assigned.place(st.Stream.ID).standbys,
			Received: st.PacketsReceived, Duplicates: st.Duplicates, Sent: st.PacketsSent,
			Delivered: st.Delivered, Lost: st.Lost, DuplicatesDelivered: st.DuplicatesDelivered,
			DelayP50: st.DelayP50, DelayP99: st.DelayP99, GapMax: st.GapMax,
			Delays: st.Delays, Gaps: st.Gaps,
		})
	}
	return s
}

// Streams lists the streams of the region, by name. It asks a coordinator.
func (n *Node) Streams(ctx context.Context) ([]region.Stream, error) {
	var answer *skeinv1.StreamsResponse
	err := n.group.call(ctx, func(ctx context.Context, c client) (err error) {
		answer, err = c.Streams(ctx, &skeinv1.StreamsRequest{Region: string(n.cfg.Region)})
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
