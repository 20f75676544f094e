package skeinv1

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

const (
	// errorDomain of ErrorInfo: reasons are unique in it.
	errorDomain = "skein"
	// maxErrorText keeps a status within what HTTP/2 headers may hold.
	maxErrorText = 1024
	// leaderlessRetry is when to ask again while a group elects: an election
	// takes about this long.
	leaderlessRetry = 200 * time.Millisecond
	// maxRetry bounds what a peer can make a caller wait.
	maxRetry = time.Minute
	// maxAddress bounds the address of a leader, host:port.
	maxAddress = 260
)

// translations pairs errors with what stands for them on the wire, the specific
// before the general. Reasons are part of the protocol.
var translations = [...]struct {
	err    error
	code   codes.Code
	reason string
}{
	{region.ErrNotLeader, codes.Unavailable, "NOT_LEADER"},
	{region.ErrLost, codes.DataLoss, "LOST"},
	{region.ErrClosed, codes.Unavailable, "CLOSED"},
	{region.ErrUnreachable, codes.Unavailable, "UNREACHABLE"},
	{region.ErrOverloaded, codes.ResourceExhausted, "OVERLOADED"},
	{region.ErrOutcomeUnknown, codes.Aborted, "OUTCOME_UNKNOWN"},
	{region.ErrRevision, codes.Aborted, "REVISION"},
	{region.ErrLease, codes.FailedPrecondition, "LEASE"},
	{region.ErrGeneration, codes.FailedPrecondition, "GENERATION"},
	{region.ErrFrozen, codes.Unavailable, "FROZEN"},
	{region.ErrUncut, codes.FailedPrecondition, "UNCUT"},
	{region.ErrElsewhere, codes.FailedPrecondition, "ELSEWHERE"},
	{region.ErrLimit, codes.ResourceExhausted, "LIMIT"},
	{region.ErrUnknownMember, codes.NotFound, "UNKNOWN_MEMBER"},
	{region.ErrUnknownStream, codes.NotFound, "UNKNOWN_STREAM"},
	{region.ErrExists, codes.AlreadyExists, "EXISTS"},
	{region.ErrNotOrigin, codes.PermissionDenied, "NOT_ORIGIN"},
	{region.ErrForbidden, codes.PermissionDenied, "FORBIDDEN"},
	{region.ErrUnauthenticated, codes.Unauthenticated, "UNAUTHENTICATED"},
	{trust.ErrTokenMalformed, codes.InvalidArgument, "TOKEN_MALFORMED"},
	{trust.ErrTokenForged, codes.Unauthenticated, "TOKEN_FORGED"},
	{trust.ErrTokenForeign, codes.Unauthenticated, "TOKEN_FOREIGN"},
	{trust.ErrTokenExpired, codes.Unauthenticated, "TOKEN_EXPIRED"},
	{trust.ErrTokenSpent, codes.Unauthenticated, "TOKEN_SPENT"},
	{trust.ErrTokenRole, codes.PermissionDenied, "TOKEN_ROLE"},
	{trust.ErrAccess, codes.Unauthenticated, "ACCESS"},
	{trust.ErrAccessExpired, codes.Unauthenticated, "ACCESS_EXPIRED"},
	{trust.ErrPeer, codes.Unauthenticated, "PEER"},
	{region.ErrInvalid, codes.InvalidArgument, "INVALID"},
}

// ToStatus returns err as a gRPC status error. Errors that are none of the
// domain's become INTERNAL, those of a context its own codes, and a status
// error, as well as nil, stays what it is.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	for _, t := range translations {
		if errors.Is(err, t.err) {
			return statusOf(t.code, err, details(err, t.reason))
		}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return statusOf(codes.Canceled, err, nil)
	case errors.Is(err, context.DeadlineExceeded):
		return statusOf(codes.DeadlineExceeded, err, nil)
	}
	return statusOf(codes.Internal, err, nil)
}

func statusOf(code codes.Code, err error, details []protoadapt.MessageV1) error {
	text := err.Error()
	if len(text) > maxErrorText {
		text = text[:maxErrorText] + "..."
	}
	s := status.New(code, strings.ToValidUTF8(text, "?"))
	if with, err := s.WithDetails(details...); err == nil {
		s = with
	}
	return s.Err()
}

