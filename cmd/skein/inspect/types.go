package inspect

import (
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// A Coordinator is one coordinator as it describes itself.
type Coordinator struct {
	Address string `json:"address"`
	ID      string `json:"id,omitempty"`
	Version string `json:"version,omitempty"`
	// Error says why it did not answer.
	Error  string  `json:"error,omitempty"`
	Groups []Group `json:"groups,omitempty"`
}

// A Group is a coordinator's replica of a region group.
type Group struct {
	Region        string     `json:"region"`
	State         string     `json:"state"` // leader, follower, candidate, stopped
	Leader        string     `json:"leader,omitempty"`
	Generation    uint64     `json:"generation"`
	Revision      uint64     `json:"revision"`
	Term          uint64     `json:"term"`
	Commit        uint64     `json:"commit_index"`
	Applied       uint64     `json:"applied_index"`
	LastContactMs int64      `json:"last_contact_ms"`
	Members       uint32     `json:"members"`
	Streams       uint32     `json:"streams"`
	Admissions    Admissions `json:"admissions"`
	StateHash     string     `json:"state_hash,omitempty"`
	Health        string     `json:"health,omitempty"`
	// How long entries lately took until they were applied (leader only), and
	// writes to the log.
	CommitP50Ms float64 `json:"commit_ms_p50"`
	CommitP99Ms float64 `json:"commit_ms_p99"`
	DiskP99Ms   float64 `json:"disk_ms_p99"`
}

// Admissions counts admissions by outcome since the replica started.
type Admissions struct {
	Accepted      uint64 `json:"accepted"`
	RefusedStale  uint64 `json:"refused_stale"`
	RefusedFull   uint64 `json:"refused_full"`
	RefusedByPeer uint64 `json:"refused_by_peer"`
}

// A Member is a member as its coordinators know it.
type Member struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Lease       uint64   `json:"lease"`
	UplinkKbps  uint32   `json:"uplink_kbps"`
	SendingKbps uint32   `json:"sending_kbps"`
	Children    uint32   `json:"children"`
	Streams     uint32   `json:"streams"`
	ForwardMs   float64  `json:"forward_ms"`
	JoinedMs    int64    `json:"joined_ms"`
	LastHeardMs int64    `json:"last_heard_ms"`
	Media       []string `json:"media"`
	Health      []Health `json:"health,omitempty"`
	// PositionMs is empty while too little is known; distances between
	// positions are round-trip times in ms.
	PositionMs []float32  `json:"position_ms,omitempty"`
	Nearest    []Distance `json:"nearest,omitempty"`
	Peers      uint32     `json:"peers"` // alive by gossip
}

// A Distance is a measured round-trip time to another member.
type Distance struct {
	Peer  string  `json:"peer"`
	RTTMs float64 `json:"rtt_ms"`
}

// Health is how a stream arrives at a member, by its own word.
type Health struct {
	Stream     string  `json:"stream"`
	Received   uint64  `json:"packets_received"`
	Lost       uint64  `json:"packets_lost"`
	Duplicates uint64  `json:"duplicates_delivered"`
	Sent       uint64  `json:"packets_sent"`
	DelayP50Ms float64 `json:"delay_ms_p50"`
	DelayP99Ms float64 `json:"delay_ms_p99"`
	GapMaxMs   float64 `json:"gap_ms_max"`
}

// A Stream is a published stream.
type Stream struct {
	Name        string   `json:"name"`
	Origin      string   `json:"origin"`
	Kind        string   `json:"kind"`
	Codec       string   `json:"codec"`
	SSRC        uint32   `json:"ssrc"`
	LayerKbps   []uint32 `json:"layer_kbps"`
	Subscribers uint32   `json:"subscribers"`
	Depth       uint32   `json:"depth"`
	DelayP50Ms  float64  `json:"delay_ms_p50"`
	DelayMaxMs  float64  `json:"delay_ms_max"`
}

// A Tree is how a stream is distributed.
type Tree struct {
	Stream   string `json:"stream"`
	Revision uint64 `json:"revision"`
	// Nodes has parents before children.
	Nodes []Node `json:"nodes"`
}

// A Node is a member's place in a tree.
type Node struct {
	Member   string   `json:"member"`
	Parent   string   `json:"parent,omitempty"`
	HopMs    float64  `json:"hop_ms"`
	State    string   `json:"state"` // reserved, standing
	Standbys []string `json:"standbys,omitempty"`
}

// An Event is something that happened in a region.
type Event struct {
	Revision uint64    `json:"revision,omitempty"`
	Time     time.Time `json:"time"`
	Kind     string    `json:"kind"`
	Member   string    `json:"member,omitempty"`
	Stream   string    `json:"stream,omitempty"`
	Parent   string    `json:"parent,omitempty"`
	Cause    string    `json:"cause,omitempty"`
	Detail   string    `json:"detail,omitempty"`
}

