package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// ask sends calls over a line in one message and waits for their answers, which are
// returned by request id.
func (p *participant) ask(wire skeinv1.Membership_AdmissionsClient, calls ...*skeinv1.AdmitRequest) map[string]*skeinv1.AdmissionsAnswer {
	p.c.t.Helper()
	if err := wire.Send(&skeinv1.AdmissionsRequest{Calls: calls}); err != nil {
		p.c.t.Fatal(err)
	}
	answers := map[string]*skeinv1.AdmissionsAnswer{}
	for len(answers) < len(calls) {
		m, err := wire.Recv()
		if err != nil {
			p.c.t.Fatal(err)
		}
		for _, a := range m.Answers {
			answers[a.RequestId] = a
		}
	}
	return answers
}

// answered is the error that an answer stands for.
func answered(t *testing.T, a *skeinv1.AdmissionsAnswer) error {
	t.Helper()
	var s spb.Status
	if err := proto.Unmarshal(a.GetStatus(), &s); err != nil {
		t.Fatal(err)
	}
	return skeinv1.FromStatus(status.FromProto(&s).Err())
}

// Over a line, calls that come together are judged one by one, each as it would be
// as a call of its own: the same id gets the same answer, and stays, streams and
// limits are looked at for each.
func TestALineAnswersAsCallsOfTheirOwnWouldBe(t *testing.T) {
	c := newCluster(t, 3, nil)
	origin, child := c.participant(100000), c.participant(5000)
	origin.join()
	child.join()
	for i := range 3 {
		origin.publish(fmt.Sprint("cam", i))
	}
	wire, err := child.leader().Admissions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var calls []*skeinv1.AdmitRequest
	for i := range 3 {
		calls = append(calls, child.admitRequest(fmt.Sprint("cam", i)))
	}
	unknown, old := child.admitRequest("nothing"), child.admitRequest("cam0")
	old.Lease--
	answers := child.ask(wire, append(calls, unknown, old)...)
	for _, call := range calls {
		if got := answers[call.RequestId].GetResponse().GetAccepted(); got.GetParent().GetPeer().GetId() != string(origin.id()) || len(got.Parent.Grant) == 0 {
			t.Errorf("%s: %v", call.Stream, answers[call.RequestId])
		}
	}
	if err := answered(t, answers[unknown.RequestId]); !errors.Is(err, region.ErrUnknownStream) {
		t.Errorf("an unknown stream: %v", err)
	}
	if err := answered(t, answers[old.RequestId]); !errors.Is(err, region.ErrLease) {
		t.Errorf("an old lease: %v", err)
	}

	// Again, over the line and as a call of its own.
	was := answers[calls[1].RequestId].GetResponse()
	again := child.ask(wire, calls[1])[calls[1].RequestId].GetResponse()
	own := call(child, calls[1], skeinv1.MembershipClient.Admit)
	if again.GetRevision() != was.Revision || own.Revision != was.Revision {
		t.Errorf("the same request led to revisions %d, %d and %d", was.Revision, again.GetRevision(), own.Revision)
	}

	follower, err := child.at((c.leader() + 1) % 3).Admissions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lost := child.admitRequest("cam0")
	hint, ok := errors.AsType[*region.NotLeaderError](answered(t, child.ask(follower, lost)[lost.RequestId]))
	if !ok || hint.Leader != c.servers[c.leader()].ID() {
		t.Errorf("a follower answers %v", hint)
	}
}

func TestALineIsBounded(t *testing.T) {
	c := newCluster(t, 1, func(cfg *Config) { cfg.CallsPerSecond, cfg.CallBurst = 0.001, 8 })
	member := c.participant(5000)
	member.join()
	wire, err := member.leader().Admissions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var calls []*skeinv1.AdmitRequest
	for range 10 {
		calls = append(calls, member.admitRequest("cam"))
	}
	tooOften := 0
	for _, a := range member.ask(wire, calls...) {
		if errors.Is(answered(t, a), region.ErrOverloaded) {
			tooOften++
		}
	}
	if tooOften == 0 {
		t.Error("ten calls were answered, where eight are allowed")
	}
	if err := wire.Send(&skeinv1.AdmissionsRequest{Calls: make([]*skeinv1.AdmitRequest, maxCalls+1)}); err != nil {
		t.Fatal(err)
	}
	if _, err := wire.Recv(); !errors.Is(skeinv1.FromStatus(err), region.ErrInvalid) {
		t.Errorf("%d calls at a time: %v", maxCalls+1, err)
	}
}

// A line does not wait for ever: while the log hangs, calls are answered that their
// time is over. Those that were not decided are forgotten; the one that was on its
// way gets its place, or another one, when it is asked again.
func TestALineSaysWhenTheTimeIsOver(t *testing.T) {
	var hung atomic.Pointer[chan struct{}]
	c := newCluster(t, 1, func(cfg *Config) {
		cfg.Reservation = time.Second
		cfg.Disk = func(_ region.ID, write func() error) error {
			if until := hung.Load(); until != nil {
				<-*until
			}
			return write()
		}
	})
	origin, first, second := c.participant(100000), c.participant(5000), c.participant(5000)
	for _, p := range []*participant{origin, first, second} {
		p.join()
	}
	origin.publish("cam")

	answer := make(chan struct{})
	hung.Store(&answer)
	for _, p := range []*participant{first, second} {
		wire, err := p.leader().Admissions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		call := p.admitRequest("cam")
		if err := answered(t, p.ask(wire, call)[call.RequestId]); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while the log hangs: %v", err)
		}
	}
	hung.Store(nil)
	close(answer)
	place := call(first, first.admitRequest("cam"), skeinv1.MembershipClient.Admit)
	if place.GetAccepted() == nil {
		t.Errorf("the first, when the log goes on: %v", place)
	}
	if _, ok := c.region().Node("cam", second.id()); ok {
		t.Error("the second was given a place after it was told that its time is over")
	}
}
