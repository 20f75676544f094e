package member

import (
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// holds is the parent of this session's region that a stream is drawn from, or, by
// a gateway that stands by, would be. ok is false if another region says whom to
// draw it from.
func (s *session) holds(st relay.StreamStats) (parent region.MemberID, ok bool) {
	h := s.at.assigned.place(st.Stream.ID)
	from := s.from(st.Stream.ID, st.Parent)
	switch {
	case s.at == s.residence:
		return st.Parent, from == s.at && st.Parent != "" && !st.Local
	case !h.placed:
		return "", false
	case from == s.at:
		return st.Parent, true
	}
	return h.parent, true
}

func health(st relay.StreamStats) *skeinv1.StreamHealth {
	return &skeinv1.StreamHealth{
		Stream:              string(st.Stream.ID),
		PacketsReceived:     st.PacketsReceived,
		PacketsLost:         st.Lost,
		DuplicatesDelivered: st.DuplicatesDelivered,
		DelayP50Us:          st.DelayP50.Microseconds(),
		DelayP99Us:          st.DelayP99.Microseconds(),
		PacketsSent:         st.PacketsSent,
		GapMaxUs:            st.GapMax.Microseconds(),
		Layers:              uint32(st.Layers),
	}
}

// account adds to m how this member is doing, and, if asked, what it holds.
func (s *session) account(m *skeinv1.SessionRequest, digest bool) {
	stats := s.relay.Stats()
	brief := !digest && len(stats.Streams) > fewStreams
	beat := &skeinv1.Heartbeat{StreamsAsBefore: brief, SendingKbps: uint32(stats.Sending), ForwardUs: stats.Forwarding.Microseconds(), Peers: uint32(s.poolPeers()), GossipEvents: s.poolNews()}
	held := new(skeinv1.Digest)
	flowed := make(map[region.StreamID]uint64)
	for _, st := range stats.Streams {
		name := string(st.Stream.ID)
		if s.at != s.residence && !s.at.assigned.place(st.Stream.ID).placed {
			continue
		}
		flowed[st.Stream.ID] = st.PacketsReceived + st.PacketsSent
		if !brief && flowed[st.Stream.ID] != s.flowed[st.Stream.ID] {
			beat.Streams = append(beat.Streams, health(st))
		}
		if parent, ok := s.holds(st); ok {
			held.Edges = append(held.Edges, &skeinv1.DigestEdge{
				Stream: name, Parent: string(parent), Revision: uint64(s.at.assigned.place(st.Stream.ID).revision),
			})
		}
	}
	m.Heartbeat = beat
	if !brief {
		s.flowed = flowed
	}
	if s.at == s.residence {
		m.Leaf = s.leafReport()
	}
	if digest {
		m.Digest = held
		if s.at == s.residence {
			m.Vote = s.regret()
			if nearer := s.longing.Load(); nearer != nil {
				m.Vote.Nearer = string(*nearer)
			}
		}
		s.digested = time.Now()
	}
	for _, l := range s.transport.Links() {
		if l.State == link.Up {
			s.at.rtts.observeLink(l.Peer, l.RTT, l.Loss)
		}
	}
	for _, sample := range s.at.rtts.take(maxSamples) {
		m.Rtts = append(m.Rtts, &skeinv1.RttSample{
			Peer: string(sample.peer), RttUs: sample.rtt.Microseconds(), LossPerMille: uint32(1000 * sample.loss),
		})
	}
}
