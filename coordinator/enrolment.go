package coordinator

import (
	"context"
	"fmt"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// enrolment serves skein.v1.Enrolment, the only service for callers without a
// certificate.
type enrolment struct {
	skeinv1.UnimplementedEnrolmentServer
	server *Server
}

// Enrol signs the key of a caller that shows a join token. Tokens for a limited
// number of uses are counted by the leader of the first group; the same key with
// the same token is counted once, so that a lost answer costs nothing.
func (e *enrolment) Enrol(ctx context.Context, req *skeinv1.EnrolRequest) (*skeinv1.EnrolResponse, error) {
	authority, err := e.server.authority()
	if err != nil {
		return nil, err
	}
	role, err := trust.ParseRole(req.Role)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	token, err := authority.CheckToken(req.Token, role, now)
	if err != nil {
		return nil, err
	}
	id, err := trust.RequestID(req.Csr)
	if err != nil {
		return nil, err
	}
	if token.Uses > 0 {
		if err := e.count(ctx, token, id); err != nil {
			return nil, err
		}
	}
	chain, err := authority.Sign(req.Csr, role, trust.CertificateTTL, now)
	if err != nil {
		return nil, err
	}
	e.server.logger.Info("enrolled a node", "id", id, "role", role, "token", token.ID)
	return &skeinv1.EnrolResponse{Chain: chain}, nil
}

func (e *enrolment) count(ctx context.Context, token trust.Token, id region.MemberID) error {
	groups := e.server.hosted()
	if len(groups) == 0 {
		return fmt.Errorf("%w: this coordinator hosts no group that could count the uses of a token: ask another", region.ErrNotLeader)
	}
	l, err := groups[0].leader()
	if err != nil {
		return err
	}
	_, err = l.decider.do(ctx, &request{
		member: id, id: "enrol:" + token.ID, urgency: forJoins,
		decide: func(d *draft) ([]byte, error) { return nil, d.useToken(token) },
	})
	return err
}

// Renew signs the key of the caller's certificate again, with the same role.
func (e *enrolment) Renew(ctx context.Context, req *skeinv1.RenewRequest) (*skeinv1.RenewResponse, error) {
	authority, err := e.server.authority()
	if err != nil {
		return nil, err
	}
	who := callerOf(ctx)
	id, err := trust.RequestID(req.Csr)
	if err != nil {
		return nil, err
	}
	if id != who.ID {
		return nil, fmt.Errorf("%w: %s cannot renew the certificate of %s", region.ErrForbidden, who.ID, id)
	}
	chain, err := authority.Sign(req.Csr, who.Role, trust.CertificateTTL, time.Now())
	if err != nil {
		return nil, err
	}
	return &skeinv1.RenewResponse{Chain: chain}, nil
}

// CreateToken makes a join token.
func (i *inspection) CreateToken(_ context.Context, req *skeinv1.CreateTokenRequest) (*skeinv1.CreateTokenResponse, error) {
	authority, err := i.server.authority()
	if err != nil {
		return nil, err
	}
	role, err := trust.ParseRole(req.Role)
	if err != nil {
		return nil, err
	}
	if req.TtlMs < 0 || req.TtlMs > trust.MaxTokenTTL.Milliseconds() {
		return nil, fmt.Errorf("%w: token lifetime: want at most %v", region.ErrInvalid, trust.MaxTokenTTL)
	}
	token, err := authority.NewToken(role, time.Duration(req.TtlMs)*time.Millisecond, req.Uses, time.Now())
	if err != nil {
		return nil, err
	}
	return &skeinv1.CreateTokenResponse{Token: token}, nil
}
