package line

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// maxCalls bounds the calls in one message, as coordinators do.
const maxCalls = 64

// A Line asks one coordinator. It is safe for concurrent use.
type Line struct {
	skeinv1.MembershipClient // for all but Admit

	ctx    context.Context // ends with the line
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	current *stream // nil while none is open
}

// New returns a line over a connection, which must outlive it.
func New(conn grpc.ClientConnInterface) *Line {
	l := &Line{MembershipClient: skeinv1.NewMembershipClient(conn)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Close ends the line. Calls under way fail.
func (l *Line) Close() {
	l.mu.Lock()
	l.cancel()
	l.mu.Unlock()
	l.wg.Wait()
}

// Admit is part of skeinv1.MembershipClient; options have no meaning here. If ctx ends
// first the request may still be carried out.
func (l *Line) Admit(ctx context.Context, req *skeinv1.AdmitRequest, _ ...grpc.CallOption) (*skeinv1.AdmitResponse, error) {
	s, err := l.stream()
	if err != nil {
		return nil, err
	}
	c := &call{request: req, done: make(chan struct{})}
	if err := s.put(c); err != nil {
		return nil, err
	}
	select {
	case <-c.done:
		return c.response, c.err
	case <-ctx.Done():
		s.forget(c)
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// stream is the one that is open, or a new one.
func (l *Line) stream() (*stream, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return nil, status.Error(codes.Canceled, "the line is closed")
	}
	if l.current != nil {
		return l.current, nil
	}
	s := &stream{calls: map[string]*call{}, news: make(chan struct{}, 1)}
	l.current = s
	l.wg.Go(func() {
		err := s.run(l.ctx, l.MembershipClient)
		l.mu.Lock()
		l.current = nil
		l.mu.Unlock()
		s.end(err)
	})
	return s, nil
}

// A call waits for its answer.
type call struct {
	request  *skeinv1.AdmitRequest
	done     chan struct{} // closed when the rest may be read
	response *skeinv1.AdmitResponse
	err      error
}

// A stream is one life of a line.
type stream struct {
	news chan struct{} // holds a token when there is something to send

	mu    sync.Mutex
	calls map[string]*call // under way, by request id
	queue []*call          // of those, the ones that are still to be sent
	over  error
}

// put has c sent.
func (s *stream) put(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		return s.over
	}
	id := c.request.RequestId
	if s.calls[id] != nil {
		return skeinv1.ToStatus(fmt.Errorf("request_id %q: %w: another call of it is under way", id, region.ErrInvalid))
	}
	s.calls[id], s.queue = c, append(s.queue, c)
	select {
	case s.news <- struct{}{}:
	default:
	}
	return nil
}

// forget gives up waiting for c.
func (s *stream) forget(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id := c.request.RequestId; s.calls[id] == c {
		delete(s.calls, id)
	}
}

// run opens the stream and sends and receives until it breaks.
func (s *stream) run(ctx context.Context, client skeinv1.MembershipClient) error {
	ctx, cancel := context.WithCancel(ctx)
	var hearing sync.WaitGroup
	defer hearing.Wait()
	defer cancel()
	wire, err := client.Admissions(ctx)
	if err != nil {
		return err
	}
	heard := make(chan error, 1)
	hearing.Go(func() { heard <- s.hear(wire) })
	for {
		select {
		case <-s.news:
		case err := <-heard:
			return err
		}
		runtime.Gosched() // those who are about to ask may
		for m := s.next(); m != nil; m = s.next() {
			if err := wire.Send(m); err != nil {
				return <-heard // which knows why
			}
		}
	}
}

// next is what is to be sent next; nil if there is nothing.
func (s *stream) next() *skeinv1.AdmissionsRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.queue), maxCalls)
	if n == 0 {
		return nil
	}
	m := &skeinv1.AdmissionsRequest{Calls: make([]*skeinv1.AdmitRequest, n)}
	for i, c := range s.queue[:n] {
		m.Calls[i] = c.request
	}
	s.queue = append(s.queue[:0], s.queue[n:]...)
	return m
}

func (s *stream) hear(wire grpc.BidiStreamingClient[skeinv1.AdmissionsRequest, skeinv1.AdmissionsResponse]) error {
	for {
		m, err := wire.Recv()
		if err != nil {
			return err
		}
		s.answer(m.Answers)
	}
}

func (s *stream) answer(list []*skeinv1.AdmissionsAnswer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range list {
		c := s.calls[a.RequestId]
		if c == nil {
			continue // nobody waits for it any more
		}
		delete(s.calls, a.RequestId)
		if c.response = a.GetResponse(); c.response == nil {
			c.err = failure(a.GetStatus())
		}
		close(c.done)
	}
}

// failure reads a status; there is always one.
func failure(raw []byte) error {
	var s spb.Status
	if err := proto.Unmarshal(raw, &s); err != nil || codes.Code(s.Code) == codes.OK {
		return status.Error(codes.Internal, "the answer holds neither a response nor a status")
	}
	return status.FromProto(&s).Err()
}

// end fails what is under way, and what comes.
func (s *stream) end(err error) {
	if _, ok := status.FromError(err); err == nil || !ok {
		err = status.Error(codes.Unavailable, "the coordinator closed the line")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = err
	for _, c := range s.calls {
		c.err = err
		close(c.done)
	}
	clear(s.calls)
	s.queue = nil
}
