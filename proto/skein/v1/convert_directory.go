package skeinv1

import (
	"crypto/ed25519"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// MaxDescriptor bounds an encoded descriptor, in bytes.
const MaxDescriptor = 4096

// SignDescriptor encodes a descriptor and signs it with the region's key.
func SignDescriptor(key ed25519.PrivateKey, d region.Descriptor) (*SignedDescriptor, error) {
	copy(d.Key[:], key.Public().(ed25519.PublicKey))
	if err := d.Validate(); err != nil {
		return nil, err
	}
	body, err := proto.Marshal(fromDescriptor(d))
	if err != nil {
		return nil, fmt.Errorf("descriptor of %s: %w", d.Region, err)
	}
	return &SignedDescriptor{Body: body, Signature: trust.SignDescriptor(key, body)}, nil
}

// OpenDescriptor decodes a descriptor and checks that the key in it has signed it.
// Whether it is the right key for that region is for the caller to judge.
func OpenDescriptor(s *SignedDescriptor) (region.Descriptor, error) {
	if len(s.GetBody()) > MaxDescriptor {
		return region.Descriptor{}, fmt.Errorf("descriptor of %d bytes, at most %d: %w", len(s.GetBody()), MaxDescriptor, region.ErrLimit)
	}
	m, err := DecodeDescriptor(s)
	if err != nil {
		return region.Descriptor{}, err
	}
	d, err := toDescriptor(m)
	if err != nil {
		return region.Descriptor{}, fmt.Errorf("descriptor: %w", err)
	}
	return d, trust.CheckDescriptor(d.Key[:], s.GetBody(), s.GetSignature())
}

// DecodeDescriptor is the message inside, which is not judged.
func DecodeDescriptor(s *SignedDescriptor) (*Descriptor, error) {
	m := &Descriptor{}
	if err := proto.Unmarshal(s.GetBody(), m); err != nil {
		return nil, fmt.Errorf("descriptor: %w: %w", region.ErrInvalid, err)
	}
	return m, nil
}

func fromDescriptor(d region.Descriptor) *Descriptor {
	m := &Descriptor{
		Region: string(d.Region), Generation: uint64(d.Generation), Term: d.Term, Sequence: d.Sequence, IssuedMs: fromTime(d.Issued),
		Key: d.Key[:], Members: uint32(d.Members), MaxMembers: uint32(d.MaxMembers), Streams: uint32(d.Streams),
		UplinkKbps: d.Uplink, FreeKbps: d.Free, Probes: strs(d.Probes), Parent: string(d.Parent), Into: string(d.Into),
	}
	for _, h := range d.Replicas {
		m.Replicas = append(m.Replicas, &ReplicaHost{Id: string(h.ID), Grpc: h.GRPC, Raft: h.Raft})
	}
	return m
}

func toDescriptor(m *Descriptor) (region.Descriptor, error) {
	var c checker
	d := region.Descriptor{
		Region: c.region("region", m.GetRegion()), Generation: region.Generation(m.GetGeneration()),
		Term: m.GetTerm(), Sequence: m.GetSequence(), Issued: c.time("issued_ms", m.GetIssuedMs()),
		Members: int(m.GetMembers()), MaxMembers: int(m.GetMaxMembers()), Streams: int(m.GetStreams()),
		Uplink: m.GetUplinkKbps(), Free: m.GetFreeKbps(),
		Probes: each(&c, "probes", m.GetProbes(), region.MaxProbes, toAddress),
		Parent: region.ID(m.GetParent()), Into: region.ID(m.GetInto()),
	}
	if copy(d.Key[:], m.GetKey()) != len(d.Key) || len(m.GetKey()) != len(d.Key) {
		c.fail("key", "want %d bytes, have %d", len(d.Key), len(m.GetKey()))
	}
	for _, h := range m.GetReplicas() {
		d.Replicas = append(d.Replicas, region.Host{ID: c.member("replicas", h.GetId()), GRPC: h.GetGrpc(), Raft: h.GetRaft()})
	}
	c.judge(d.Validate())
	return done(&c, d)
}

// FromTestimony converts what a member holds; the rest of the request is for the
// caller to set.
func FromTestimony(t region.Testimony) *TestifyRequest {
	return &TestifyRequest{
		Generation: uint64(t.Generation), Revision: uint64(t.Revision), Member: FromMember(t.Member), Holdings: all(t.Holdings, fromHolding),
	}
}

// ToTestimony converts and judges what a member says that it holds.
func ToTestimony(m *TestifyRequest) (region.Testimony, error) {
	var c checker
	t := region.Testimony{
		Generation: region.Generation(m.GetGeneration()), Revision: region.Revision(m.GetRevision()),
		Member:   within(&c, "member", m.GetMember(), ToMember),
		Holdings: each(&c, "holdings", m.GetHoldings(), region.MaxStreams, toHolding),
	}
	return done(&c, t)
}

func fromHolding(h region.Holding) *Holding {
	return &Holding{
		Stream: FromStream(h.Stream), Parent: string(h.Parent), Layers: uint32(h.Layers), HopUs: h.Hop.Microseconds(), Standbys: texts(h.Standbys),
	}
}

func toHolding(m *Holding) (region.Holding, error) {
	var c checker
	return done(&c, region.Holding{
		Stream: within(&c, "stream", m.GetStream(), ToStream),
		Parent: c.memberOrNone("parent", m.GetParent()), Layers: c.layers("layers", m.GetLayers()), Hop: c.duration("hop_us", m.GetHopUs()),
		Standbys: each(&c, "standbys", m.GetStandbys(), region.MaxStandbys, ToMemberID),
	})
}
