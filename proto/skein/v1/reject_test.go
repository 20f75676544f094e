package skeinv1

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein/region"
)

func validEndpoint() *Endpoint {
	return &Endpoint{Key: make([]byte, 32), Media: []string{"192.0.2.1:7500"}, Gossip: "192.0.2.1:7402"}
}

func validMember() *Member { return &Member{Id: "m1", Endpoint: validEndpoint()} }

func validStream() *Stream {
	return &Stream{Id: "s", Origin: "m1", Kind: Kind_KIND_VIDEO, LayerKbps: []uint32{100}, Ssrc: 8}
}

func validPresence() *Presence { return &Presence{Space: "plaza", Radius: 30, Spot: &Spot{}} }

func validBystander() *Bystander { return &Bystander{Who: "m1/a"} }

func toPresence(m *Presence) (region.Presence, error) { return ToPresence("m1", m) }

func validNode() *Node { return &Node{Member: "m1", State: State_STATE_STANDING} }

// Each case is one thing that a peer must not say, and how it is told.
func TestReject(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for _, c := range []struct {
		err  error
		want string
	}{
		{with(validEndpoint(), func(e *Endpoint) { e.Key = e.Key[1:] }, ToEndpoint), "key: invalid: want 32 bytes"},
		{with(validEndpoint(), func(e *Endpoint) { e.Key = append(e.Key, 0) }, ToEndpoint), "key: invalid: want 32 bytes"},
		{with(validEndpoint(), func(e *Endpoint) { e.Media = make([]string, 9) }, ToEndpoint), "media: invalid: want at most 8"},
		{with(validEndpoint(), func(e *Endpoint) { e.Media = []string{"h.example:1"} }, ToEndpoint), "media[0]: address: invalid"},
		{with(validEndpoint(), func(e *Endpoint) { e.Media = []string{"192.0.2.1:0"} }, ToEndpoint), "one socket"},
		{with(validEndpoint(), func(e *Endpoint) { e.Gossip = "0.0.0.0:1" }, ToEndpoint), "gossip: invalid"},
		{with(validEndpoint(), func(e *Endpoint) { e.Gossip = "224.0.0.1:1" }, ToEndpoint), "gossip: invalid"},
		{with(validEndpoint(), func(e *Endpoint) { e.Gossip = "255.255.255.255:1" }, ToEndpoint), "gossip: invalid"},
		{with(validEndpoint(), func(e *Endpoint) { e.Gossip = "[fe80::1%" + long + "]:1" }, ToEndpoint), "gossip: invalid"},

		{with(validMember(), func(m *Member) { m.Id = "" }, ToMember), "id: invalid"},
		{with(validMember(), func(m *Member) { m.Id = "../../etc" }, ToMember), "id: invalid"},
		{with(validMember(), func(m *Member) { m.Id = long }, ToMember), "1 to 64 bytes, have 10000"},
		{with(validMember(), func(m *Member) { m.Name = long }, ToMember), "member name: invalid: want at most 64"},
		{with(validMember(), func(m *Member) { m.Name = "a\x1b[2J" }, ToMember), "member name: invalid: want printable"},
		{with(validMember(), func(m *Member) { m.UplinkKbps = math.MaxUint32 }, ToMember), "uplink: invalid"},
		{with(validMember(), func(m *Member) { m.ForwardUs = -1 }, ToMember), "forward_us: invalid"},
		{with(validMember(), func(m *Member) { m.JoinedMs = math.MaxInt64 }, ToMember), "joined_ms: invalid"},
		{with(validMember(), func(m *Member) { m.Endpoint = nil }, ToMember), "endpoint: key: invalid"},

		{with(validStream(), func(s *Stream) { s.Id = "" }, ToStream), "stream name: invalid: want 1 to 200"},
		{with(validStream(), func(s *Stream) { s.Id = long }, ToStream), "1 to 200 bytes, have 10000"},
		{with(validStream(), func(s *Stream) { s.Id = "a b" }, ToStream), "without spaces"},
		{with(validStream(), func(s *Stream) { s.Id = "a\nb" }, ToStream), "without spaces"},
		{with(validStream(), func(s *Stream) { s.Id = "a\xffb" }, ToStream), "printable UTF-8"},
		{with(validStream(), func(s *Stream) { s.Kind = 0 }, ToStream), "kind: invalid: unknown value 0"},
		{with(validStream(), func(s *Stream) { s.Kind = 257 }, ToStream), "kind: invalid: unknown value 257"},
		{with(validStream(), func(s *Stream) { s.Kind = -255 }, ToStream), "kind: invalid: unknown value -255"},
		{with(validStream(), func(s *Stream) { s.LayerKbps = nil }, ToStream), "stream layers: invalid: want 1 to 8"},
		{with(validStream(), func(s *Stream) { s.LayerKbps = make([]uint32, 9) }, ToStream), "stream layers: invalid: want 1 to 8"},
		{with(validStream(), func(s *Stream) { s.LayerKbps = []uint32{0} }, ToStream), "stream layers: invalid: layer 0: want 1 to"},
		{with(validStream(), func(s *Stream) { s.Kind, s.LayerKbps = Kind_KIND_AUDIO, []uint32{1, 2} }, ToStream), "stream layers: invalid: audio and data"},
		{with(validStream(), func(s *Stream) { s.Kind, s.Scalable = Kind_KIND_AUDIO, true }, ToStream), "stream layers: invalid: only a video is scalable"},
		{with(validStream(), func(s *Stream) { s.Ssrc = 9 }, ToStream), "stream SSRC: invalid"},
		{with(validStream(), func(s *Stream) { s.Codec = long }, ToStream), "stream codec: invalid"},

		{with(validPresence(), func(p *Presence) { p.Name = "a/b" }, toPresence), "name: invalid"},
		{with(validPresence(), func(p *Presence) { p.Space = long }, toPresence), "space: invalid: want a name of 1 to 64"},
		{with(validPresence(), func(p *Presence) { p.Space = "a b" }, toPresence), "space: invalid: want letters"},
		{with(validPresence(), func(p *Presence) { p.Edge = 0.5 }, toPresence), "edge: invalid: want 1 to"},
		{with(validPresence(), func(p *Presence) { p.Edge = math.NaN() }, toPresence), "edge: invalid"},
		{with(validPresence(), func(p *Presence) { p.Radius = -1 }, toPresence), "radius: invalid"},
		{with(validPresence(), func(p *Presence) { p.Spot.XDm = math.MinInt32 }, toPresence), "place: invalid"},
		{with(validPresence(), func(p *Presence) { p.Carried = make([]*Carried, 17) }, toPresence), "carried: invalid: want at most 16"},
		{with(validPresence(), func(p *Presence) { p.Carried = []*Carried{{Stream: "s"}} }, toPresence), "carried[0]: kind: invalid"},
		{with(validPresence(), func(p *Presence) { p.Places = "a b" }, toPresence), "places: stream name: invalid"},
		{with(validBystander(), func(b *Bystander) { b.Who = "/a" }, ToBystander), "who: invalid"},
		{with(validBystander(), func(b *Bystander) { b.Who = "m1/a/b" }, ToBystander), "who: invalid"},

		{with(validNode(), func(n *Node) { n.State = 3 }, ToNode), "state: invalid"},
		{with(validNode(), func(n *Node) { n.Layers = 1 << 8 }, ToNode), "layers: invalid"},
		{with(validNode(), func(n *Node) { n.Standbys = make([]string, 6) }, ToNode), "standbys: invalid: want at most 5"},
		{with(validNode(), func(n *Node) { n.Standbys = []string{"m2", ""} }, ToNode), "standbys[1]: invalid"},
		{with(validNode(), func(n *Node) { n.HopUs = math.MinInt64 }, ToNode), "hop_us: invalid"},

		{with(&Candidate{Member: "m", Endpoint: validEndpoint()}, func(c *Candidate) { c.Hazard = math.NaN() }, ToCandidate), "hazard: invalid"},
		{with(&Candidate{Member: "m", Endpoint: validEndpoint()}, func(c *Candidate) { c.Hazard = math.Inf(1) }, ToCandidate), "hazard: invalid"},
		{with(&Candidate{Member: "m", Endpoint: validEndpoint()}, func(c *Candidate) { c.Subtree = math.MaxUint32 }, ToCandidate), "subtree: invalid"},
		{with(&View{Region: "r", Stream: validStream()}, func(v *View) { v.Candidates = make([]*Candidate, 65) }, ToView), "candidates: invalid: want at most 64"},
		{with(&View{Region: "r", Stream: validStream()}, func(v *View) { v.Candidates = make([]*Candidate, 1) }, ToView), "candidates[0]: member: invalid"},
		{with(&Region{Id: "r", MaxMembers: 1}, func(r *Region) { r.MaxMembers = 0 }, ToSnapshot), "max_members: invalid: want 1 to 8192"},
		{with(&Region{Id: "r", MaxMembers: 1}, func(r *Region) { r.Members = make([]*Member, 8193) }, ToSnapshot), "members: invalid"},
		{with(&Change{}, func(c *Change) { c.Edits = []*Edit{{}} }, ToChange), "edits[0]: kind: invalid"},
		{with(&Change{}, func(c *Change) { c.Edits = []*Edit{{Kind: &Edit_SetNode{&SetNode{Stream: "s", Node: &Node{}}}}} }, ToChange),
			"edits[0]: set_node: node: member: invalid"},
		{with(&Change{}, func(c *Change) { c.Edits = []*Edit{{Kind: &Edit_PutMember{}}} }, ToChange), "edits[0]: put_member: id: invalid"},
		{second(ToProposals(make([]*Proposal, 17))), "proposals: invalid: want at most 16"},
		{second(ToRefusals([]*Refusal{{Proposal: &Proposal{Parent: "m"}, Reason: 7}})), "refusals[0]: reason: invalid"},
	} {
		if !errors.Is(c.err, region.ErrInvalid) || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%v, want ErrInvalid that says %q", c.err, c.want)
		}
		if c.err != nil && len(c.err.Error()) > 1000 {
			t.Errorf("an error of %d bytes: %.80s...", len(c.err.Error()), c.err)
		}
	}
}

