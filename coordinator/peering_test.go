package coordinator

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

const theirs = "aaaaaaaaaaaaaaaaaaaaaaaa" // a community

func sharing(draw ...string) *group.State {
	return &group.State{Region: region.New("r1", 16), Agreements: []group.Agreement{{Community: theirs, Name: "east", Draw: draw, Visitors: 2}}}
}

// Only so many come from another community at a time, however often they come, and
// nobody from one with which nothing was agreed on.
func TestVisitorsFromAnotherCommunityAreCounted(t *testing.T) {
	d := newDraft(sharing("*"), time.Unix(1000, 0), time.Second, noRTT{})
	visit := func(id region.MemberID, home region.ID) error {
		m := region.Member{ID: id, Lease: 1, Home: home}
		if err := d.visitable(m); err != nil {
			return err
		}
		_, err := d.visit(m)
		return err
	}
	for _, c := range []struct {
		id   region.MemberID
		home region.ID
		want error
	}{
		{"a", region.ID("r1").Of(theirs), nil},
		{"b", region.ID("r2").Of(theirs), nil},
		{"c", region.ID("r1").Of(theirs), region.ErrLimit},
		{"a", region.ID("r1").Of(theirs), nil},
		{"d", region.ID("r1").Of("bbbbbbbbbbbbbbbbbbbbbbbb"), region.ErrForbidden},
		{"e", "r2", nil}, // of this community, which needs no agreement
	} {
		if err := visit(c.id, c.home); !errors.Is(err, c.want) {
			t.Errorf("%s of %s: %v, want %v", c.id, c.home, err, c.want)
		}
	}
}

func TestOperatorsAgreeOnce(t *testing.T) {
	d := newDraft(sharing("*"), time.Unix(1000, 0), time.Second, noRTT{})
	other := "bbbbbbbbbbbbbbbbbbbbbbbb"
	for _, c := range []struct {
		next *skeinv1.Agreement
		name string
		want error
	}{
		{&skeinv1.Agreement{Community: other, Name: "east"}, "east", region.ErrExists},
		{&skeinv1.Agreement{Community: other, Name: "south"}, "south", nil},
		{&skeinv1.Agreement{Community: theirs, Name: "far-east"}, "far-east", nil},
		{&skeinv1.Agreement{}, "west", region.ErrInvalid},
		{&skeinv1.Agreement{}, "east", nil},
		{&skeinv1.Agreement{Community: theirs}, "", nil},
	} {
		if err := d.agree(c.next, c.name); !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.next, err, c.want)
		}
	}
	if end := d.agreements[len(d.agreements)-2]; end.Community != theirs || end.Name != "" {
		t.Errorf("what was named ends by %v", end)
	}
	if d.empty() {
		t.Error("nothing is to be written down")
	}
}

// Of what somebody of another community reports nothing is left by which others suffer.
func TestAVisitorSpeaksForItself(t *testing.T) {
	m := &skeinv1.SessionRequest{
		Heartbeat: &skeinv1.Heartbeat{}, Confirmations: []*skeinv1.Confirmation{{}}, Rtts: []*skeinv1.RttSample{{}},
		Digest: &skeinv1.Digest{}, Vote: &skeinv1.Vote{}, Leaf: &skeinv1.LeafReport{},
		Rumours: []*skeinv1.Rumour{{}}, Mismatches: []*skeinv1.Mismatch{{}}, Departures: []string{"x"}, Presences: []*skeinv1.Presence{{}},
	}
	onlyOfItself(m)
	want := &skeinv1.SessionRequest{Heartbeat: &skeinv1.Heartbeat{}, Confirmations: []*skeinv1.Confirmation{{}}, Rtts: []*skeinv1.RttSample{{}}}
	if !proto.Equal(m, want) {
		t.Errorf("left of it is %v", m)
	}
}

// Every method is for this community alone, unless it is known to be for others.
func TestWhatIsOpenToOthers(t *testing.T) {
	g := &gatekeeper{agreed: func(c string) bool { return c == theirs }}
	methods := map[string]bool{}
	for method := range roles {
		methods[method] = true
	}
	for method := range visiting {
		methods[method] = true
	}
	for method := range methods {
		for _, role := range []trust.Role{trust.RoleMember, trust.RoleCoordinator, trust.RoleOperator} {
			who := caller{Peer: trust.Peer{ID: "x", Role: role}, Community: theirs}
			open := visiting[method] == role
			if err := g.welcome(who, method); (err == nil) != open {
				t.Errorf("a %s of theirs calls %s: %v", role, method, err)
			}
			who.Community = "bbbbbbbbbbbbbbbbbbbbbbbb"
			if err := g.welcome(who, method); !errors.Is(err, region.ErrForbidden) {
				t.Errorf("a stranger calls %s: %v", method, err)
			}
		}
	}
}

// Whatever another community answers, what is drawn from it is a stream of that name,
// in one of its own regions.
func FuzzFoundIn(f *testing.F) {
	a := group.Agreement{Community: theirs, Name: "east", Seeds: []string{"h:1"}}
	good, err := proto.Marshal(&skeinv1.ResolveResponse{Home: "r1@" + theirs, Stream: &skeinv1.Stream{
		Id: "east/x", Origin: "o", Kind: skeinv1.Kind_KIND_DATA, LayerKbps: []uint32{3}, Ssrc: 7, From: "r9", Standby: "s",
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &skeinv1.ResolveResponse{}
		if proto.Unmarshal(data, m) != nil {
			return
		}
		s, err := foundIn(a, "east/x", m)
		if err != nil {
			return
		}
		if s.ID != "east/x" || s.From.Community() != theirs || s.From.Local() == "" || len(s.From) > region.MaxName || s.Standby != "" {
			t.Errorf("it is to be drawn as %+v", s)
		}
		if err := s.Validate(); err != nil {
			t.Error(err)
		}
		r := stage(t)
		if edits, err := r.Import(s, "a", noRTT{}); err == nil {
			if err := r.Apply(r.Revision()+1, region.Change{Time: time.Unix(2000, 0), Base: r.Revision(), Edits: edits}); err != nil {
				t.Errorf("%+v: %v", s, err)
			} else if err := r.Check(); err != nil {
				t.Errorf("%+v: %v", s, err)
			}
		}
	})
}
