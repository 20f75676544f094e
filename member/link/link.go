package link

import (
	"time"

	"github.com/skein-mesh/skein/region"
)

// A Peer is the other end of a link as the coordinators describe it.
type Peer struct {
	ID       region.MemberID
	Lease    region.Lease
	Endpoint region.Endpoint
}

// A State says how a link is doing.
type State uint8

// The states of a link.
const (
	// Connecting: there is no path yet, or the peer has closed its end.
	Connecting State = iota
	// Up: the peer was heard lately.
	Up
	// Silent: the peer was heard before, but not lately. It may come back.
	Silent
)

// A Status is a snapshot of one link.
type Status struct {
	Peer  region.MemberID
	Lease region.Lease
	State State
	// RTT is the smoothed round-trip time; 0 until it was measured.
	RTT time.Duration
	// Loss is the share of pings not answered, smoothed, 0 to 1.
	Loss float64
	// Heard is when the peer was last heard.
	Heard time.Time
	// PacketsSent, BytesSent, PacketsReceived, BytesReceived count media.
	PacketsSent, BytesSent, PacketsReceived, BytesReceived uint64
	// Malformed counts what the peer sent that made no sense.
	Malformed uint64
}
