package member

import (
	"context"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A Node is a member of a region. Its methods may be called from any goroutine.
type Node struct{}

// Join enrols if need be, joins the region and starts gossip, links and relay.
// It returns once the region has accepted the member; ctx bounds that only.
func Join(ctx context.Context, cfg Config) (*Node, error) { panic("todo") }

// ID names the member: the hash of its key.
func (n *Node) ID() region.MemberID { panic("todo") }

// Lease numbers the present stay.
func (n *Node) Lease() region.Lease { panic("todo") }

// Publish starts a stream. region.ErrExists if another member has the name.
func (n *Node) Publish(ctx context.Context, s Stream) (*Publication, error) { panic("todo") }

// Subscribe finds a place in the tree of a stream and returns once it is drawn
// from a parent. region.ErrUnknownStream if there is no such stream; see Await.
func (n *Node) Subscribe(ctx context.Context, name region.StreamID) (*Subscription, error) {
	panic("todo")
}

// Await is Subscribe for a stream that may not exist yet: it waits for it until
// ctx ends.
func (n *Node) Await(ctx context.Context, name region.StreamID) (*Subscription, error) {
	panic("todo")
}

// Streams lists the streams of the region, by name.
func (n *Node) Streams(ctx context.Context) ([]region.Stream, error) { panic("todo") }

// Events delivers what happens to the node. It holds the last MaxEvents; older
// ones are dropped. It is closed when the node is.
func (n *Node) Events() <-chan Event { panic("todo") }

// Stats is a snapshot of the node and its streams.
func (n *Node) Stats() Stats { panic("todo") }

// Leave ends the stay in good order: its streams end, those it feeds are moved
// to other parents first, for as long as ctx lasts; then Close.
func (n *Node) Leave(ctx context.Context) error { panic("todo") }

// Close stops at once, as a crash would, and waits for the node's goroutines.
func (n *Node) Close() error { panic("todo") }

// Stats is what a Node has done so far.
type Stats struct {
	ID        region.MemberID
	Lease     region.Lease
	Connected bool   // whether the session with the coordinators stands
	Leader    string // address of the coordinator
	Uplink    region.Rate
	Sending   region.Rate // now, kbit/s
	Peers     int         // members that gossip knows
	Links     int
	Streams   []StreamStats // by name
}

// StreamStats is how a stream arrives at, and leaves, a Node.
type StreamStats struct {
	Stream   region.StreamID
	Parent   region.MemberID // empty at the origin
	Standbys []region.MemberID
	Children int

	Received   uint64 // distinct packets
	Lost       uint64 // packets between the first and the last that never came
	Duplicates uint64 // packets delivered twice; always 0
	Sent       uint64 // packets to all children
	// Delay from the publisher's clock to this node's, over the last minute.
	DelayP50, DelayP99 time.Duration
	// GapMax is the longest time without a packet.
	GapMax time.Duration
	// Switches counts changes of parent forced by its silence.
	Switches uint64
}
