package coordinator

import (
	"errors"
	"testing"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

func retriable(err error) bool {
	err = skeinv1.FromStatus(err)
	return errors.Is(err, region.ErrNotLeader) || errors.Is(err, region.ErrOutcomeUnknown) || unavailable(err)
}

// A member joins, publishes; another one is admitted, both ends are told of
// each other, and the edge stands once the child has confirmed it.
func TestAdmissionFromEndToEnd(t *testing.T) {
	c := newCluster(t, 3, nil)
	origin, child := c.participant(10000), c.participant(5000)
	joined := origin.join()
	if joined.LeaseTtlMs != 10000 || len(joined.GrantKey) != 32 || len(joined.GossipKeys) != 1 || len(joined.Coordinators) != 3 {
		t.Fatalf("join: %v", joined)
	}
	origin.publish("cam")
	child.join()
	stream, roles := origin.session()
	if r := roles["cam"]; r == nil || r.Parent != nil || !r.Placed {
		t.Fatalf("the origin was told %v", roles)
	}

	answer := child.admit("cam")
	accepted := answer.GetAccepted()
	if accepted.GetParent().GetPeer().GetId() != string(origin.id()) {
		t.Fatalf("admitted: %v", answer)
	}
	grant, err := trust.OpenGrant(joined.GrantKey, accepted.Parent.Grant, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if grant.Child != child.id() || grant.Parent != origin.id() || uint64(grant.Lease) != child.lease || grant.Standby {
		t.Errorf("grant: %+v", grant)
	}
	origin.told(stream, func(m *skeinv1.SessionResponse) bool {
		for _, r := range m.Roles {
			if len(r.Children) == 1 && r.Children[0].Id == string(child.id()) && r.Children[0].Endpoint.Media[0] == child.addr.String() {
				return true
			}
		}
		return false
	})

	up, roles := child.session()
	if roles["cam"].GetParent().GetPeer().GetId() != string(origin.id()) {
		t.Errorf("the child was told %v", roles)
	}
	child.confirm(up, "cam", string(origin.id()))
	c.until("the edge stands", func() bool {
		n, ok := c.region().Node("cam", child.id())
		return ok && n.State == region.Standing
	})
	if n, ok := c.agree().Node("cam", child.id()); !ok || n.Parent != origin.id() {
		t.Errorf("the replicas hold %+v", n)
	}
}

func TestARefusalComesWithReasonsAndAFreshView(t *testing.T) {
	c := newCluster(t, 1, nil)
	// The origin can feed one child, and that child nobody.
	origin, first, second := c.participant(1000), c.participant(0), c.participant(0)
	origin.join()
	origin.publish("cam")
	first.join()
	second.join()
	first.admit("cam")

	req := second.admitRequest("cam")
	req.Place = false
	req.Proposals = []*skeinv1.Proposal{
		{Parent: string(origin.id())},
		{Parent: string(origin.id()), Displaced: string(second.id())},
		{Parent: string(first.id())},
	}
	answer := call(second, req, skeinv1.MembershipClient.Admit)
	refused := answer.GetRefused()
	if len(refused.GetRefusals()) != 3 || refused.Refusals[0].Reason != skeinv1.Reason_REASON_FULL {
		t.Fatalf("full: %v", answer)
	}
	if refused.View.GetRevision() == 0 || len(refused.View.Candidates) == 0 || refused.View.Stream.Id != "cam" {
		t.Errorf("the view: %v", refused.View)
	}

	// There is room again, but the proposal rests on a delay that is not true.
	third, relay := c.participant(0), c.participant(10000)
	relay.join()
	relay.uplink = 10000
	third.join()
	call(first, &skeinv1.ReleaseRequest{Region: "r1", RequestId: first.requestID(), Lease: first.lease, Stream: "cam"}, skeinv1.MembershipClient.Release)
	relay.admit("cam")
	req = third.admitRequest("cam")
	req.Place = false
	req.Proposals = []*skeinv1.Proposal{{Parent: string(relay.id()), ParentDelayUs: 1}}
	answer = call(third, req, skeinv1.MembershipClient.Admit)
	if r := answer.GetRefused(); len(r.GetRefusals()) != 1 || r.Refusals[0].Reason != skeinv1.Reason_REASON_STALE {
		t.Fatalf("stale: %v", answer)
	}
	// With what the view says it is accepted.
	for _, candidate := range answer.GetRefused().View.Candidates {
		if candidate.Member == string(relay.id()) {
			req.Proposals[0].ParentDelayUs = candidate.DelayUs
		}
	}
	req.RequestId = third.requestID()
	if answer = call(third, req, skeinv1.MembershipClient.Admit); answer.GetAccepted() == nil {
		t.Errorf("with a fresh view: %v", answer)
	}
	counts := c.servers[0].replicas[0].counts.message()
	if counts.RefusedFull != 1 || counts.RefusedStale != 1 || counts.Accepted != 3 || counts.Placed != 2 {
		t.Errorf("counts: %v", counts)
	}
}

func TestARequestRepeatedAtTheNextLeaderGetsTheSameAnswer(t *testing.T) {
	c := newCluster(t, 3, nil)
	origin, child := c.participant(10000), c.participant(0)
	origin.join()
	origin.publish("cam")
	join := child.joinRequest()
	first := call(child, join, skeinv1.MembershipClient.Join)
	child.lease = first.Lease
	admit := child.admitRequest("cam")
	admitted := call(child, admit, skeinv1.MembershipClient.Admit)

	old := c.leader()
	c.kill(old)
	if again := call(child, join, skeinv1.MembershipClient.Join); again.Lease != first.Lease || again.Revision != first.Revision {
		t.Errorf("join: %v, then %v", first, again)
	}
	again := call(child, admit, skeinv1.MembershipClient.Admit)
	if again.Revision != admitted.Revision || again.GetAccepted().GetParent().GetPeer().GetId() != string(origin.id()) {
		t.Errorf("admit: %v, then %v", admitted, again)
	}
	if len(again.GetAccepted().GetParent().GetGrant()) == 0 {
		t.Error("the repeated answer has no grant")
	}
}

func TestAFollowerNamesTheLeader(t *testing.T) {
	c := newCluster(t, 3, nil)
	p := c.participant(0)
	leader := c.leader()
	_, err := p.at((leader+1)%3).Join(t.Context(), p.joinRequest())
	hint, ok := errors.AsType[*region.NotLeaderError](skeinv1.FromStatus(err))
	if !ok || hint.Leader != c.configs[leader].Credentials.ID() || hint.Address != c.configs[leader].GRPC {
		t.Errorf("a follower said: %v", err)
	}
}

func TestAnEarlierStayIsFencedOff(t *testing.T) {
	c := newCluster(t, 1, nil)
	p := c.participant(1000)
	p.join()
	old := p.lease
	stream, _ := p.session()
	p.lease = 0
	p.join()
	if p.lease <= old {
		t.Fatalf("lease %d after %d", p.lease, old)
	}
	p.told(stream, func(m *skeinv1.SessionResponse) bool { return m.LeaseLost })
	if _, err := stream.Recv(); !errors.Is(skeinv1.FromStatus(err), region.ErrLease) {
		t.Errorf("the old session ended with: %v", err)
	}
	_, err := p.leader().Publish(t.Context(), &skeinv1.PublishRequest{
		Region: "r1", RequestId: p.requestID(), Lease: old, Stream: "cam", Kind: skeinv1.Kind_KIND_DATA, LayerKbps: []uint32{1},
	})
	if !errors.Is(skeinv1.FromStatus(err), region.ErrLease) {
		t.Errorf("publish in the old stay: %v", err)
	}
	// A member that goes on with its stay keeps the lease.
	lease := p.lease
	if p.join(); p.lease != lease {
		t.Errorf("going on with lease %d gave %d", lease, p.lease)
	}
}

func TestNobodySpeaksForAnother(t *testing.T) {
	c := newCluster(t, 1, nil)
	honest, liar := c.participant(1000), c.participant(1000)
	honest.join()
	honest.publish("cam")
	liar.join()
	unpublish := &skeinv1.UnpublishRequest{Region: "r1", RequestId: "q", Lease: honest.lease, Stream: "cam"}
	if _, err := liar.leader().Unpublish(t.Context(), unpublish); !errors.Is(skeinv1.FromStatus(err), region.ErrLease) {
		t.Errorf("with another's lease: %v", err)
	}
	unpublish.Lease = liar.lease
	if _, err := liar.leader().Unpublish(t.Context(), unpublish); !errors.Is(skeinv1.FromStatus(err), region.ErrNotOrigin) {
		t.Errorf("another's stream: %v", err)
	}
	inspect := skeinv1.NewInspectionClient(c.dial(0, liar.creds))
	if _, err := inspect.CreateToken(t.Context(), &skeinv1.CreateTokenRequest{Role: "operator", TtlMs: 60000}); !errors.Is(skeinv1.FromStatus(err), region.ErrForbidden) {
		t.Errorf("a member makes a token: %v", err)
	}
	stranger := skeinv1.NewMembershipClient(c.dial(0, nil))
	if _, err := stranger.Join(t.Context(), honest.joinRequest()); !errors.Is(skeinv1.FromStatus(err), region.ErrUnauthenticated) {
		t.Errorf("without a certificate: %v", err)
	}
	if _, ok := c.region().Stream("cam"); !ok {
		t.Error("the stream is gone")
	}
}

func TestAnUnconfirmedEdgeExpires(t *testing.T) {
	c := newCluster(t, 1, func(cfg *Config) { cfg.Reservation, cfg.LeaseGrace = 300*time.Millisecond, 0 })
	origin, child := c.participant(1000), c.participant(0)
	origin.join()
	origin.publish("cam")
	child.join()
	watch := child.watch(0)
	child.admit("cam")
	watch.until("edge.expired", child.id())
	if _, ok := c.region().Node("cam", child.id()); ok {
		t.Error("the child still has its place")
	}
	if answer := child.admit("cam"); answer.GetAccepted() == nil {
		t.Errorf("its place was not free: %v", answer)
	}
}

func TestASilentMemberIsLost(t *testing.T) {
	c := newCluster(t, 1, func(cfg *Config) { cfg.LeaseTTL, cfg.LeaseGrace = time.Second, 0 })
	silent, talker := c.participant(1000), c.participant(1000)
	talker.join()
	watch := talker.watch(0)
	silent.join()
	silent.publish("cam")
	stream, _ := talker.session()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(200 * time.Millisecond):
				stream.Send(&skeinv1.SessionRequest{Heartbeat: &skeinv1.Heartbeat{SendingKbps: 7}})
			}
		}
	}()
	watch.until("member.lost", silent.id())
	r := c.region()
	if _, ok := r.Member(talker.id()); !ok || r.StreamCount() != 0 {
		t.Errorf("after the loss:\n%s", r.Describe())
	}
	members, err := skeinv1.NewInspectionClient(talker.conns[0]).Members(t.Context(), &skeinv1.MembersRequest{})
	if err != nil || len(members.Members) != 1 || members.Members[0].SendingKbps != 7 {
		t.Errorf("members: %v, %v", members, err)
	}
}

