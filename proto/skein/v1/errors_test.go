package skeinv1

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Every sentinel of the domain is known at the border, and found again behind it.
func TestErrorsCross(t *testing.T) {
	known := map[string]error{
		"ErrInvalid": region.ErrInvalid, "ErrLimit": region.ErrLimit,
		"ErrUnknownMember": region.ErrUnknownMember, "ErrUnknownStream": region.ErrUnknownStream,
		"ErrExists": region.ErrExists, "ErrLease": region.ErrLease, "ErrGeneration": region.ErrGeneration,
		"ErrNotOrigin": region.ErrNotOrigin, "ErrNotLeader": region.ErrNotLeader,
		"ErrOutcomeUnknown": region.ErrOutcomeUnknown, "ErrOverloaded": region.ErrOverloaded,
		"ErrRevision": region.ErrRevision, "ErrUnauthenticated": region.ErrUnauthenticated,
		"ErrForbidden": region.ErrForbidden, "ErrClosed": region.ErrClosed, "ErrLost": region.ErrLost,
		"ErrUnreachable": region.ErrUnreachable,
		"ErrElsewhere":   region.ErrElsewhere, "ErrFrozen": region.ErrFrozen, "ErrUncut": region.ErrUncut,
	}
	for _, file := range parse(t, "../../../region") {
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Err") && known[spec.Names[0].Name] == nil {
				t.Errorf("the border does not know region.%s", spec.Names[0].Name)
			}
			return true
		})
	}
	for _, err := range []error{
		trust.ErrTokenMalformed, trust.ErrTokenForged, trust.ErrTokenForeign, trust.ErrTokenExpired,
		trust.ErrTokenRole, trust.ErrTokenSpent, trust.ErrPeer,
	} {
		known[err.Error()] = err
	}
	reasons := map[string]bool{}
	for name, sentinel := range known {
		in := fmt.Errorf("join r1: %w", sentinel)
		out := FromStatus(ToStatus(in))
		if !errors.Is(out, sentinel) || out.Error() != in.Error() {
			t.Errorf("%s comes back as %v", name, out)
		}
		for other, err := range known {
			if other != name && errors.Is(out, err) {
				t.Errorf("%s comes back as %s, too", name, other)
			}
		}
		info, _, _ := readDetails(status.Convert(out))
		if reasons[info.GetReason()] {
			t.Errorf("%s shares its reason %s", name, info.GetReason())
		}
		reasons[info.GetReason()] = true
	}
}

// A follower's answer takes the caller to the leader, a busy leader's lets it wait.
func TestHintsCross(t *testing.T) {
	for _, in := range []*region.NotLeaderError{{}, {Leader: "c2", Address: "192.0.2.2:7400"}} {
		err := call(t, fmt.Errorf("admit: %w", in))
		out, ok := errors.AsType[*region.NotLeaderError](err)
		if !ok || *out != *in || !errors.Is(err, region.ErrNotLeader) || status.Code(err) != codes.Unavailable {
			t.Errorf("%v comes back as %v", in, err)
		}
		if delay, ok := RetryDelay(err); ok != (in.Leader == "") {
			t.Errorf("%v: wait %v, %v", in, delay, ok)
		}
	}

	busy := &region.OverloadError{What: "admissions", RetryAfter: 250 * time.Millisecond}
	err := call(t, busy)
	out, ok := errors.AsType[*region.OverloadError](err)
	if !ok || out.RetryAfter != busy.RetryAfter || !errors.Is(err, region.ErrOverloaded) || status.Code(err) != codes.ResourceExhausted {
		t.Errorf("%v comes back as %v", busy, err)
	}
	if delay, ok := RetryDelay(err); !ok || delay != busy.RetryAfter {
		t.Errorf("wait %v, %v, want %v", delay, ok, busy.RetryAfter)
	}
}

// What a hostile server sends is not believed beyond its bounds.
func TestHostileDetails(t *testing.T) {
	info := &errdetails.ErrorInfo{Domain: errorDomain, Reason: "NOT_LEADER"}
	s, err := status.New(codes.Unavailable, "go away").WithDetails(info,
		&LeaderHint{Leader: &Coordinator{Id: "c2", Address: strings.Repeat("a", 10_000)}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1000 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	out := FromStatus(s.Err())
	if e, ok := errors.AsType[*region.NotLeaderError](out); !ok || *e != (region.NotLeaderError{}) {
		t.Errorf("hint taken: %v", e)
	}
	if delay, _ := RetryDelay(out); delay != maxRetry {
		t.Errorf("wait %v, want %v", delay, maxRetry)
	}
	for _, info := range []*errdetails.ErrorInfo{{Domain: "elsewhere", Reason: "LEASE"}, {Domain: errorDomain, Reason: "NEW"}} {
		s, err := status.New(codes.FailedPrecondition, "no").WithDetails(info)
		if err != nil {
			t.Fatal(err)
		}
		if in := s.Err(); FromStatus(in) != in {
			t.Errorf("%v becomes %v", in, FromStatus(in))
		}
	}
}

func TestOtherErrorsCross(t *testing.T) {
	for _, c := range []struct {
		in   error
		code codes.Code
		is   error
	}{
		{context.Canceled, codes.Canceled, context.Canceled},
		{fmt.Errorf("wait: %w", context.DeadlineExceeded), codes.DeadlineExceeded, context.DeadlineExceeded},
		{&region.InvariantError{Rule: "tree", Detail: "a loop"}, codes.Internal, nil},
		{errors.New("disk full"), codes.Internal, nil},
		{status.Error(codes.OutOfRange, "compacted"), codes.OutOfRange, nil},
		{errors.New(strings.Repeat("\xff", 100_000)), codes.Internal, nil},
	} {
		out := call(t, c.in)
		if status.Code(out) != c.code || c.is != nil && !errors.Is(out, c.is) {
			t.Errorf("%.80v comes back as %.80v", c.in, out)
		}
	}
	if ToStatus(nil) != nil || FromStatus(nil) != nil || FromStatus(io.EOF) != io.EOF {
		t.Error("no error, or one that is no status, does not stay what it is")
	}
	if _, ok := RetryDelay(nil); ok {
		t.Error("no error asks to wait")
	}
}

// call carries err over a real connection.
func call(t *testing.T, err error) error {
	t.Helper()
	listener := bufconn.Listen(64 << 10)
	server := grpc.NewServer()
	RegisterMembershipServer(server, refuser{err: err})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	conn, dialErr := grpc.NewClient("passthrough:///refuser",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if dialErr != nil {
		t.Fatal(dialErr)
	}
	defer conn.Close()
	_, got := NewMembershipClient(conn).Leave(t.Context(), &LeaveRequest{})
	if got == nil {
		t.Fatal("the call succeeds")
	}
	return FromStatus(got)
}

type refuser struct {
	UnimplementedMembershipServer
	err error
}

func (r refuser) Leave(context.Context, *LeaveRequest) (*LeaveResponse, error) {
	return nil, ToStatus(r.err)
}
