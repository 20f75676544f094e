package coordinator

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// maxCallers bounds the callers whose rates are remembered.
const maxCallers = 16384

// A caller is who makes a call.
type caller struct {
	// ID and Role are as in the certificate; empty if the caller shows none.
	trust.Peer
	// Community is the caller's, if it is another one with which there is an agreement.
	Community string
	limiter   *rate.Limiter
}

type callerKey struct{}

// callerOf returns who makes the call; the gatekeeper has put it there.
func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// roles says who may call what. Methods that are not listed, such as those of
// the health service, are open to anybody with a certificate of the cluster.
var roles = map[string][]trust.Role{
	skeinv1.Membership_Join_FullMethodName:        {trust.RoleMember, trust.RoleCoordinator},
	skeinv1.Membership_Leave_FullMethodName:       {trust.RoleMember, trust.RoleCoordinator},
	skeinv1.Membership_Publish_FullMethodName:     {trust.RoleMember, trust.RoleCoordinator},
	skeinv1.Membership_Unpublish_FullMethodName:   {trust.RoleMember, trust.RoleCoordinator},
	skeinv1.Membership_Locate_FullMethodName:      {trust.RoleMember, trust.RoleCoordinator},
	skeinv1.Membership_Admit_FullMethodName:       {trust.RoleMember, trust.RoleCoordinator},
	skeinv1.Membership_Admissions_FullMethodName:  {trust.RoleMember, trust.RoleCoordinator},
	skeinv1.Membership_Release_FullMethodName:     {trust.RoleMember, trust.RoleCoordinator},
	skeinv1.Membership_Session_FullMethodName:     {trust.RoleMember, trust.RoleCoordinator},
	skeinv1.Directory_Register_FullMethodName:     {trust.RoleCoordinator},
	skeinv1.Directory_Resolve_FullMethodName:      {trust.RoleCoordinator},
	skeinv1.Directory_Share_FullMethodName:        {trust.RoleCoordinator},
	skeinv1.Directory_Testify_FullMethodName:      {trust.RoleMember, trust.RoleCoordinator},
	skeinv1.Directory_Recover_FullMethodName:      {trust.RoleOperator, trust.RoleCoordinator},
	skeinv1.Directory_Host_FullMethodName:         {trust.RoleCoordinator},
	skeinv1.Directory_Offer_FullMethodName:        {trust.RoleCoordinator},
	skeinv1.Directory_Merge_FullMethodName:        {trust.RoleCoordinator},
	skeinv1.Directory_Cede_FullMethodName:         {trust.RoleCoordinator},
	skeinv1.Inspection_Boundary_FullMethodName:    {trust.RoleOperator},
	skeinv1.Inspection_MoveReplica_FullMethodName: {trust.RoleOperator},
	skeinv1.Inspection_CreateToken_FullMethodName: {trust.RoleOperator},
	skeinv1.Inspection_Agree_FullMethodName:       {trust.RoleOperator},
	skeinv1.Inspection_Agreements_FullMethodName:  {trust.RoleOperator},
	skeinv1.Inspection_Plan_FullMethodName:        {trust.RoleOperator},
}

// A gatekeeper stands before every call: it finds out who calls, whether that
// role may, and whether it calls too often.
type gatekeeper struct {
	limit  rate.Limit
	burst  int
	meters *meters
	creds  *trust.Credentials
	// agreed says whether there is an agreement with a community.
	agreed func(community string) bool
	// accesses is nil if members need none.
	accesses *accesses

	mu      sync.Mutex
	callers map[string]*visits
}

type visits struct {
	limiter *rate.Limiter
	last    time.Time
}

func newGatekeeper(cfg *Config, m *meters, agreed func(community string) bool, a *accesses) *gatekeeper {
	return &gatekeeper{
		limit: rate.Limit(cfg.CallsPerSecond), burst: cfg.CallBurst,
		meters: m, creds: cfg.Credentials, agreed: agreed, accesses: a, callers: map[string]*visits{},
	}
}