func coordinatorFrom(addr string, m *skeinv1.StatusResponse, err error) Coordinator {
	if err != nil {
		return Coordinator{Address: addr, Error: err.Error()}
	}
	return Coordinator{
		Address: addr, ID: m.GetCoordinator(), Version: m.GetVersion(),
		Groups: mapped(m.GetGroups(), groupFrom),
	}
}

func groupFrom(g *skeinv1.GroupStatus) Group {
	a := g.GetAdmissions()
	return Group{
		Region: g.GetRegion(), State: g.GetState(), Leader: g.GetLeader(),
		Generation: g.GetGeneration(), Revision: g.GetRevision(), Term: g.GetTerm(),
		Commit: g.GetCommitIndex(), Applied: g.GetAppliedIndex(), LastContactMs: g.GetLastContactMs(),
		Members: g.GetMembers(), Streams: g.GetStreams(),
		Admissions: Admissions{
			Accepted: a.GetAccepted(), RefusedStale: a.GetRefusedStale(),
			RefusedFull: a.GetRefusedFull(), RefusedByPeer: a.GetRefusedByPeer(),
		},
		StateHash: g.GetStateHash(), Health: g.GetHealth(),
		CommitP50Ms: ms(g.GetCommitP50Us()), CommitP99Ms: ms(g.GetCommitP99Us()), DiskP99Ms: ms(g.GetDiskP99Us()),
	}
}

func memberFrom(m *skeinv1.MemberStatus) Member {
	r := m.GetMember()
	return Member{
		ID: r.GetId(), Name: r.GetName(), Lease: r.GetLease(), UplinkKbps: r.GetUplinkKbps(),
		SendingKbps: m.GetSendingKbps(), Children: m.GetChildren(), Streams: m.GetStreams(),
		ForwardMs: ms(r.GetForwardUs()),
		JoinedMs:  r.GetJoinedMs(), LastHeardMs: m.GetLastHeardMs(),
		Media: r.GetEndpoint().GetMedia(), Health: mapped(m.GetHealth(), healthFrom),
		PositionMs: m.GetPositionMs(), Nearest: mapped(m.GetNearest(), distanceFrom), Peers: m.GetPeers(),
	}
}

func distanceFrom(s *skeinv1.RttSample) Distance {
	return Distance{Peer: s.GetPeer(), RTTMs: ms(s.GetRttUs())}
}

func healthFrom(h *skeinv1.StreamHealth) Health {
	return Health{
		Stream: h.GetStream(), Received: h.GetPacketsReceived(), Lost: h.GetPacketsLost(),
		Duplicates: h.GetDuplicatesDelivered(), Sent: h.GetPacketsSent(),
		DelayP50Ms: ms(h.GetDelayP50Us()), DelayP99Ms: ms(h.GetDelayP99Us()), GapMaxMs: ms(h.GetGapMaxUs()),
	}
}

func streamFrom(s *skeinv1.StreamStatus) Stream {
	r := s.GetStream()
	return Stream{
		Name: r.GetId(), Origin: r.GetOrigin(), Kind: kind(r.GetKind()), Codec: r.GetCodec(), SSRC: r.GetSsrc(),
		LayerKbps: r.GetLayerKbps(), Subscribers: s.GetSubscribers(), Depth: s.GetDepth(),
		DelayP50Ms: ms(s.GetDelayP50Us()), DelayMaxMs: ms(s.GetDelayMaxUs()),
	}
}

func treeFrom(revision uint64, t *skeinv1.Tree) Tree {
	return Tree{Stream: t.GetStream().GetId(), Revision: revision, Nodes: mapped(t.GetNodes(), nodeFrom)}
}

func nodeFrom(n *skeinv1.Node) Node {
	state := "standing"
	if n.GetState() == skeinv1.State_STATE_RESERVED {
		state = "reserved"
	}
	return Node{Member: n.GetMember(), Parent: n.GetParent(), HopMs: ms(n.GetHopUs()), State: state, Standbys: n.GetStandbys()}
}

func eventFrom(w *skeinv1.WatchResponse, e *skeinv1.Event) Event {
	return Event{
		Revision: w.GetRevision(), Time: time.UnixMilli(w.GetTimeMs()), Kind: e.GetKind(), Member: e.GetMember(),
		Stream: e.GetStream(), Parent: e.GetParent(), Cause: e.GetCause(), Detail: e.GetDetail(),
	}
}

func kind(k skeinv1.Kind) string {
	switch k {
	case skeinv1.Kind_KIND_VIDEO:
		return "video"
	case skeinv1.Kind_KIND_AUDIO:
		return "audio"
	case skeinv1.Kind_KIND_DATA:
		return "data"
	default:
		return "unknown"
	}
}

func ms(us int64) float64 { return float64(us) / 1000 }
