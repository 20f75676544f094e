package relay

import (
	"time"

	"github.com/skein-mesh/skein/region"
)

// Stats is a snapshot of a relay.
type Stats struct {
	Streams []StreamStats // by ID
	// Sending is what was sent over the last second, kbit/s; Admitted is what
	// the attached children draw by their streams' rates.
	Sending, Admitted region.Rate
	// EventsDropped counts events nobody fetched in time.
	EventsDropped uint64
}

// StreamStats is a snapshot of one stream. Counters only grow.
type StreamStats struct {
	Stream region.Stream
	// Parent in use; empty for the origin or an orphan.
	Parent region.MemberID
	// Revision of the assignment that named Parent, 0 if none did yet.
	Revision region.Revision
	Children []region.MemberID

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
	// GapMax is the longest time without an arrival while the stream was
	// flowing; Gap is the present one.
	GapMax, Gap time.Duration
}