// with converts m after one thing was changed in it.
func with[W proto.Message, R any](m W, change func(W), to func(W) (R, error)) error {
	if _, err := to(m); err != nil {
		return errors.New("is refused as it was")
	}
	change(m)
	out, err := to(m)
	if err != nil && !reflect.ValueOf(&out).Elem().IsZero() {
		return errors.New("is refused and returned")
	}
	return err
}

func second[T any](_ T, err error) error { return err }

// Whatever bytes come in, conversion neither panics nor lets anything through
// that would look different on its way out and in again.
func FuzzInward(f *testing.F) {
	for _, m := range []proto.Message{
		validEndpoint(), validMember(), validStream(), validNode(),
		&Change{Edits: []*Edit{{Kind: &Edit_PutMember{validMember()}}, {Kind: &Edit_PutStream{validStream()}}}},
		&View{Region: "r", Stream: validStream(), Candidates: []*Candidate{{Member: "m", Endpoint: validEndpoint()}}},
		&Region{Id: "r", MaxMembers: 8, Members: []*Member{validMember()}, Trees: []*Tree{{Stream: validStream(), Nodes: []*Node{validNode()}}}},
		&Refusal{Proposal: &Proposal{Parent: "m"}, Reason: Reason_REASON_FULL},
	} {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		stable(t, raw, &Endpoint{}, FromEndpoint, ToEndpoint)
		stable(t, raw, &Member{}, FromMember, ToMember)
		stable(t, raw, &Stream{}, FromStream, ToStream)
		stable(t, raw, &Node{}, FromNode, ToNode)
		stable(t, raw, &Change{}, FromChange, ToChange)
		stable(t, raw, &View{}, FromView, ToView)
		stable(t, raw, &Region{}, FromSnapshot, ToSnapshot)
		stable(t, raw, &Refusal{}, FromRefusal, ToRefusal)
	})
}

func stable[R any, W proto.Message](t *testing.T, raw []byte, m W, from func(R) W, to func(W) (R, error)) {
	if proto.Unmarshal(raw, m) != nil {
		return
	}
	once, err := to(m)
	if err != nil {
		if !errors.Is(err, region.ErrInvalid) {
			t.Errorf("%T: %v, want ErrInvalid", m, err)
		}
		return
	}
	twice, err := to(from(once))
	if err != nil || !reflect.DeepEqual(once, twice) {
		t.Errorf("%T: received %+v, received again %+v, %v", m, once, twice, err)
	}
}
