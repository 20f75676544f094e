package dev

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/latency"
	"github.com/skein-mesh/skein/cmd/skein/media"
	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// regionID is the first region of a testnet.
const regionID region.ID = "r1"

// regionIDs are r1, r2 and so on.
func regionIDs(n int) []region.ID {
	ids := make([]region.ID, n)
	for i := range ids {
		ids[i] = region.ID(fmt.Sprintf("r%d", i+1))
	}
	return ids
}

// A node is one coordinator or member of the testnet. Its methods may be called
// from any goroutine; kill and stop end it for good.
type node interface {
	// start returns when the node takes part: a coordinator serves, a member
	// receives every stream it should.
	start(ctx context.Context) error
	// report answers q. It does not wait for anything but the node itself.
	report(ctx context.Context, q Query) (Report, error)
	// kill ends the node without a word to anybody.
	kill()
	// stop ends it in good order, at the latest when ctx ends, and waits for
	// all that is left of it, killed or not.
	stop(ctx context.Context)
}

// A Spec says all that a node must know to start. It is what a child process
// reads first.
type Spec struct {
	// Name is "coordinator-1" or "member-1".
	Name string
	// IP is the node's address, Site its row in the latency matrix.
	IP   netip.Addr
	Site int

	// Member and Coordinator: exactly one is set.
	Member      *MemberSpec      `json:",omitempty"`
	Coordinator *CoordinatorSpec `json:",omitempty"`
}

// A MemberSpec is the part of a Spec for members.
type MemberSpec struct {
	Coordinators []string
	Token        string
	// Region to live in, or member.NearestRegion.
	Region    region.ID
	Uplink    region.Rate
	Publish   []PatternSpec
	Subscribe []region.StreamID
	// Walk is set for those who walk about a space.
	Walk *WalkSpec `json:",omitempty"`
	// Want is which layer this member draws besides the lowest, counted from the highest
	// and round again.
	Want int
	// LatencyFile and Members make the same matrix in every process.
	LatencyFile string
	Members     int
	// Shift is the matrix that holds from Query.Shift on; "" = the same.
	Shift string
	// Volunteer makes it coordinate when that is needed; nil = never.
	Volunteer *VolunteerSpec `json:",omitempty"`
	// Refuse are the addresses of members that are kept apart from it.
	Refuse []netip.Addr `json:",omitempty"`

	// In the harness's own process all members share the matrices, since one is megabytes,
	// and the clock; nil is one of their own.
	matrix, shifted *latency.Matrix
	clock           *latency.Clock
}

// matrices are those before and after the shift; nil for none.
func (m *MemberSpec) matrices() (before, after *latency.Matrix, err error) {
	if m.matrix != nil {
		return m.matrix, m.shifted, nil
	}
	if before, err = matrixFor(m.LatencyFile, m.Members); err == nil {
		after, err = matrixFor(m.Shift, m.Members)
	}
	return before, after, err
}

// A PatternSpec is a test stream to publish.
type PatternSpec struct {
	Stream region.StreamID
	Kind   region.Kind
	Layers int
	Shape  media.Shape
}

// A CoordinatorSpec is the part of a Spec for coordinators.
type CoordinatorSpec struct {
	GRPC, Raft string
	// Dir holds the logs and, for child processes, the credentials, and
	// AuthorityDir the cluster's CA.
	Dir, AuthorityDir string
	Groups            []coordinator.Group
	Seeds             []coordinator.Peer
	// RegionMax is Config.RegionMax.
	RegionMax int
	// Patience stretches Raft's timeouts, 1 to 10.
	Patience int
	// Hasty coordinators replace one another within seconds.
	Hasty bool

	// In the harness's own process keys need not touch the disk.
	credentials *trust.Credentials
	authority   *trust.Authority
}

// A Query is what the harness wants to know.
type Query struct {
	// SentBefore asks publishers how many packets they had sent by then.
	SentBefore time.Time
	// Ends are, by stream, the counters up to which loss is judged; without
	// one it is judged up to the newest packet received.
	Ends map[region.StreamID]uint64 `json:",omitempty"`
	// Gaps asks for the longest hole in each of these intervals.
	Gaps []Interval `json:",omitempty"`
	// Delays asks for whole distributions.
	Delays bool
	// Shift tells members that the latency matrix is another one from then on.
	Shift time.Time
}

// An Interval is a span of time.
type Interval struct{ From, To time.Time }

// A Report is what a node says of itself.
type Report struct {
	ID region.MemberID

	// Of a member.
	Uplink, Sending region.Rate
	Connected       bool
	Peers           int // alive by gossip
	GossipEvents    uint64
	Control         member.ControlStats
	Sent            []SentReport
	Received        []ReceivedReport

	// Of a coordinator: structures checked, and complaints.
	Checks, Broken uint64
	// Complaint is the last of them.
	Complaint string
	// Boundary is what it has done with regions' boundaries.
	Boundary []coordinator.BoundaryMove `json:",omitempty"`
	// Planning is the time it has planned for.
	Planning time.Duration `json:",omitempty"`
	// CPU is what a node in a process of its own has taken; 0 of others.
	CPU time.Duration `json:",omitempty"`
}

// A SentReport is what a publisher has sent of one stream.
type SentReport struct {
	Stream   region.StreamID
	Children int
	Packets  uint64
	// Before is the answer to Query.SentBefore.
	Before uint64
}

// A ReceivedReport is how a stream arrives at a subscriber, by its Tally.
type ReceivedReport struct {
	Stream region.StreamID
	// Layer is drawn besides the lowest one, of which the rest tells. What is missing of
	// it was lost, or a link on the way was too narrow for a while.
	Layer                        int
	LayerReceived, LayerMissing  uint64
	Received, Lost, Duplicates   uint64
	Disordered                   uint64
	Parent                       region.MemberID
	Standbys                     []region.MemberID
	Children                     int
	DelayP50, DelayP99, GapSoFar time.Duration
	// DelayMean is that of the last seconds.
	DelayMean time.Duration
	// Gaps answer Query.Gaps, in order.
	Gaps []time.Duration `json:",omitempty"`
	// Delays answers Query.Delays.
	Delays *Histogram `json:",omitempty"`
	// Failure says why the stream is not read any more.
	Failure string `json:",omitempty"`
}
