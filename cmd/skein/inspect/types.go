package inspect

import (
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
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
	// Volunteers would coordinate the region, or do, beside their members (leader only).
	Volunteers []Volunteer `json:"volunteers,omitempty"`
}

// A Volunteer is the node of a member that coordinates when it is needed.
type Volunteer struct {
	ID       string `json:"id"`
	Address  string `json:"address"`
	Member   string `json:"member"`
	Site     string `json:"site,omitempty"`
	Operator string `json:"operator,omitempty"`
	UptimeMs int64  `json:"uptime_ms"`
	// WriteP99Ms is how long 99 of 100 writes to its disk took at most, RTTMs how far
	// the farthest replica is; -1 = not known.
	WriteP99Ms float64 `json:"write_ms_p99"`
	RTTMs      float64 `json:"rtt_ms"`
	// Serving says that it coordinates, Lacks why it is not suited to begin.
	Serving bool   `json:"serving"`
	Lacks   string `json:"lacks,omitempty"`
}

func volunteersOf(list []*skeinv1.VolunteerStatus) (out []Volunteer) {
	for _, v := range list {
		rtt := float64(v.RttUs)
		if rtt > 0 {
			rtt /= 1000
		}
		out = append(out, Volunteer{
			ID: v.Coordinator.GetId(), Address: v.Coordinator.GetAddress(), Member: v.Member, Site: v.Site, Operator: v.Operator,
			UptimeMs: v.UptimeMs, WriteP99Ms: float64(v.WriteP99Us) / 1000, RTTMs: rtt, Serving: v.Serving, Lacks: v.Reason,
		})
	}
	return out
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
	ID          string `json:"id"`
	Name        string `json:"name"`
	Lease       uint64 `json:"lease"`
	UplinkKbps  uint32 `json:"uplink_kbps"`
	SendingKbps uint32 `json:"sending_kbps"`
	// LeafKbps is what it may admit by itself, LeafUsedKbps what it does, to so many
	// LeafChildren, by its own word.
	LeafKbps     uint32  `json:"leaf_kbps"`
	LeafUsedKbps uint32  `json:"leaf_used_kbps"`
	LeafChildren uint32  `json:"leaf_children"`
	Children     uint32  `json:"children"`
	Streams      uint32  `json:"streams"`
	ForwardMs    float64 `json:"forward_ms"`
	JoinedMs     int64   `json:"joined_ms"`
	// Home is the region of a visitor; empty for who is at home here.
	Home        string   `json:"home,omitempty"`
	LastHeardMs int64    `json:"last_heard_ms"`
	Media       []string `json:"media"`
	Health      []Health `json:"health,omitempty"`
	// PositionMs is empty while too little is known; distances between
	// positions are round-trip times in ms.
	PositionMs []float32  `json:"position_ms,omitempty"`
	Nearest    []Distance `json:"nearest,omitempty"`
	Peers      uint32     `json:"peers"` // alive by gossip
	// GossipEvents counts what gossip has told it of others, and Rumours who
	// says that gossip holds it for dead, since its last word.
	GossipEvents uint64 `json:"gossip_events"`
	Rumours      uint32 `json:"rumours"`
}

// A Distance is a measured round-trip time to another member.
type Distance struct {
	Peer  string  `json:"peer"`
	RTTMs float64 `json:"rtt_ms"`
	// Loss is the part of pings over a link that were not answered, smoothed.
	Loss float64 `json:"loss,omitempty"`
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
	// Layers that come at present, from 1, the lowest.
	Layers []int `json:"layers"`
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
	// From is the region that Origin, the gateway, draws it from, and Standby who
	// takes over from the gateway.
	From    string `json:"from,omitempty"`
	Standby string `json:"standby,omitempty"`
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
	// Round of reorganisation it belongs to, and what a move saves.
	Round  uint64  `json:"round,omitempty"`
	GainMs float64 `json:"gain_ms,omitempty"`
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
		Volunteers: volunteersOf(g.GetVolunteers()),
	}
}

func memberFrom(m *skeinv1.MemberStatus) Member {
	r := m.GetMember()
	return Member{
		ID: r.GetId(), Name: r.GetName(), Lease: r.GetLease(), UplinkKbps: r.GetUplinkKbps(),
		SendingKbps: m.GetSendingKbps(), Children: m.GetChildren(), Streams: m.GetStreams(),
		LeafKbps: r.GetLeafKbps(), LeafUsedKbps: m.GetLeaf().GetUsedKbps(), LeafChildren: m.GetLeaf().GetChildren(),
		ForwardMs: ms(r.GetForwardUs()),
		Home:      r.GetHome(),
		JoinedMs:  r.GetJoinedMs(), LastHeardMs: m.GetLastHeardMs(),
		Media: r.GetEndpoint().GetMedia(), Health: mapped(m.GetHealth(), healthFrom),
		PositionMs: m.GetPositionMs(), Nearest: mapped(m.GetNearest(), distanceFrom),
		Peers: m.GetPeers(), GossipEvents: m.GetGossipEvents(), Rumours: m.GetRumours(),
	}
}

func distanceFrom(s *skeinv1.RttSample) Distance {
	return Distance{Peer: s.GetPeer(), RTTMs: ms(s.GetRttUs()), Loss: float64(s.GetLossPerMille()) / 1000}
}

func healthFrom(h *skeinv1.StreamHealth) Health {
	return Health{
		Stream: h.GetStream(), Received: h.GetPacketsReceived(), Lost: h.GetPacketsLost(),
		Duplicates: h.GetDuplicatesDelivered(), Sent: h.GetPacketsSent(),
		DelayP50Ms: ms(h.GetDelayP50Us()), DelayP99Ms: ms(h.GetDelayP99Us()), GapMaxMs: ms(h.GetGapMaxUs()),
		Layers: layersOf(region.LayerMask(h.GetLayers())),
	}
}

// layersOf counts layers from 1.
func layersOf(mask region.LayerMask) []int {
	list := []int{}
	for i := range region.MaxLayers {
		if mask>>i&1 != 0 {
			list = append(list, i+1)
		}
	}
	return list
}

func streamFrom(s *skeinv1.StreamStatus) Stream {
	r := s.GetStream()
	return Stream{
		Name: r.GetId(), Origin: r.GetOrigin(), Kind: kind(r.GetKind()), Codec: r.GetCodec(), SSRC: r.GetSsrc(),
		LayerKbps: r.GetLayerKbps(), Subscribers: s.GetSubscribers(), Depth: s.GetDepth(),
		DelayP50Ms: ms(s.GetDelayP50Us()), DelayMaxMs: ms(s.GetDelayMaxUs()),
		From: r.GetFrom(), Standby: r.GetStandby(),
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
		Round: e.GetRound(), GainMs: ms(e.GetGainUs()),
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
