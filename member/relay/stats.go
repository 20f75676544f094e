package relay

import (
	"sync"
	"time"

	"github.com/skein-mesh/skein/region"
)

// Stats is a snapshot of a relay.
type Stats struct {
	Streams []StreamStats // by ID
	// Sending is what was sent over the last second (or since the last call, if
	// that is longer ago), kbit/s; Admitted is what
	// the attached children draw by their streams' rates.
	Sending, Admitted region.Rate
	// Forwarding is how long packets stay here on their way to the children, in
	// the middle; 0 if there were none.
	Forwarding time.Duration
	// EventsDropped counts events nobody fetched in time.
	EventsDropped uint64

	bytes uint64
}

// StreamStats is a snapshot of one stream. Counters only grow.
type StreamStats struct {
	Stream region.Stream
	// Parent in use; empty for the origin or an orphan. Assigned is the one that
	// the assignment in force names, Revision that assignment's.
	Parent, Assigned region.MemberID
	Revision         region.Revision
	Children         []region.MemberID
	// Local: a neighbour feeds it by itself, no tree knows of that. Leaves are those of
	// Children of which none does.
	Local  bool
	Leaves []region.MemberID

	// Layers of which packets came within the last two seconds.
	Layers region.LayerMask
	// PacketsReceived counts distinct packets, Duplicates those dropped because
	// they were known already.
	PacketsReceived, Duplicates uint64
	// PacketsRepaired of the received came by retransmission.
	PacketsRepaired uint64
	// PacketsSent and BytesSent count what children were sent.
	PacketsSent, BytesSent uint64
	// PacketsDropped were not sent because a child's queue was full.
	PacketsDropped uint64

	// Delivered, Lost and DuplicatesDelivered are summed over the local sinks:
	// packets handed out, packets given up after Playout, and packets handed out
	// twice (counted independently; 0 unless the relay is broken).
	Delivered, Lost, DuplicatesDelivered uint64
	// DelayP50 and DelayP99 are from the origin's capture to arrival here. They
	// assume that the clocks of both agree. Replayed packets are not counted.
	DelayP50, DelayP99 time.Duration
	// DelayNow is the mean of the last packets.
	DelayNow time.Duration
	// GapMax is the longest time without an arrival while the stream was
	// flowing; Gap is the present one.
	GapMax, Gap time.Duration
	// Delays are those behind DelayP50 and DelayP99, Gaps the times between two
	// arrivals while the stream was flowing.
	Delays, Gaps Distribution
}

// layerFlows is how long ago a layer's last packet may have come for it to count as one
// that is drawn now.
const layerFlows = 2 * time.Second

// Stats is a snapshot of all streams by ID.
func (r *Relay) Stats() Stats {
	now := r.now()
	all := Stats{Forwarding: r.forwarding.time(), Admitted: r.Admitted()}
	r.mu.Lock()
	all.EventsDropped = r.lost
	r.mu.Unlock()
	list := *r.list.Load()
	all.Streams = make([]StreamStats, 0, len(list))
	for _, s := range list {
		st := s.snapshot(now)
		all.Streams = append(all.Streams, st)
		all.bytes += st.BytesSent
	}
	all.Sending = r.meter.rate(now, all.bytes)
	return all
}

// Admitted is what children may draw, kbit/s; it costs less than Stats.
func (r *Relay) Admitted() (sum region.Rate) {
	for _, s := range *r.list.Load() {
		for _, c := range *s.children.Load() {
			sum += s.rate(region.LayerMask(c.want.Load()))
		}
	}
	return sum
}

// snapshot is what s counts, with what its present children were sent.
func (s *stream) snapshot(now int64) StreamStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Local = s.local
	st.DelayNow = time.Duration(s.delayNow) * time.Microsecond
	st.DelayP50, st.DelayP99 = s.delay.quantiles()
	if s.last != 0 {
		st.Gap = time.Duration(now - s.last)
	}
	for i, ly := range s.layers {
		if ly != nil && ly.started && now-ly.arrived <= int64(layerFlows) {
			st.Layers |= 1 << i
		}
	}
	for _, c := range *s.children.Load() {
		st.Children = append(st.Children, c.link.Peer().ID)
		if c.permit.Load() {
			st.Leaves = append(st.Leaves, c.link.Peer().ID)
		}
		st.PacketsSent += c.packets.Load()
		st.BytesSent += c.bytes.Load()
		st.PacketsDropped += c.dropped.Load()
	}
	return st
}

// A meter turns a count of bytes into a rate over about the last second.
type meter struct {
	mu    sync.Mutex
	at    int64
	bytes uint64
	last  region.Rate
}

func (m *meter) rate(now int64, bytes uint64) region.Rate {
	m.mu.Lock()
	defer m.mu.Unlock()
	span := now - m.at
	if span >= int64(time.Second) {
		if bytes >= m.bytes {
			m.last = region.Rate((bytes - m.bytes) * 8 * 1_000_000 / uint64(span))
		}
		m.at, m.bytes = now, bytes
	}
	return m.last
}
