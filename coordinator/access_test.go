package coordinator

import (
	"context"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Members do what their application says, and nothing else; who has no word from it
// any more can still let go and leave.
func TestApplicationsSayWhatMembersMay(t *testing.T) {
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, 1, func(cfg *Config) { cfg.Access = trust.AccessKeys{public} })
	p := c.participant(5000)
	token := func(change func(*trust.Access)) string {
		a := trust.Access{Publish: []string{"mine/*"}, Subscribe: []string{"mine/*"}, Names: []string{"m"}, Expires: time.Now().Add(time.Hour)}
		change(&a)
		s, err := trust.SignAccess(key, a, time.Now().Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}

	var shown string
	ask := func() skeinv1.MembershipClient { return showing{p.leader(), &shown} }

	for what, bad := range map[string]struct {
		token string
		want  error
	}{
		"none":            {"", region.ErrUnauthenticated},
		"rubbish":         {"rubbish", trust.ErrAccess},
		"another's":       {token(func(a *trust.Access) { a.Member = "somebody" }), region.ErrForbidden},
		"an old one":      {token(func(a *trust.Access) { a.Expires = time.Now().Add(-time.Minute) }), trust.ErrAccessExpired},
		"another name's":  {token(func(a *trust.Access) { a.Names = nil }), region.ErrForbidden},
		"a foreign one's": {token(func(a *trust.Access) { a.Member = "" }) + "x", trust.ErrAccess},
	} {
		shown = bad.token
		if err := try(c, ask(), p.joinRequest(), skeinv1.MembershipClient.Join); !errors.Is(err, bad.want) {
			t.Errorf("join with %s: %v, want %v", what, err, bad.want)
		}
	}
	shown = token(func(a *trust.Access) { a.Member = p.id() })
	resp, err := ask().Join(t.Context(), p.joinRequest())
	if err != nil {
		t.Fatal(err)
	}
	p.lease = resp.Lease

	publish := func(name string) error {
		return try(c, ask(), &skeinv1.PublishRequest{
			Region: "r1", RequestId: p.requestID(), Lease: p.lease, Stream: name, Kind: skeinv1.Kind_KIND_DATA, LayerKbps: []uint32{1},
		}, skeinv1.MembershipClient.Publish)
	}
	if err := errors.Join(publish("mine/a"), publish("mine/b")); err != nil {
		t.Error(err)
	}
	if err := publish("other"); !errors.Is(err, region.ErrForbidden) {
		t.Errorf("publish what it may not: %v", err)
	}
	if err := try(c, ask(), p.admitRequest("other"), skeinv1.MembershipClient.Admit); !errors.Is(err, region.ErrForbidden) {
		t.Errorf("draw what it may not: %v", err)
	}
	shown = token(func(a *trust.Access) { a.Publish = []string{"*"} })
	if err := publish("other"); err != nil {
		t.Errorf("publish what it may since now: %v", err)
	}
	shown = ""
	if err := publish("mine/c"); !errors.Is(err, region.ErrUnauthenticated) {
		t.Errorf("publish without a token: %v", err)
	}
	leave := &skeinv1.LeaveRequest{Region: "r1", RequestId: p.requestID(), Lease: p.lease}
	if err := try(c, ask(), leave, skeinv1.MembershipClient.Leave); err != nil {
		t.Errorf("leave without a token: %v", err)
	}
}

// showing is a client that shows a token with every call; none if it is empty.
type showing struct {
	skeinv1.MembershipClient
	token *string
}

func (s showing) with(ctx context.Context) context.Context {
	if *s.token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+*s.token)
}

func (s showing) Join(ctx context.Context, m *skeinv1.JoinRequest, o ...grpc.CallOption) (*skeinv1.JoinResponse, error) {
	return s.MembershipClient.Join(s.with(ctx), m, o...)
}

func (s showing) Publish(ctx context.Context, m *skeinv1.PublishRequest, o ...grpc.CallOption) (*skeinv1.PublishResponse, error) {
	return s.MembershipClient.Publish(s.with(ctx), m, o...)
}

func (s showing) Admit(ctx context.Context, m *skeinv1.AdmitRequest, o ...grpc.CallOption) (*skeinv1.AdmitResponse, error) {
	return s.MembershipClient.Admit(s.with(ctx), m, o...)
}

func (s showing) Leave(ctx context.Context, m *skeinv1.LeaveRequest, o ...grpc.CallOption) (*skeinv1.LeaveResponse, error) {
	return s.MembershipClient.Leave(s.with(ctx), m, o...)
}
