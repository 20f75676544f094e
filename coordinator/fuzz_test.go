package coordinator

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// stage is a region in which o publishes "cam", and a, b and c watch it.
func stage(tb testing.TB) *region.Region {
	tb.Helper()
	r, now := region.New("r1", 16), time.Unix(1000, 0)
	carry := func(edits []region.Edit, err error) {
		if err == nil {
			err = r.Apply(r.Revision()+1, region.Change{Time: now, Base: r.Revision(), Edits: edits})
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	for i, m := range []region.MemberID{"o", "a", "b", "c"} {
		edits, _, err := r.Join(region.Member{ID: m, Uplink: region.Rate(1000 * (3 - i%3))}, now, noRTT{})
		carry(edits, err)
	}
	edits, _, err := r.Publish(region.Stream{ID: "cam", Origin: "o", Kind: region.Video, Layers: []region.Rate{300, 600}, Codec: "VP8"}, 1, now)
	carry(edits, err)
	for i, m := range []region.MemberID{"a", "b", "c"} {
		edits, _, err := r.Admit(region.Admission{
			Stream: "cam", Child: m, Lease: region.Lease(i + 2), Layers: region.AllLayers, Cause: region.Joining, Place: true,
		}, now, time.Second, noRTT{})
		carry(edits, err)
	}
	return r
}

// Whatever a member with a certificate sends, it is refused or decided, and the
// structure keeps its invariants.
func FuzzCalls(f *testing.F) {
	for _, m := range []proto.Message{
		&skeinv1.JoinRequest{Name: "x", UplinkKbps: 9, Lease: 3},
		&skeinv1.PublishRequest{Stream: "mine", Kind: skeinv1.Kind_KIND_DATA, LayerKbps: []uint32{7}},
		&skeinv1.AdmitRequest{
			Stream: "cam", Layers: 3, Cause: skeinv1.Cause_CAUSE_JOINING, Place: true,
			Proposals: []*skeinv1.Proposal{{Parent: "b", Displaced: "c", RttUs: 1000, ParentDelayUs: 1 << 20}, {Parent: "o"}},
		},
		&skeinv1.SessionRequest{
			Confirmations: []*skeinv1.Confirmation{{Stream: "cam", Parent: "o"}},
			Digest:        &skeinv1.Digest{Edges: []*skeinv1.DigestEdge{{Stream: "cam", Parent: "b"}, {Stream: "cam", Parent: "c"}}},
		},
	} {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	whole := stage(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		d := newDraft(&group.State{Region: whole.Clone()}, time.Unix(1001, 0), time.Second, noRTT{})
		for _, err := range sent(d, stay{"a", 2}, raw) {
			if _, broken := errors.AsType[*region.InvariantError](err); broken {
				t.Errorf("decided, but impossible: %v", err)
			}
		}
		if err := d.region.Check(); err != nil {
			t.Error(err)
		}
	})
}

// sent takes raw for each message a member may send, and has it decided.
func sent(d *draft, s stay, raw []byte) (errs []error) {
	var admit skeinv1.AdmitRequest
	if proto.Unmarshal(raw, &admit) == nil {
		a, err := toAdmission(&admit, s)
		if err == nil {
			_, err = d.admit(a)
		}
		errs = append(errs, err)
	}
	var publish skeinv1.PublishRequest
	if proto.Unmarshal(raw, &publish) == nil {
		stream, err := skeinv1.ToStream(&skeinv1.Stream{
			Id: publish.Stream, Origin: string(s.member), Kind: publish.Kind, LayerKbps: publish.LayerKbps, Codec: publish.Codec, Scalable: publish.Scalable,
		})
		if err == nil {
			_, err = d.publish(stream, s.lease)
		}
		errs = append(errs, err)
	}
	var report skeinv1.SessionRequest
	if proto.Unmarshal(raw, &report) == nil && bounded(&report) == nil {
		for _, c := range report.Confirmations {
			if r, err := toEdgeReport(c.Stream, c.Parent); err == nil {
				errs = append(errs, d.confirm(s, []edgeReport{r}))
			}
		}
		held := map[region.StreamID]region.MemberID{}
		for _, e := range report.Digest.GetEdges() {
			if r, err := toEdgeReport(e.Stream, e.Parent); err == nil {
				held[r.stream] = r.parent
				_, err := d.correct(s, r)
				errs = append(errs, err)
			}
		}
		doubts{}.update(d.region, s.member, held, d.now)
	}
	var join skeinv1.JoinRequest
	if proto.Unmarshal(raw, &join) == nil {
		m, err := skeinv1.ToMember(&skeinv1.Member{
			Id: string(s.member), Lease: join.Lease, Name: join.Name, UplinkKbps: join.UplinkKbps, Endpoint: join.Endpoint,
		})
		if err == nil {
			_, err = d.join(m)
		}
		errs = append(errs, err)
	}
	return errs
}
