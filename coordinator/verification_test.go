package coordinator

import (
	"testing"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// Every kind of disagreement is told to people, and settled by its own rule.
func TestEveryDisagreementHasARule(t *testing.T) {
	c := newCluster(t, 1, func(cfg *Config) {
		cfg.LeaseTTL = time.Minute
		cfg.Reorganise.Every = 0
	})
	origin, relay, child := c.participant(2000), c.participant(9000), c.participant(0)
	for _, p := range []*participant{origin, relay, child} {
		p.join()
	}
	people := origin.watch(0)
	origin.publish("cam")
	relay.admit("cam")
	up, _ := relay.session()
	relay.confirm(up, "cam", string(origin.id()))
	req := child.admitRequest("cam")
	req.Proposals = []*skeinv1.Proposal{{Parent: string(relay.id()), ParentDelayUs: time.Hour.Microseconds()}}
	call(child, req, skeinv1.MembershipClient.Admit)
	down, _ := child.session()
	child.confirm(down, "cam", string(relay.id()))
	people.until("edge.confirmed", child.id())

	role := func(parent region.MemberID) func(*skeinv1.SessionResponse) bool {
		return func(m *skeinv1.SessionResponse) bool {
			return len(m.Roles) == 1 && m.Roles[0].GetParent().GetPeer().GetId() == string(parent)
		}
	}
	// What neighbours find: both ends of the edge are told their roles again.
	for kind, name := range map[skeinv1.MismatchKind]string{
		skeinv1.MismatchKind_MISMATCH_KIND_NOT_FED:      "verify.not-fed",
		skeinv1.MismatchKind_MISMATCH_KIND_WRONG_PARENT: "verify.wrong-parent",
		skeinv1.MismatchKind_MISMATCH_KIND_STRANGER:     "verify.stranger",
	} {
		said := &skeinv1.SessionRequest{Mismatches: []*skeinv1.Mismatch{{Kind: kind, Stream: "cam", Peer: string(child.id())}}}
		if err := up.Send(said); err != nil {
			t.Fatal(err)
		}
		if e := people.until(name, relay.id()); e.Stream != "cam" || e.Parent != string(child.id()) {
			t.Errorf("%s: %v", name, e)
		}
		relay.told(up, role(origin.id()))
		child.told(down, role(relay.id()))
	}

	// What the leader finds in digests, once it has lasted. A place that the member
	// knows nothing of, and a parent that is no member: it is told its role again.
	hold := func(parent region.MemberID) *skeinv1.SessionRequest {
		m := &skeinv1.SessionRequest{Digest: &skeinv1.Digest{}}
		if parent != "" {
			m.Digest.Edges = []*skeinv1.DigestEdge{{Stream: "cam", Parent: string(parent), Revision: uint64(c.region().Revision())}}
		}
		return m
	}
	twice := func(m *skeinv1.SessionRequest) {
		for range 2 {
			if err := down.Send(m); err != nil {
				t.Fatal(err)
			}
			time.Sleep(doubtFor + 100*time.Millisecond)
		}
	}
	stranger := c.participant(0)
	for _, tt := range []struct {
		kind string
		held region.MemberID
	}{{"verify.missing", ""}, {"verify.ghost", stranger.id()}} {
		twice(hold(tt.held))
		people.until(tt.kind, child.id())
		child.told(down, role(relay.id()))
	}

	// The right parent by a role that is not the one it was told last.
	old := hold(relay.id())
	old.Digest.Edges[0].Revision = 1
	twice(old)
	people.until("verify.old-role", child.id())
	child.told(down, role(relay.id()))

	// Another parent than the log says: the log follows.
	twice(hold(origin.id()))
	people.until("verify.contradicted", child.id())
	c.until("the log follows", func() bool {
		n, _ := c.region().Node("cam", child.id())
		return n.Parent == origin.id() && n.State == region.Standing
	})

	// A revision that the log has not reached: it was restored from something
	// older. Once is enough.
	late := hold(origin.id())
	late.Digest.Edges[0].Revision = uint64(c.region().Revision()) + 1000
	if err := down.Send(late); err != nil {
		t.Fatal(err)
	}
	people.until("verify.behind", child.id())
}

// A member that forwards slowly is known for it; what a busy machine makes of the
// others is not written down.
func TestForwardingTimesAreWrittenDown(t *testing.T) {
	r := region.New("r1", 8)
	var edits []region.Edit
	for i, id := range []region.MemberID{"slow", "busy", "quick"} {
		edits = append(edits, region.PutMember{Member: region.Member{ID: id, Lease: region.Lease(i + 1), Forward: region.DefaultForward}})
	}
	now := time.UnixMilli(1_000_000)
	if err := r.Apply(1, region.Change{Time: now, Edits: edits}); err != nil {
		t.Fatal(err)
	}
	say := func(slow time.Duration) {
		d := &draft{region: r, now: now}
		said := map[region.MemberID]time.Duration{"slow": slow, "busy": 4 * time.Millisecond, "quick": 1, "gone": time.Second}
		if err := d.reforward(said); err != nil {
			t.Fatal(err)
		}
		r = d.region
	}
	want := func(slow time.Duration) {
		t.Helper()
		for id, want := range map[region.MemberID]time.Duration{"slow": slow, "busy": region.DefaultForward, "quick": region.DefaultForward} {
			if m, _ := r.Member(id); m.Forward != want {
				t.Errorf("%s forwards in %v, want %v", id, m.Forward, want)
			}
		}
	}
	say(20 * time.Millisecond)
	want(20 * time.Millisecond)
	say(24 * time.Millisecond)
	want(20 * time.Millisecond)
	say(time.Hour)
	want(region.MaxDelay)
	say(0)
	want(region.DefaultForward)
}