func TestTwoReportersMakeARumourTrue(t *testing.T) {
	// The lease alone would keep the dead member for a minute.
	c := newCluster(t, 1, func(cfg *Config) { cfg.LeaseTTL = 4 * time.Second; cfg.LeaseGrace = time.Hour })
	dead, one, two := c.participant(0), c.participant(0), c.participant(0)
	watch := dead.watch(0)
	for _, p := range []*participant{dead, one, two} {
		p.join()
	}
	rumour := &skeinv1.SessionRequest{Rumours: []*skeinv1.Rumour{{Member: string(dead.id()), Lease: dead.lease}}}
	for _, p := range []*participant{one, one, two} {
		stream, _ := p.session()
		if err := stream.Send(rumour); err != nil {
			t.Fatal(err)
		}
	}
	watch.until("member.lost", dead.id())
}

// What a member really draws counts: if it contradicts the log for long enough,
// the log follows.
func TestTheStructureFollowsWhatMembersHold(t *testing.T) {
	c := newCluster(t, 1, nil)
	origin, relay, child := c.participant(2000), c.participant(9000), c.participant(0)
	for _, p := range []*participant{origin, relay, child} {
		p.join()
	}
	origin.publish("cam")
	relay.admit("cam")
	up, _ := relay.session()
	relay.confirm(up, "cam", string(origin.id()))
	req := child.admitRequest("cam")
	req.Proposals = []*skeinv1.Proposal{{Parent: string(origin.id())}}
	call(child, req, skeinv1.MembershipClient.Admit)
	stream, _ := child.session()
	child.confirm(stream, "cam", string(origin.id()))

	digest := &skeinv1.SessionRequest{Digest: &skeinv1.Digest{Edges: []*skeinv1.DigestEdge{{Stream: "cam", Parent: string(relay.id())}}}}
	c.until("the child hangs under the relay", func() bool {
		if err := stream.Send(digest); err != nil {
			t.Fatal(err)
		}
		n, _ := c.region().Node("cam", child.id())
		return n.Parent == relay.id() && n.State == region.Standing
	})

	// What cannot be is not followed: the member is told its role again.
	digest.Digest.Edges[0].Parent = string(child.id())
	for range 2 {
		if err := stream.Send(digest); err != nil {
			t.Fatal(err)
		}
		time.Sleep(doubtFor + 100*time.Millisecond)
	}
	child.told(stream, func(m *skeinv1.SessionResponse) bool {
		return len(m.Roles) == 1 && m.Roles[0].GetParent().GetPeer().GetId() == string(relay.id())
	})
}

