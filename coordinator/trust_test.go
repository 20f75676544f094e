package coordinator

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// try asks the leader until it has an answer that will not pass, and returns
// the error in it.
func try[Q, R any](c *cluster, conn func(leader int) grpc.ClientConnInterface, req Q,
	f func(grpc.ClientConnInterface, context.Context, Q) (R, error)) error {
	c.t.Helper()
	var err error
	c.until("an answer", func() bool {
		ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Second)
		defer cancel()
		_, err = f(conn(c.leader()), ctx, req)
		return err == nil || !retriable(err)
	})
	return skeinv1.FromStatus(err)
}

// as connects by a certificate, or without one.
func (c *cluster) as(creds *trust.Credentials) func(int) grpc.ClientConnInterface {
	conns := map[int]*grpc.ClientConn{}
	return func(i int) grpc.ClientConnInterface {
		if conns[i] == nil {
			conns[i] = c.dial(i, creds)
		}
		return conns[i]
	}
}

// Whoever was replaced by a later stay of the same key, or does not say which
// stay it speaks for, changes nothing.
func TestOnlyThePresentStayIsHeard(t *testing.T) {
	c := newCluster(t, 1, nil)
	p, origin := c.participant(5000), c.participant(5000)
	origin.join()
	origin.publish("cam")
	first := p.join().Lease
	p.lease = 0
	p.join()
	p.publish("mine")
	p.admit("cam")
	before := c.agree().Hash()

	conn := c.as(p.creds)
	for _, lease := range []uint64{0, first, p.lease + 1} {
		admit := p.admitRequest("cam")
		admit.Lease = lease
		errs := map[string]error{
			"Admit": try(c, conn, admit, func(cc grpc.ClientConnInterface, ctx context.Context, q *skeinv1.AdmitRequest) (any, error) {
				return skeinv1.NewMembershipClient(cc).Admit(ctx, q)
			}),
			"Publish": try(c, conn, &skeinv1.PublishRequest{
				Region: "r1", RequestId: p.requestID(), Lease: lease, Stream: "other", Kind: skeinv1.Kind_KIND_DATA, LayerKbps: []uint32{1},
			}, func(cc grpc.ClientConnInterface, ctx context.Context, q *skeinv1.PublishRequest) (any, error) {
				return skeinv1.NewMembershipClient(cc).Publish(ctx, q)
			}),
			"Unpublish": try(c, conn, &skeinv1.UnpublishRequest{
				Region: "r1", RequestId: p.requestID(), Lease: lease, Stream: "mine",
			}, func(cc grpc.ClientConnInterface, ctx context.Context, q *skeinv1.UnpublishRequest) (any, error) {
				return skeinv1.NewMembershipClient(cc).Unpublish(ctx, q)
			}),
			"Release": try(c, conn, &skeinv1.ReleaseRequest{
				Region: "r1", RequestId: p.requestID(), Lease: lease, Stream: "cam",
			}, func(cc grpc.ClientConnInterface, ctx context.Context, q *skeinv1.ReleaseRequest) (any, error) {
				return skeinv1.NewMembershipClient(cc).Release(ctx, q)
			}),
			"Leave": try(c, conn, &skeinv1.LeaveRequest{
				Region: "r1", RequestId: p.requestID(), Lease: lease,
			}, func(cc grpc.ClientConnInterface, ctx context.Context, q *skeinv1.LeaveRequest) (any, error) {
				return skeinv1.NewMembershipClient(cc).Leave(ctx, q)
			}),
			"Session": p.report(&skeinv1.SessionRequest{Hello: &skeinv1.SessionHello{Region: "r1", Lease: lease, Generation: 1}}),
		}
		for call, err := range errs {
			if !errors.Is(err, region.ErrLease) && !(lease == 0 && errors.Is(err, region.ErrInvalid)) {
				t.Errorf("%s with lease %d instead of %d: %v", call, lease, p.lease, err)
			}
		}
	}
	if c.agree().Hash() != before {
		t.Error("something has changed")
	}
}

// report opens a session with one message and returns why it ended.
func (p *participant) report(m *skeinv1.SessionRequest) error {
	p.c.t.Helper()
	stream, err := p.leader().Session(p.c.t.Context())
	if err != nil {
		p.c.t.Fatal(err)
	}
	// If the server has hung up already, Recv tells why.
	_ = stream.Send(m)
	for err == nil {
		_, err = stream.Recv()
	}
	return skeinv1.FromStatus(err)
}

// What one report costs the leader has bounds.
func TestReportsAreBounded(t *testing.T) {
	c := newCluster(t, 1, nil)
	p := c.participant(5000)
	p.join()
	hello := &skeinv1.SessionHello{Region: "r1", Lease: p.lease, Generation: 1}
	for what, m := range map[string]*skeinv1.SessionRequest{
		"rtts":          {Hello: hello, Rtts: slices.Repeat([]*skeinv1.RttSample{{}}, maxSamples+1)},
		"rumours":       {Hello: hello, Rumours: slices.Repeat([]*skeinv1.Rumour{{}}, maxSamples+1)},
		"reports":       {Hello: hello, Reports: slices.Repeat([]*skeinv1.PeerReport{{}}, maxFaults+1)},
		"confirmations": {Hello: hello, Confirmations: slices.Repeat([]*skeinv1.Confirmation{{}}, region.MaxStreams+1)},
		"digest":        {Hello: hello, Digest: &skeinv1.Digest{Edges: slices.Repeat([]*skeinv1.DigestEdge{{}}, region.MaxStreams+1)}},
		"heartbeat":     {Hello: hello, Heartbeat: &skeinv1.Heartbeat{Streams: []*skeinv1.StreamHealth{{Stream: "a\x1b[2J"}}}},
	} {
		if err := p.report(m); !errors.Is(err, region.ErrInvalid) || !strings.Contains(err.Error(), what) {
			t.Errorf("too much of %s: %v", what, err)
		}
	}
}