// admit judges a call and returns its context with the caller in it.
func (g *gatekeeper) admit(ctx context.Context, method string) (context.Context, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, fmt.Errorf("%w: the call has no peer", region.ErrUnauthenticated)
	}
	tls, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return nil, fmt.Errorf("%w: the call did not come over TLS", region.ErrUnauthenticated)
	}
	var who caller
	key, _, _ := net.SplitHostPort(p.Addr.String())
	if len(tls.State.PeerCertificates) > 0 {
		id, community, err := g.creds.Caller(tls.State)
		if err != nil {
			return nil, err
		}
		who.Peer, who.Community = id, community
		if community == "" || g.agreed(community) {
			key = string(id.ID) // who is a stranger can have any number of ids
		}
	} else if method != skeinv1.Enrolment_Enrol_FullMethodName {
		return nil, fmt.Errorf("%w: this call needs a certificate of the cluster: enrol with a join token first", region.ErrUnauthenticated)
	}
	if allowed, ok := roles[method]; ok && who.Community == "" && !slices.Contains(allowed, who.Role) {
		return nil, fmt.Errorf("%w: a %s may not call %s; it is for the roles %v", region.ErrForbidden, who.Role, method, allowed)
	}
	who.limiter = g.limiter(key)
	err := g.welcome(who, method)
	if err == nil {
		err = g.accesses.show(ctx, who, method)
	}
	if err != nil && who.limiter.Allow() {
		return nil, err
	}
	if !who.limiter.Allow() {
		return nil, &region.OverloadError{What: "calls of one peer", RetryAfter: time.Second}
	}
	return context.WithValue(ctx, callerKey{}, who), nil
}

// welcome says why a caller of another community may not call a method.
func (g *gatekeeper) welcome(who caller, method string) error {
	role, open := visiting[method]
	switch {
	case who.Community == "":
		return nil
	case !g.agreed(who.Community):
		return fmt.Errorf("%w: community %s has no agreement with the regions that are hosted here; operators of both make one with 'skein peer add'", region.ErrForbidden, who.Community)
	case !open || role != who.Role:
		return fmt.Errorf("%w: a %s of another community may not call %s", region.ErrForbidden, who.Role, method)
	}
	return nil
}

// limiter returns the limiter of a caller. When there are too many, those that
// were idle long enough to have their burst back are forgotten.
func (g *gatekeeper) limiter(key string) *rate.Limiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	v := g.callers[key]
	if v == nil {
		if len(g.callers) >= maxCallers {
			g.forget(now)
		}
		v = &visits{limiter: rate.NewLimiter(g.limit, g.burst)}
		g.callers[key] = v
	}
	v.last = now
	return v.limiter
}

// forget must be called with mu held.
func (g *gatekeeper) forget(now time.Time) {
	refilled := time.Duration(float64(g.burst) / float64(g.limit) * float64(time.Second))
	for key, v := range g.callers {
		if now.Sub(v.last) > refilled {
			delete(g.callers, key)
		}
	}
	if len(g.callers) >= maxCallers {
		clear(g.callers)
	}
}

func (g *gatekeeper) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	ctx, err := g.admit(ctx, info.FullMethod)
	var resp any
	if err == nil {
		resp, err = next(ctx, req)
	}
	err = skeinv1.ToStatus(err)
	g.meters.calls.WithLabelValues(info.FullMethod, status.Code(err).String()).Inc()
	return resp, err
}

func (g *gatekeeper) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	ctx, err := g.admit(ss.Context(), info.FullMethod)
	if err == nil {
		err = next(srv, &callStream{ss, ctx})
	}
	err = skeinv1.ToStatus(err)
	g.meters.calls.WithLabelValues(info.FullMethod, status.Code(err).String()).Inc()
	return err
}

// A callStream is a stream whose context knows the caller.
type callStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *callStream) Context() context.Context { return s.ctx }
