package line

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// An office answers lines as serve says. What coordinators make of a line is tested
// with them.
type office struct {
	skeinv1.UnimplementedMembershipServer
	serve func(skeinv1.Membership_AdmissionsServer) error
}

func (o office) Admissions(s skeinv1.Membership_AdmissionsServer) error { return o.serve(s) }

// open returns a line to an office.
func open(t *testing.T, serve func(skeinv1.Membership_AdmissionsServer) error) *Line {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	skeinv1.RegisterMembershipServer(server, office{serve: serve})
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	line := New(conn)
	t.Cleanup(func() {
		line.Close()
		_ = conn.Close()
		server.Stop()
		wg.Wait()
	})
	return line
}

func request(id string) *skeinv1.AdmitRequest { return &skeinv1.AdmitRequest{RequestId: id} }

func accept(id string, revision uint64) *skeinv1.AdmissionsAnswer {
	return &skeinv1.AdmissionsAnswer{RequestId: id, Answer: &skeinv1.AdmissionsAnswer_Response{
		Response: &skeinv1.AdmitResponse{Revision: revision},
	}}
}

// Answers find their calls in whatever order they come, and failures arrive as a
// call of its own would have failed.
func TestAnswersFindTheirCalls(t *testing.T) {
	const calls = 100
	l := open(t, func(s skeinv1.Membership_AdmissionsServer) error {
		var got []string
		for len(got) < calls {
			m, err := s.Recv()
			if err != nil {
				return err
			}
			for _, c := range m.Calls {
				got = append(got, c.RequestId)
			}
		}
		for i := len(got) - 1; i >= 0; i-- {
			var n uint64
			fmt.Sscan(got[i], &n)
			a := accept(got[i], n)
			if n == 7 {
				raw, _ := proto.Marshal(status.Convert(skeinv1.ToStatus(region.ErrLease)).Proto())
				a.Answer = &skeinv1.AdmissionsAnswer_Status{Status: raw}
			}
			if err := s.Send(&skeinv1.AdmissionsResponse{Answers: []*skeinv1.AdmissionsAnswer{accept("nobody's", 0), a}}); err != nil {
				return err
			}
		}
		<-s.Context().Done()
		return nil
	})
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			resp, err := l.Admit(t.Context(), request(fmt.Sprint(i)))
			switch {
			case i == 7:
				if !errors.Is(skeinv1.FromStatus(err), region.ErrLease) {
					t.Errorf("call 7: %v", err)
				}
			case err != nil || resp.Revision != uint64(i):
				t.Errorf("call %d: %v, %v", i, resp, err)
			}
		})
	}
	wg.Wait()
}

// When the stream breaks, what is under way fails, and whoever comes next finds
// another stream.
func TestABrokenLineIsOpenedAnew(t *testing.T) {
	var lives int
	l := open(t, func(s skeinv1.Membership_AdmissionsServer) error {
		lives++ // one stream at a time
		m, err := s.Recv()
		if err != nil || lives == 1 {
			return err
		}
		_ = s.Send(&skeinv1.AdmissionsResponse{Answers: []*skeinv1.AdmissionsAnswer{accept(m.Calls[0].RequestId, 5)}})
		<-s.Context().Done()
		return nil
	})
	if _, err := l.Admit(t.Context(), request("a")); status.Code(err) != codes.Unavailable {
		t.Fatalf("the stream ended, and the call with %v", err)
	}
	if resp, err := l.Admit(t.Context(), request("a")); err != nil || resp.Revision != 5 {
		t.Fatalf("again: %v, %v", resp, err)
	}
	l.Close()
	if _, err := l.Admit(t.Context(), request("b")); status.Code(err) != codes.Canceled {
		t.Errorf("after Close: %v", err)
	}
}

// A call ends with its context, and its id may be used again.
func TestWhoGivesUpLeavesNothing(t *testing.T) {
	heard := make(chan string)
	l := open(t, func(s skeinv1.Membership_AdmissionsServer) error {
		for {
			m, err := s.Recv()
			if err != nil {
				return nil
			}
			heard <- m.Calls[0].RequestId
		}
	})
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := l.Admit(ctx, request("a"))
			ended <- err
		}()
		<-heard
		if _, err := l.Admit(ctx, request("a")); !errors.Is(skeinv1.FromStatus(err), region.ErrInvalid) {
			t.Errorf("the same id twice at a time: %v", err)
		}
		cancel()
		if err := <-ended; status.Code(err) != codes.Canceled {
			t.Errorf("given up, the call ended with %v", err)
		}
	}
}