func TestAKilledCoordinatorComesBackOnItsFolder(t *testing.T) {
	c := newCluster(t, 3, nil)
	origin := c.participant(50000)
	origin.join()
	origin.publish("cam")
	for round := range 3 {
		victim := (c.leader() + round) % 3
		c.kill(victim)
		p := c.participant(0)
		p.join()
		p.admit("cam")
		c.start(victim)
	}
	if n := c.agree().NodeCount("cam"); n != 4 {
		t.Errorf("%d nodes", n)
	}
	for i := range c.servers {
		c.kill(i)
	}
	for i := range c.servers {
		c.start(i)
	}
	// A member that goes on with its stay finds it as it was.
	lease := origin.lease
	if origin.join(); origin.lease != lease {
		t.Errorf("lease %d after all were down, %d before", origin.lease, lease)
	}
	if n := c.agree().NodeCount("cam"); n != 4 {
		t.Errorf("%d nodes after all were down", n)
	}
}

func TestALeaderThatDrainsHandsOver(t *testing.T) {
	c := newCluster(t, 3, nil)
	p := c.participant(1000)
	p.join()
	stream, _ := p.session()
	old := c.leader()
	s := c.take(old)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := stream.Recv()
	for err == nil {
		_, err = stream.Recv()
	}
	if !errors.Is(skeinv1.FromStatus(err), region.ErrNotLeader) {
		t.Errorf("the session ended with: %v", err)
	}
	p.publish("cam")
	if c.leader() == old {
		t.Error("the old leader leads")
	}
}