func details(err error, reason string) []protoadapt.MessageV1 {
	list := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reason, Domain: errorDomain}}
	if e, ok := errors.AsType[*region.NotLeaderError](err); ok {
		if e.Leader == "" {
			return append(list, retryInfo(leaderlessRetry))
		}
		return append(list, &LeaderHint{Leader: &Coordinator{Id: string(e.Leader), Address: e.Address, Leader: true}})
	}
	if e, ok := errors.AsType[*region.ElsewhereError](err); ok {
		hint := &RegionHint{}
		for _, d := range e.Now {
			hint.Regions = append(hint.Regions, fromDescriptor(d))
		}
		return append(list, hint)
	}
	if e, ok := errors.AsType[*region.OverloadError](err); ok {
		return append(list, retryInfo(e.RetryAfter))
	}
	return list
}

func retryInfo(d time.Duration) *errdetails.RetryInfo {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(d)}
}

// FromStatus returns the domain's error that a gRPC status error stands for:
// errors.Is finds its sentinel, errors.AsType a *region.NotLeaderError,
// *region.ElsewhereError or *region.OverloadError, status.FromError the status. Any other error,
// as well as nil, comes back as it is.
func FromStatus(err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	switch s.Code() {
	case codes.Canceled:
		return &remoteError{s.Message(), context.Canceled, err}
	case codes.DeadlineExceeded:
		return &remoteError{s.Message(), context.DeadlineExceeded, err}
	}
	info, hint, delay := readDetails(s)
	if info.GetDomain() != errorDomain {
		return err
	}
	for _, t := range translations {
		if t.reason != info.GetReason() {
			continue
		}
		domain := t.err
		switch {
		case errors.Is(domain, region.ErrNotLeader):
			domain = notLeader(hint)
		case errors.Is(domain, region.ErrElsewhere), errors.Is(domain, region.ErrGeneration):
			domain = elsewhere(domain, s)
		case errors.Is(domain, region.ErrOverloaded):
			domain = &region.OverloadError{What: "coordinator", RetryAfter: delay}
		}
		return &remoteError{s.Message(), domain, err}
	}
	return err
}

func notLeader(hint *LeaderHint) *region.NotLeaderError {
	leader, err := ToMemberID(hint.GetLeader().GetId())
	address := hint.GetLeader().GetAddress()
	if err != nil || len(address) > maxAddress {
		return &region.NotLeaderError{}
	}
	return &region.NotLeaderError{Leader: leader, Address: address}
}

// elsewhere reads the hint to where a region is.
func elsewhere(cause error, s *status.Status) error {
	e := &region.ElsewhereError{Cause: cause}
	for _, detail := range s.Details() {
		hint, ok := detail.(*RegionHint)
		for _, m := range hint.GetRegions()[:min(len(hint.GetRegions()), 2)] {
			if d, err := toDescriptor(m); ok && err == nil {
				e.Now = append(e.Now, d)
			}
		}
	}
	if len(e.Now) == 0 {
		return cause
	}
	e.Region = e.Now[0].Region
	return e
}

// RetryDelay tells how long the sender of err, which FromStatus has made, asks
// the caller to wait before it tries again, at most a minute. ok is false if it
// said nothing.
func RetryDelay(err error) (delay time.Duration, ok bool) {
	s, isStatus := status.FromError(err)
	if err == nil || !isStatus {
		return 0, false
	}
	_, _, delay = readDetails(s)
	return delay, delay > 0
}

func readDetails(s *status.Status) (info *errdetails.ErrorInfo, hint *LeaderHint, delay time.Duration) {
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			info = d
		case *LeaderHint:
			hint = d
		case *errdetails.RetryInfo:
			delay = min(max(d.GetRetryDelay().AsDuration(), 0), maxRetry)
		}
	}
	return info, hint, delay
}

// A remoteError is an error of the domain that came over the wire.
type remoteError struct {
	text   string
	domain error
	status error
}

func (e *remoteError) Error() string   { return e.text }
func (e *remoteError) Unwrap() []error { return []error{e.domain, e.status} }
