package region

import (
	"net/netip"
	"time"
)

// An ID names a region, e.g. "r1".
type ID string

// A MemberID names a participant: the hash of its public key (see proto/trust).
// Stays are told apart by their lease.
type MemberID string

// A StreamID is the name of a published stream, e.g. "plaza/camera-1". It is
// 1 to MaxStreamName bytes of printable UTF-8 without spaces.
type StreamID string

// A Lease numbers the stays of a member. It only grows; whatever carries an
// older lease is refused everywhere (fencing).
type Lease uint64

// A Revision counts the changes a region has seen. It equals the Raft index of
// the change, so it grows but may skip numbers.
type Revision uint64

// A Generation counts the changes of a region's boundary or group.
type Generation uint64

// A Rate is a bandwidth in kbit/s.
type Rate uint32

// A Kind says what a stream carries.
type Kind uint8

// The kinds of streams.
const (
	Video Kind = iota + 1
	Audio
	Data
)

// A LayerMask selects layers of a stream: bit i stands for layer i.
type LayerMask uint16

// AllLayers selects every layer a stream has.
const AllLayers LayerMask = 1<<MaxLayers - 1

// An Endpoint says how to reach a member. It is public.
type Endpoint struct {
	// Key is the member's X25519 public key for this stay. Two members derive
	// the ICE credentials of their link from it, so no link needs signalling
	// of its own.
	Key [32]byte
	// Media lists the addresses of the member's media socket, best first; at
	// most MaxAddresses.
	Media []netip.AddrPort
	// Gossip is the address of the member's gossip socket; invalid if the
	// member cannot be probed (NAT).
	Gossip netip.AddrPort
}

// A Member is one stay of a participant in the region.
type Member struct {
	ID    MemberID
	Lease Lease
	// Name is a label for people, at most MaxName bytes; it need not be unique.
	Name string
	// Uplink is what the member is willing to send; the hard limit of how much
	// it relays.
	Uplink Rate
	// Leaf is the part of Uplink that is delegated to the member for local
	// admissions; the coordinators do not plan with it.
	Leaf Rate
	// Forward is the time the member takes to forward a packet.
	Forward time.Duration
	// Joined is when the stay began. Age predicts the remaining stay, see Hazard.
	Joined   time.Time
	Endpoint Endpoint
	// Home is the region of a visitor: a member of another region that draws
	// streams for it from this one (see StreamGateway). Empty for who is at home here.
	Home ID
}

// A Stream is one published flow.
type Stream struct {
	ID     StreamID
	Origin MemberID
	Kind   Kind
	// Layers holds the rate of each layer; audio and data have exactly one.
	Layers []Rate
	// SSRC is the RTP SSRC of layer 0; layer i uses SSRC+i. It is unique in the
	// region and a multiple of MaxLayers.
	SSRC uint32
	// Codec is the RTP encoding name, e.g. "VP8" or "opus"; at most MaxName bytes.
	Codec string
	// Scalable: the layers of a video build upon one another (SVC), so that each is of use
	// with all below it only. Otherwise each is a picture of its own (simulcast).
	Scalable bool
	// From is the region that Origin draws the stream from, as a visitor there;
	// empty if the stream is published by Origin.
	From ID
	// Standby is the member of the tree that visits From as well, and takes Origin's
	// place should it fail; empty if there is none, or From is.
	Standby MemberID
}

// A State says how far an edge has come.
type State uint8

// The states of an edge.
const (
	// Reserved: admitted, and not yet confirmed by the child. The edge (and the
	// place it came from, see Node.Old) count in full until Node.Deadline.
	Reserved State = iota + 1
	// Standing: confirmed.
	Standing
)

// A Node is the place of a member in the tree of one stream.
type Node struct {
	Member MemberID
	// Parent forwards the stream to Member; empty for the root.
	Parent MemberID
	// Layers are the layers drawn from Parent.
	Layers LayerMask
	// Hop is half the RTT between Parent and Member, as known at admission.
	Hop   time.Duration
	State State
	// Deadline ends a reservation that is not confirmed; zero when Standing.
	Deadline time.Time
	// Old is the parent whose uplink is still held while the node moves (make
	// before break); empty otherwise.
	Old MemberID
	// OldHop is Hop towards Old, so that a move can be reversed.
	OldHop time.Duration
	// Heir is the node that takes over the place held at Old, if any does (the
	// newcomer that displaced this node, the other half of a swap). As long as
	// Heir is a child of Old, the two count as one place: Old feeds this node
	// until it draws from its new parent.
	Heir MemberID
	// Standbys are the parents chosen beforehand, in the order in which they
	// are to be tried; at most MaxStandbys.
	Standbys []MemberID
}

// RTT tells the round-trip time between two members. ok is false if nothing is
// known; the duration is then a guess that callers may use. It must be
// symmetric and must not change during a call.
type RTT interface {
	RTT(a, b MemberID) (rtt time.Duration, ok bool)
}

// Limits. Everything that can grow is bounded here; exceeding a limit is
// refused with ErrLimit and names the limit.
const (
	MaxMembers     = 8192 // hard bound of one region; Limits.Members is the set one
	MaxStreams     = 4096
	MaxStreamName  = 200
	MaxName        = 64
	MaxLayers      = 8
	MaxAddresses   = 8
	MaxStandbys    = 5
	MaxCandidates  = 64 // of a View
	MaxProposals   = 16 // of an Admission
	DefaultMembers = 512
)

// DefaultForward is the forwarding time of a member that was not measured yet.
const DefaultForward = time.Millisecond
