package planet

import (
	"time"

	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// Sizes of control messages in bytes, those of real messages with ids, addresses,
// keys and grants of their usual length; TLS and TCP add frame to each.
var (
	bytesJoin      = size(&skeinv1.JoinRequest{Region: name, RequestId: id26, Name: name, UplinkKbps: 20000, Endpoint: endpoint}) + size(&skeinv1.JoinResponse{Lease: 1 << 20, Revision: 1 << 30, Generation: 9, GrantKey: key32, GossipKeys: [][]byte{key32}, GossipSeeds: []string{address, address, address, address, address}, LeaseTtlMs: 10000, Coordinators: coordinators}) + size(&skeinv1.SessionRequest{Hello: &skeinv1.SessionHello{Region: name, Lease: 1 << 20, Generation: 9}}) + size(&skeinv1.SessionResponse{Marker: skeinv1.SessionResponse_MARKER_BEGIN, Revision: 1 << 30, Coordinators: coordinators, GossipKeys: [][]byte{key32}})
	bytesAdmit     = size(&skeinv1.LocateRequest{Region: name, Lease: 1 << 20, Stream: name}) + size(&skeinv1.AdmitRequest{Region: name, RequestId: id26, Lease: 1 << 20, Stream: name, Proposals: []*skeinv1.Proposal{proposal, proposal, proposal, proposal}}) + bytesRole
	bytesCandidate = proto.Size(&skeinv1.Candidate{Member: id24, Endpoint: endpoint, Parent: id24, DelayUs: 1 << 20, FreeKbps: 20000, Subtree: 9, RttUs: 1 << 16, Weakest: id24, WeakestHopUs: 1 << 16, WeakestRttUs: 1 << 16})
	bytesRole      = size(&skeinv1.SessionResponse{Revision: 1 << 30, Roles: []*skeinv1.Role{role}})
	bytesConfirm   = size(&skeinv1.SessionRequest{Confirmations: []*skeinv1.Confirmation{{Stream: name, Parent: id24, Revision: 1 << 30}}})
	bytesReport    = size(&skeinv1.AdmitRequest{Region: name, RequestId: id26, Lease: 1 << 20, Stream: name, Proposals: []*skeinv1.Proposal{proposal}, Reports: []*skeinv1.PeerReport{{Peer: id24, Stream: name}}}) + bytesRole
	// bytesInquiry is the question whether a member agrees to a move, and its answer.
	bytesInquiry = size(&skeinv1.SessionResponse{Revision: 1 << 30, Proposals: []*skeinv1.MoveProposal{{Id: 1 << 30, GainUs: 1 << 20, PatienceMs: 2000, Steps: []*skeinv1.MoveStep{{Stream: name, Peer: peer, RttUs: 1 << 16}, {Stream: name, Peer: peer, RttUs: 1 << 16}}}}}) + size(&skeinv1.SessionRequest{Answers: []*skeinv1.MoveAnswer{{Id: 1 << 30}}})
	// bytesEdit is what an edit adds to an entry of the log.
	bytesEdit = proto.Size(&skeinv1.Edit{Kind: &skeinv1.Edit_SetNode{SetNode: &skeinv1.SetNode{Stream: name, Node: &skeinv1.Node{Member: id24, Parent: id24, Layers: 1, HopUs: 1 << 15, Standbys: []string{id24, id24}}}}})

	bytesBeat   = size(&skeinv1.SessionRequest{Heartbeat: &skeinv1.Heartbeat{SendingKbps: 2000, ForwardUs: 1000, Peers: 500, Streams: []*skeinv1.StreamHealth{{Stream: name, PacketsReceived: 1 << 30, DelayP50Us: 1 << 16, DelayP99Us: 1 << 17, PacketsSent: 1 << 30}}}, Rtts: []*skeinv1.RttSample{{Peer: id24, RttUs: 1 << 16}, {Peer: id24, RttUs: 1 << 16}, {Peer: id24, RttUs: 1 << 16}}})
	bytesDigest = size(&skeinv1.SessionRequest{Digest: &skeinv1.Digest{Edges: []*skeinv1.DigestEdge{{Stream: name, Parent: id24, Revision: 1 << 30}}}})
)

const (
	name    = "room-17/camera-front"
	id24    = "abcdefghijklmnopqrstuvwx"
	id26    = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	address = "203.0.113.200:7500"
	// frame is what TLS, HTTP/2 and TCP/IP add to a message.
	frame = 90
	// bytesPing is a probe of the gossip, encrypted, or its answer; bytesRumour is
	// what a member hears of one who came or went, in a few copies.
	bytesPing, bytesRumour = 120, 4 * 120
	// What every member says all the time: a heartbeat each third of its lease, a
	// digest each ten seconds, a gossip probe each second.
	beatEvery   = 10 * time.Second / 3
	digestEvery = 10 * time.Second
	probeEvery  = time.Second
)

var (
	key32        = make([]byte, 32)
	endpoint     = &skeinv1.Endpoint{Key: key32, Media: []string{address}, Gossip: address}
	coordinators = []*skeinv1.Coordinator{{Id: id24, Address: address, Leader: true}, {Id: id24, Address: address}, {Id: id24, Address: address}}
	proposal     = &skeinv1.Proposal{Parent: id24, Displaced: id24, ParentDelayUs: 1 << 16, RttUs: 1 << 16}
	peer         = &skeinv1.Peer{Id: id24, Lease: 1 << 20, Endpoint: endpoint}
	upstream     = &skeinv1.Upstream{Peer: peer, Grant: make([]byte, 190)}
	role         = &skeinv1.Role{
		Revision: 1 << 30, Layers: 1, Placed: true, Parent: upstream, Standbys: []*skeinv1.Upstream{upstream, upstream},
		Stream: &skeinv1.Stream{Id: name, Origin: id24, LayerKbps: []uint32{rate}, Codec: "VP8"}, Children: []*skeinv1.Peer{peer}, Dependents: []*skeinv1.Peer{peer},
	}
)

func size(m proto.Message) int { return proto.Size(m) + frame }

// idleBytes is what a member of a region of n says and hears in a second if
// nothing happens: to and from its coordinators, and in gossip.
func idleBytes(n int) (session, gossip float64) {
	per := func(bytes int, every time.Duration) float64 { return float64(bytes) / every.Seconds() }
	session = per(bytesBeat, beatEvery) + per(bytesDigest, digestEvery)
	if n > 1 {
		gossip = 2 * per(2*bytesPing, probeEvery) // its own probes and those of others
	}
	return session, gossip
}
