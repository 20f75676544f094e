package skeinv1

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
)

// FromEndpoint converts an endpoint.
func FromEndpoint(e region.Endpoint) *Endpoint {
	out := &Endpoint{Key: slices.Clone(e.Key[:]), Media: strs(e.Media)}
	if e.Gossip.IsValid() {
		out.Gossip = e.Gossip.String()
	}
	return out
}

// ToEndpoint converts and judges an endpoint.
func ToEndpoint(e *Endpoint) (region.Endpoint, error) {
	var c checker
	var out region.Endpoint
	if copy(out.Key[:], e.GetKey()) != len(out.Key) || len(e.GetKey()) != len(out.Key) {
		c.fail("key", "want %d bytes, have %d", len(out.Key), len(e.GetKey()))
	}
	out.Media = each(&c, "media", e.GetMedia(), region.MaxAddresses, toAddress)
	if e.GetGossip() != "" {
		out.Gossip = c.address("gossip", e.GetGossip())
	}
	return done(&c, out)
}

func toAddress(s string) (netip.AddrPort, error) {
	var c checker
	return done(&c, c.address("address", s))
}

// FromMember converts a member.
func FromMember(m region.Member) *Member {
	return &Member{
		Id:         string(m.ID),
		Lease:      uint64(m.Lease),
		Name:       m.Name,
		UplinkKbps: uint32(m.Uplink),
		LeafKbps:   uint32(m.Leaf),
		ForwardUs:  m.Forward.Microseconds(),
		JoinedMs:   fromTime(m.Joined),
		Endpoint:   FromEndpoint(m.Endpoint),
		Home:       string(m.Home),
	}
}

// ToMember converts and judges a member.
func ToMember(m *Member) (region.Member, error) {
	var c checker
	out := region.Member{
		ID:       c.member("id", m.GetId()),
		Lease:    region.Lease(m.GetLease()),
		Name:     m.GetName(),
		Uplink:   region.Rate(m.GetUplinkKbps()),
		Leaf:     region.Rate(m.GetLeafKbps()),
		Forward:  c.duration("forward_us", m.GetForwardUs()),
		Joined:   c.time("joined_ms", m.GetJoinedMs()),
		Endpoint: within(&c, "endpoint", m.GetEndpoint(), ToEndpoint),
		Home:     region.ID(m.GetHome()),
	}
	c.judge(out.Validate())
	return done(&c, out)
}

// FromStream converts a stream.
func FromStream(s region.Stream) *Stream {
	out := &Stream{
		Id:     string(s.ID),
		Origin: string(s.Origin),
		Kind:   FromKind(s.Kind),
		Ssrc:   s.SSRC,
		Codec:  s.Codec,
		From:   string(s.From), Standby: string(s.Standby),
		Scalable: s.Scalable,
	}
	for _, rate := range s.Layers {
		out.LayerKbps = append(out.LayerKbps, uint32(rate))
	}
	return out
}

// ToStream converts and judges a stream. One that is only to be published has
// no SSRC yet.
func ToStream(s *Stream) (region.Stream, error) {
	var c checker
	out := region.Stream{
		ID:     region.StreamID(s.GetId()),
		Origin: c.member("origin", s.GetOrigin()),
		Kind:   within(&c, "kind", s.GetKind(), ToKind),
		SSRC:   s.GetSsrc(),
		Codec:  s.GetCodec(),
		From:   region.ID(s.GetFrom()), Standby: region.MemberID(s.GetStandby()),
		Scalable: s.GetScalable(),
	}
	for _, kbps := range s.GetLayerKbps() {
		out.Layers = append(out.Layers, region.Rate(kbps))
	}
	c.judge(out.Validate())
	return done(&c, out)
}

// FromNode converts a node.
func FromNode(n region.Node) *Node {
	return &Node{
		Member:     string(n.Member),
		Parent:     string(n.Parent),
		Layers:     uint32(n.Layers),
		HopUs:      n.Hop.Microseconds(),
		State:      FromState(n.State),
		DeadlineMs: fromTime(n.Deadline),
		Old:        string(n.Old),
		OldHopUs:   n.OldHop.Microseconds(),
		Heir:       string(n.Heir),
		Standbys:   texts(n.Standbys),
	}
}

// ToNode converts and judges a node.
func ToNode(n *Node) (region.Node, error) {
	var c checker
	return done(&c, region.Node{
		Member:   c.member("member", n.GetMember()),
		Parent:   c.memberOrNone("parent", n.GetParent()),
		Layers:   c.layers("layers", n.GetLayers()),
		Hop:      c.duration("hop_us", n.GetHopUs()),
		State:    within(&c, "state", n.GetState(), ToState),
		Deadline: c.time("deadline_ms", n.GetDeadlineMs()),
		Old:      c.memberOrNone("old", n.GetOld()),
		OldHop:   c.duration("old_hop_us", n.GetOldHopUs()),
		Heir:     c.memberOrNone("heir", n.GetHeir()),
		Standbys: each(&c, "standbys", n.GetStandbys(), region.MaxStandbys, ToMemberID),
	})
}

// FromTree converts a tree.
func FromTree(t region.Tree) *Tree {
	return &Tree{Stream: FromStream(t.Stream), Nodes: all(t.Nodes, FromNode)}
}

// ToTree converts and judges a tree, node by node; whether the nodes are a tree
// is for region.Load to find out.
func ToTree(t *Tree) (region.Tree, error) {
	var c checker
	return done(&c, region.Tree{
		Stream: within(&c, "stream", t.GetStream(), ToStream),
		Nodes:  each(&c, "nodes", t.GetNodes(), region.MaxMembers, ToNode),
	})
}

// FromSnapshot converts a whole region.
func FromSnapshot(s region.Snapshot) *Region {
	return &Region{
		Id:         string(s.ID),
		Generation: uint64(s.Generation),
		Revision:   uint64(s.Revision),
		LastLease:  uint64(s.LastLease),
		MaxMembers: uint32(s.MaxMembers),
		Members:    all(s.Members, FromMember),
		Trees:      all(s.Trees, FromTree),
		Fate:       fromFate(s.Fate),
	}
}

// ToSnapshot converts and judges a whole region, part by part; region.Load
// judges the whole.
func ToSnapshot(r *Region) (region.Snapshot, error) {
	var c checker
	return done(&c, region.Snapshot{
		ID:         c.region("id", r.GetId()),
		Generation: region.Generation(r.GetGeneration()),
		Revision:   region.Revision(r.GetRevision()),
		LastLease:  region.Lease(r.GetLastLease()),
		MaxMembers: c.count("max_members", r.GetMaxMembers(), 1, region.MaxMembers),
		Members:    each(&c, "members", r.GetMembers(), region.MaxMembers, ToMember),
		Trees:      each(&c, "trees", r.GetTrees(), region.MaxStreams, ToTree),
		Fate:       toFate(r.GetFate()),
	})
}

// fromTime gives the zero time as 0.
func fromTime(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// all converts a list; an empty one yields nil.
func all[R, W any](rs []R, from func(R) W) []W {
	if len(rs) == 0 {
		return nil
	}
	ws := make([]W, len(rs))
	for i, r := range rs {
		ws[i] = from(r)
	}
	return ws
}

func strs[T fmt.Stringer](list []T) []string {
	return all(list, T.String)
}

func texts[T ~string](list []T) []string {
	return all(list, func(t T) string { return string(t) })
}
