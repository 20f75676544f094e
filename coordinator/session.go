package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// rolesPerMessage bounds the roles in one message to a member.
	rolesPerMessage = 16
	// leaveTimeout bounds taking leave of a member.
	leaveTimeout = time.Second
)

var (
	errReplaced = fmt.Errorf("%w: another session of the same stay began", region.ErrClosed)
	errSlow     = fmt.Errorf("%w: the session did not take what it was told; open it anew", region.ErrOverloaded)
)

// A session is the stream of one stay: reports come up, roles go down.
type session struct {
	stay stay
	// since is the revision at which the stay was found to be the present one.
	since   region.Revision
	limiter *rate.Limiter
	// health is the last heartbeat.
	health atomic.Pointer[skeinv1.Heartbeat]
	// news holds a token when there is something to tell.
	news chan struct{}
	// ended is closed by cut.
	ended chan struct{}
	// doubts is owned by hear.
	doubts doubts

	// The rest is guarded by hub.mu.
	all     bool
	dirty   map[region.StreamID]bool
	telling time.Time // when it was last given something it has not taken yet
	renewed time.Time // when it was last to be told everything
	reason  error     // why it was cut
}

func newSession(s stay, since region.Revision, limiter *rate.Limiter) *session {
	return &session{
		stay: s, since: since, limiter: limiter,
		news: make(chan struct{}, 1), ended: make(chan struct{}),
		dirty: map[region.StreamID]bool{}, doubts: doubts{},
	}
}

// mark notes that a role is to be told. It must be called with hub.mu held, as
// must markAll and cut.
func (s *session) mark(id region.StreamID) {
	s.dirty[id] = true
	s.wake()
}

func (s *session) markAll(now time.Time) {
	s.all, s.renewed = true, now
	s.wake()
}

func (s *session) wake() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

func (s *session) cut(reason error) {
	if s.reason == nil {
		s.reason = reason
		close(s.ended)
	}
}

type sessionStream = grpc.BidiStreamingServer[skeinv1.SessionRequest, skeinv1.SessionResponse]

// serve runs a session until either side ends it. The two goroutines it starts
// end when the stream does, which is after serve has returned.
func (l *leadership) serve(stream sessionStream, s *session) error {
	if err := l.hub.attach(s); err != nil {
		return err
	}
	defer l.hub.detach(s)
	errs := make(chan error, 2)
	l.replica.streams.Go(func() { errs <- l.tell(stream, s) })
	l.replica.streams.Go(func() { errs <- l.hear(stream, s) })
	select {
	case err := <-errs:
		return err
	case <-s.ended:
	}
	// tell takes leave of the member, unless it is stuck.
	timer := time.NewTimer(leaveTimeout)
	defer timer.Stop()
	select {
	case <-errs: //nolint:errcheck // why it ended is the hub's to say
	case <-timer.C:
	}
	return l.hub.reason(s)
}

// tell sends a member its roles, whenever there is something new about them.
func (l *leadership) tell(stream sessionStream, s *session) error {
	for {
		select {
		case <-s.news:
		case <-s.ended:
			return l.dismiss(stream, s)
		case <-stream.Context().Done():
			return context.Cause(stream.Context())
		}
		all, ids := l.hub.take(s)
		r := l.replica.group.State().Region
		var err error
		if all {
			err = l.tellAll(stream, s, r)
		} else {
			err = l.tellSome(stream, s, r, ids)
		}
		if err != nil {
			return fmt.Errorf("tell %s its roles: %w", s.stay.member, err)
		}
		l.hub.told(s)
	}
}

// dismiss tells a member that its session, or even its stay, is over.
func (l *leadership) dismiss(stream sessionStream, s *session) error {
	reason := l.hub.reason(s)
	if !errors.Is(reason, region.ErrLease) {
		return reason
	}
	if err := stream.Send(&skeinv1.SessionResponse{LeaseLost: true}); err != nil {
		return err
	}
	return reason
}

// tellAll sends all roles of a member between two markers.
func (l *leadership) tellAll(stream sessionStream, s *session, r *region.Region) error {
	begin := &skeinv1.SessionResponse{
		Marker:       skeinv1.SessionResponse_MARKER_BEGIN,
		Revision:     uint64(r.Revision()),
		Coordinators: l.replica.coordinators(),
		GossipKeys:   l.gossipKeys,
	}
	if err := stream.Send(begin); err != nil {
		return err
	}
	var ids []region.StreamID
	for id := range r.Places(s.stay.member) {
		ids = append(ids, id)
	}
	if err := l.tellSome(stream, s, r, ids); err != nil {
		return err
	}
	return stream.Send(&skeinv1.SessionResponse{
		Marker:   skeinv1.SessionResponse_MARKER_END,
		Revision: uint64(r.Revision()),
	})
}

// tellSome sends the roles of a member for some streams.
func (l *leadership) tellSome(stream sessionStream, s *session, r *region.Region, ids []region.StreamID) error {
	now := time.Now()
	m := &skeinv1.SessionResponse{Revision: uint64(r.Revision())}
	for _, id := range ids {
		if role := l.signer.role(r, id, s.stay.member, now); role != nil {
			m.Roles = append(m.Roles, role)
		} else {
			m.Dropped = append(m.Dropped, string(id))
		}
		if len(m.Roles) >= rolesPerMessage {
			if err := stream.Send(m); err != nil {
				return err
			}
			m = &skeinv1.SessionResponse{Revision: m.Revision}
		}
	}
	if len(m.Roles) == 0 && len(m.Dropped) == 0 {
		return nil
	}
	return stream.Send(m)
}