// Nobody does what is not for its role.
func TestRolesAreKeptApart(t *testing.T) {
	c := newCluster(t, 1, nil)
	stranger, member, operator := c.as(nil), c.as(c.credentials(trust.RoleMember)), c.as(c.credentials(trust.RoleOperator))
	join := func(cc grpc.ClientConnInterface, ctx context.Context, q *skeinv1.JoinRequest) (any, error) {
		return skeinv1.NewMembershipClient(cc).Join(ctx, q)
	}
	token := func(cc grpc.ClientConnInterface, ctx context.Context, q *skeinv1.CreateTokenRequest) (any, error) {
		return skeinv1.NewInspectionClient(cc).CreateToken(ctx, q)
	}
	status := func(cc grpc.ClientConnInterface, ctx context.Context, q *skeinv1.StatusRequest) (any, error) {
		return skeinv1.NewInspectionClient(cc).Status(ctx, q)
	}
	ask := &skeinv1.CreateTokenRequest{Role: string(trust.RoleCoordinator), TtlMs: 60_000}
	for _, a := range []struct {
		what string
		err  error
		want error
	}{
		{"a stranger joins", try(c, stranger, &skeinv1.JoinRequest{}, join), region.ErrUnauthenticated},
		{"a stranger looks", try(c, stranger, &skeinv1.StatusRequest{}, status), region.ErrUnauthenticated},
		{"an operator joins", try(c, operator, &skeinv1.JoinRequest{}, join), region.ErrForbidden},
		{"a member makes a token", try(c, member, ask, token), region.ErrForbidden},
		{"an operator makes a token", try(c, operator, ask, token), nil},
		{"a member looks", try(c, member, &skeinv1.StatusRequest{}, status), nil},
	} {
		if !errors.Is(a.err, a.want) {
			t.Errorf("%s: %v, want %v", a.what, a.err, a.want)
		}
	}
}

// A token admits whom it is for, as often as it says, and nobody else's key.
func TestEnrolmentHasLimits(t *testing.T) {
	c := newCluster(t, 1, nil)
	elsewhere, err := trust.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	enrol := func(a *trust.Authority, age time.Duration, id *trust.Identity, text string, role trust.Role) error {
		t.Helper()
		if text == "" {
			if text, err = a.NewToken(trust.RoleMember, time.Minute, 0, time.Now().Add(-age)); err != nil {
				t.Fatal(err)
			}
		}
		csr, err := id.CSR()
		if err != nil {
			t.Fatal(err)
		}
		return try(c, c.as(nil), &skeinv1.EnrolRequest{Token: text, Csr: csr, Role: string(role)},
			func(cc grpc.ClientConnInterface, ctx context.Context, q *skeinv1.EnrolRequest) (any, error) {
				return skeinv1.NewEnrolmentClient(cc).Enrol(ctx, q)
			})
	}
	alice, bob := c.credentials(trust.RoleMember).Identity(), c.credentials(trust.RoleMember).Identity()
	once, err := c.authority.NewToken(trust.RoleMember, time.Minute, 1, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []struct {
		what string
		err  error
		want error
	}{
		{"a token without limit", enrol(c.authority, 0, alice, "", trust.RoleMember), nil},
		{"the one use", enrol(nil, 0, alice, once, trust.RoleMember), nil},
		{"the same use repeated", enrol(nil, 0, alice, once, trust.RoleMember), nil},
		{"another use", enrol(nil, 0, bob, once, trust.RoleMember), trust.ErrTokenSpent},
		{"another role", enrol(c.authority, 0, bob, "", trust.RoleCoordinator), trust.ErrTokenRole},
		{"no role", enrol(c.authority, 0, bob, "", "root"), region.ErrInvalid},
		{"after its end", enrol(c.authority, time.Minute, bob, "", trust.RoleMember), trust.ErrTokenExpired},
		{"of another cluster", enrol(elsewhere, 0, bob, "", trust.RoleMember), trust.ErrTokenForeign},
		{"nonsense", enrol(nil, 0, bob, "nonsense", trust.RoleMember), trust.ErrTokenMalformed},
	} {
		if !errors.Is(a.err, a.want) {
			t.Errorf("%s: %v, want %v", a.what, a.err, a.want)
		}
	}

	csr, err := bob.CSR()
	if err != nil {
		t.Fatal(err)
	}
	err = try(c, c.as(c.credentials(trust.RoleMember)), &skeinv1.RenewRequest{Csr: csr},
		func(cc grpc.ClientConnInterface, ctx context.Context, q *skeinv1.RenewRequest) (any, error) {
			return skeinv1.NewEnrolmentClient(cc).Renew(ctx, q)
		})
	if !errors.Is(err, region.ErrForbidden) {
		t.Errorf("renew the certificate of another: %v", err)
	}
}
