package coordinator

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// try asks the only coordinator of c until it has an answer that will not pass,
// and returns the error in it.
func try[C, Q, R any](c *cluster, client C, req Q, f func(C, context.Context, Q, ...grpc.CallOption) (R, error)) error {
	c.t.Helper()
	var err error
	c.until("an answer", func() bool {
		ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Second)
		defer cancel()
		_, err = f(client, ctx, req, grpc.WaitForReady(true))
		return err == nil || !retriable(err)
	})
	return skeinv1.FromStatus(err)
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

	client := p.leader()
	for _, lease := range []uint64{0, first, p.lease + 1} {
		admit := p.admitRequest("cam")
		admit.Lease = lease
		publish := &skeinv1.PublishRequest{
			Region: "r1", RequestId: p.requestID(), Lease: lease, Stream: "other", Kind: skeinv1.Kind_KIND_DATA, LayerKbps: []uint32{1},
		}
		unpublish := &skeinv1.UnpublishRequest{Region: "r1", RequestId: p.requestID(), Lease: lease, Stream: "mine"}
		release := &skeinv1.ReleaseRequest{Region: "r1", RequestId: p.requestID(), Lease: lease, Stream: "cam"}
		leave := &skeinv1.LeaveRequest{Region: "r1", RequestId: p.requestID(), Lease: lease}
		errs := map[string]error{
			"Admit":     try(c, client, admit, skeinv1.MembershipClient.Admit),
			"Publish":   try(c, client, publish, skeinv1.MembershipClient.Publish),
			"Unpublish": try(c, client, unpublish, skeinv1.MembershipClient.Unpublish),
			"Release":   try(c, client, release, skeinv1.MembershipClient.Release),
			"Leave":     try(c, client, leave, skeinv1.MembershipClient.Leave),
			"Session":   p.report(&skeinv1.SessionRequest{Hello: &skeinv1.SessionHello{Region: "r1", Lease: lease, Generation: 1}}),
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
	c.leader()
	stranger := c.dial(0, nil)
	member, operator := c.dial(0, c.credentials(trust.RoleMember)), c.dial(0, c.credentials(trust.RoleOperator))
	join := func(conn *grpc.ClientConn) error {
		return try(c, skeinv1.NewMembershipClient(conn), &skeinv1.JoinRequest{}, skeinv1.MembershipClient.Join)
	}
	look := func(conn *grpc.ClientConn) error {
		return try(c, skeinv1.NewInspectionClient(conn), &skeinv1.StatusRequest{}, skeinv1.InspectionClient.Status)
	}
	makeToken := func(conn *grpc.ClientConn) error {
		ask := &skeinv1.CreateTokenRequest{Role: string(trust.RoleCoordinator), TtlMs: 60_000}
		return try(c, skeinv1.NewInspectionClient(conn), ask, skeinv1.InspectionClient.CreateToken)
	}
	for _, a := range []struct {
		what string
		err  error
		want error
	}{
		{"a stranger joins", join(stranger), region.ErrUnauthenticated},
		{"a stranger looks", look(stranger), region.ErrUnauthenticated},
		{"an operator joins", join(operator), region.ErrForbidden},
		{"a member makes a token", makeToken(member), region.ErrForbidden},
		{"an operator makes a token", makeToken(operator), nil},
		{"a member looks", look(member), nil},
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
		req := &skeinv1.EnrolRequest{Token: text, Csr: csr, Role: string(role)}
		return try(c, skeinv1.NewEnrolmentClient(c.dial(0, nil)), req, skeinv1.EnrolmentClient.Enrol)
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
	client := skeinv1.NewEnrolmentClient(c.dial(0, c.credentials(trust.RoleMember)))
	err = try(c, client, &skeinv1.RenewRequest{Csr: csr}, skeinv1.EnrolmentClient.Renew)
	if !errors.Is(err, region.ErrForbidden) {
		t.Errorf("renew the certificate of another: %v", err)
	}
}

// A coordinator renews its certificate by the CA it holds, or asks one that
// holds it, and keeps what it got.
func TestCertificatesAreRenewed(t *testing.T) {
	old := time.Now().Add(-trust.CertificateTTL * 2 / 3)
	c := newCluster(t, 3, func(cfg *Config) {
		var err error
		if cfg.Credentials, err = cfg.Authority.Issue(cfg.Credentials.Identity(), trust.RoleCoordinator, trust.CertificateTTL, old); err != nil {
			t.Fatal(err)
		}
		cfg.CredentialsDir = filepath.Join(cfg.DataDir, "credentials")
		if err := cfg.Credentials.Identity().Save(cfg.CredentialsDir); err != nil {
			t.Fatal(err)
		}
		if cfg.Name == "c1" {
			cfg.Authority = nil
		}
	})
	for _, cfg := range c.configs {
		c.until(cfg.Name+" has renewed its certificate", func() bool {
			kept, err := trust.LoadCredentials(cfg.CredentialsDir)
			return err == nil && !kept.NeedsRenewal(time.Now()) && !cfg.Credentials.NeedsRenewal(time.Now())
		})
	}
	c.leader()
}

// What does not fit together is refused before anything is opened.
func TestCredentialsMustFit(t *testing.T) {
	c := newCluster(t, 1, nil)
	elsewhere, err := trust.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	expired, err := c.authority.Issue(c.configs[0].Credentials.Identity(), trust.RoleCoordinator, time.Second, time.Now().Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for advice, change := range map[string]func(*Config){
		"a coordinator needs one of its own": func(cfg *Config) { cfg.Credentials = c.credentials(trust.RoleMember) },
		"--authority, --credentials":         func(cfg *Config) { cfg.Authority = elsewhere },
		"start the coordinator once with":    func(cfg *Config) { cfg.Credentials, cfg.Authority = expired, nil },
	} {
		cfg := c.configs[0]
		change(&cfg)
		if _, err := Start(t.Context(), cfg); !errors.Is(err, trust.ErrPeer) || !strings.Contains(err.Error(), advice) {
			t.Errorf("%v, want ErrPeer that says %q", err, advice)
		}
	}
}
