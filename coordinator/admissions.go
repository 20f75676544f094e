package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// maxCalls bounds the calls in one message of a line.
	maxCalls = 64
	// maxUnanswered bounds the messages of a line whose calls are being decided.
	// Beyond it nothing more is read, and the caller's sends wait.
	maxUnanswered = 32
)

type admissionsStream = grpc.BidiStreamingServer[skeinv1.AdmissionsRequest, skeinv1.AdmissionsResponse]

// Admissions serves a member's line: many calls of Admit over one stream. A call that
// is not decided within the time that a place is reserved for is answered
// DEADLINE_EXCEEDED: whoever hears later may not have the place any more. The
// goroutines it starts end when the stream does, which is after it has returned.
func (m *membership) Admissions(stream admissionsStream) error {
	l := &line{membership: m, stream: stream, room: make(chan struct{}, maxUnanswered)}
	heard := make(chan error, 1)
	m.server.streams.Go(func() { heard <- l.hear() })
	select {
	case err := <-heard:
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	case <-m.server.stopping.Done():
		return status.Error(codes.Unavailable, "the coordinator stops")
	}
}

// A line is the serving end of Admissions.
type line struct {
	*membership
	stream admissionsStream
	// room holds a token per message whose calls are being decided.
	room    chan struct{}
	sending sync.Mutex
}

// hear has the calls of each message decided until the stream ends.
func (l *line) hear() error {
	ctx := l.stream.Context()
	for {
		m, err := l.stream.Recv()
		if err != nil {
			return err
		}
		if len(m.Calls) > maxCalls {
			return fmt.Errorf("calls: %w: %d in one message, at most %d", region.ErrInvalid, len(m.Calls), maxCalls)
		}
		select {
		case l.room <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		l.server.streams.Go(func() {
			defer func() { <-l.room }()
			l.answer(ctx, m.Calls)
		})
	}
}

// answer has calls that came together decided, and answers them together.
func (l *line) answer(ctx context.Context, calls []*skeinv1.AdmitRequest) {
	ctx, cancel := context.WithTimeout(ctx, l.server.cfg.Reservation)
	defer cancel()
	m := &skeinv1.AdmissionsResponse{Answers: make([]*skeinv1.AdmissionsAnswer, len(calls))}
	var wg sync.WaitGroup
	for i := 1; i < len(calls); i++ {
		wg.Go(func() { m.Answers[i] = l.one(ctx, calls[i]) })
	}
	if len(calls) > 0 {
		m.Answers[0] = l.one(ctx, calls[0])
	}
	wg.Wait()
	l.sending.Lock()
	defer l.sending.Unlock()
	_ = l.stream.Send(m) // whoever reads finds out that it is broken
}

// one answers a call as Admit would.
func (l *line) one(ctx context.Context, req *skeinv1.AdmitRequest) *skeinv1.AdmissionsAnswer {
	var resp *skeinv1.AdmitResponse
	err := error(&region.OverloadError{What: "calls of one peer", RetryAfter: time.Second})
	if callerOf(ctx).limiter.Allow() {
		resp, err = l.Admit(ctx, req)
	}
	s := status.Convert(skeinv1.ToStatus(err))
	l.server.meters.calls.WithLabelValues(skeinv1.Membership_Admit_FullMethodName, s.Code().String()).Inc()
	a := &skeinv1.AdmissionsAnswer{RequestId: req.GetRequestId()}
	if err == nil {
		a.Answer = &skeinv1.AdmissionsAnswer_Response{Response: resp}
		return a
	}
	raw, err := proto.Marshal(s.Proto())
	if err != nil {
		raw = nil // never happens; the caller calls it an internal error
	}
	a.Answer = &skeinv1.AdmissionsAnswer_Status{Status: raw}
	return a
}