// While all coordinators are down a relay dies, and its child goes on with its
// standby. When they are back, the structure becomes what the members hold.
func TestAfterAnOutageTheStructureIsWhatMembersHold(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) {
		cfg.LeaseTTL, cfg.LeaseGrace, cfg.Reservation = 2*time.Second, time.Second, time.Second
	})
	origin, relay, child := c.participant(1000), c.participant(9000), c.participant(9000)
	for _, p := range []*participant{origin, relay, child} {
		p.join()
	}
	origin.publish("cam")
	if parent := relay.admit("cam").GetAccepted().GetParent().GetPeer().GetId(); parent != string(origin.id()) {
		t.Fatalf("the relay hangs under %s", parent)
	}
	relay.talk("cam", origin.id())
	req := child.admitRequest("cam")
	req.Proposals, req.Place = []*skeinv1.Proposal{{Parent: string(relay.id()), ParentDelayUs: time.Hour.Microseconds()}}, false
	call(child, req, skeinv1.MembershipClient.Admit)
	hold := child.talk("cam", relay.id())
	talkOrigin := origin.talk("cam", "")
	c.until("both edges stand", func() bool {
		n, _ := c.region().Node("cam", child.id())
		m, _ := c.region().Node("cam", relay.id())
		return n.State == region.Standing && m.State == region.Standing
	})

	for i := range c.configs {
		c.kill(i)
	}
	relay.hush()
	// The child draws from the origin now. It is not the log that says so.
	hold(origin.id())
	talkOrigin("")
	for i := range c.configs {
		c.start(i)
	}
	c.until("the structure is what the members hold", func() bool {
		r := c.region()
		n, ok := r.Node("cam", child.id())
		_, there := r.Member(relay.id())
		return ok && n.Parent == origin.id() && n.State == region.Standing && !there
	})
	c.agree()
}
