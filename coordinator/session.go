package coordinator

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// rolesPerMessage bounds the roles in one message to a member.
	rolesPerMessage = 16
	// maxProposals and maxProbes bound what waits to be asked of a member.
	maxProposals = 16
	maxProbes    = 8
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
	// visits says that the member is of another community.
	visits bool
	// health is the last heartbeat.
	health atomic.Pointer[skeinv1.Heartbeat]
	// regret is the member's latest vote, per mille.
	regret atomic.Uint32
	// longing is the region that the member finds clearly nearer; nil: none was said.
	longing atomic.Pointer[region.ID]
	// leaf is the last word on local admissions.
	leaf atomic.Pointer[skeinv1.LeafReport]
	// news holds a token when there is something to tell.
	news chan struct{}
	// ended is closed by cut.
	ended chan struct{}
	// doubts and stale are owned by hear, the others by tell: whom the member sees, and
	// what it knows of streams and peers. prints are those of the roles it was told.
	doubts doubts
	stale  stale
	sights sights
	book   skeinv1.Book
	prints map[region.StreamID]uint64

	// The rest is guarded by hub.mu.
	all     bool
	dirty   map[region.StreamID]bool // roles to be told; true: even if they are as before
	telling time.Time                // when it was last given something it has not taken yet
	renewed time.Time                // when it was last to be told everything
	reason  error                    // why it was cut
	refuges bool                     // it is to be told of other coordinators
	// given are the revisions of the roles it has taken.
	given map[region.StreamID]region.Revision
	// proposals and probes are questions that are still to be asked.
	proposals []*skeinv1.MoveProposal
	probes    []*skeinv1.Peer
	// budget and spare: it is to be told its leaf budget, or to give back what it does
	// not use.
	budget, spare bool
}

func newSession(s stay, since region.Revision, limiter *rate.Limiter) *session {
	return &session{
		stay: s, since: since, limiter: limiter,
		news: make(chan struct{}, 1), ended: make(chan struct{}),
		dirty: map[region.StreamID]bool{}, doubts: doubts{}, stale: stale{}, sights: sights{},
		given: map[region.StreamID]region.Revision{}, prints: map[region.StreamID]uint64{},
	}
}

// mark notes that a role is to be told, if it has changed or anew. It must be called with
// hub.mu held, as must markAll and cut.
func (s *session) mark(id region.StreamID, anew bool) {
	s.dirty[id] = s.dirty[id] || anew
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
		all, roles := l.hub.take(s)
		r := l.replica.group.State().Region
		var err error
		if all {
			err = l.tellAll(stream, s, r)
		} else {
			err = l.tellSome(stream, s, r, roles)
		}
		if err != nil {
			return fmt.Errorf("tell %s its roles: %w", s.stay.member, err)
		}
		l.hub.told(s)
		if refuges, any := l.hub.moved(s); any {
			if m, _ := r.Member(s.stay.member); m.Home.Community() != "" {
				refuges = nil // what there is besides this region is not its business
			}
			if err := stream.Send(&skeinv1.SessionResponse{Refuges: refuges, Coordinators: l.replica.coordinators()}); err != nil {
				return fmt.Errorf("tell %s of other coordinators: %w", s.stay.member, err)
			}
		}
		if err := l.tellLeaf(stream, s, r); err != nil {
			return fmt.Errorf("tell %s its leaf budget: %w", s.stay.member, err)
		}
		if proposals, probes := l.hub.questions(s); len(proposals)+len(probes) > 0 {
			if err := stream.Send(&skeinv1.SessionResponse{Proposals: proposals, Probes: probes}); err != nil {
				return fmt.Errorf("ask %s: %w", s.stay.member, err)
			}
		}
		if around := l.spaces.around(s.stay, s.sights, time.Now()); len(around) > 0 {
			introduce(r, around)
			if err := stream.Send(&skeinv1.SessionResponse{Surroundings: around}); err != nil {
				return fmt.Errorf("tell %s who is around: %w", s.stay.member, err)
			}
		}
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
		Anew:         l.hub.begun(time.Now()),
	}
	m, _ := r.Member(s.stay.member)
	if m.Home.Community() == "" {
		begin.Pass, begin.Refuges = l.pass(s.stay), l.refuges()
	}
	if m.Home == "" {
		begin.GossipKeys = l.gossipKeys
	}
	begin.Leaf, begin.Permits = leafBudget(r, s.stay), l.permits(r, m, l.cfg.Now())
	if err := stream.Send(begin); err != nil {
		return err
	}
	clear(s.prints)
	var roles []due
	for id := range r.Places(s.stay.member) {
		roles = append(roles, due{id, true})
	}
	if err := l.tellSome(stream, s, r, roles); err != nil {
		return err
	}
	return stream.Send(&skeinv1.SessionResponse{
		Marker:   skeinv1.SessionResponse_MARKER_END,
		Revision: uint64(r.Revision()),
	})
}

// tellLeaf sends a member its leaf budget, if that has changed, or that uplink is
// short.
func (l *leadership) tellLeaf(stream sessionStream, s *session, r *region.Region) error {
	budget, spare := l.hub.delegations(s)
	if !budget && !spare {
		return nil
	}
	m := &skeinv1.SessionResponse{Revision: uint64(r.Revision()), Spare: spare}
	if budget {
		m.Leaf = leafBudget(r, s.stay)
	}
	return stream.Send(m)
}

// tellSome sends the roles of a member for some streams. Many a change of a neighbour's
// leaves a role what it was.
func (l *leadership) tellSome(stream sessionStream, s *session, r *region.Region, roles []due) error {
	now := l.cfg.Now()
	m := &skeinv1.SessionResponse{Revision: uint64(r.Revision())}
	send := func() error {
		if err := stream.Send(m); err != nil {
			return err
		}
		l.hub.gave(s, m)
		return nil
	}
	for _, d := range roles {
		role := l.role(r, d.stream, s.stay.member, now)
		switch print, err := printOf(role); {
		case err != nil:
			return err
		case role == nil:
			m.Dropped = append(m.Dropped, string(d.stream))
			delete(s.prints, d.stream)
			s.book.Forget(string(d.stream))
		case d.anew || s.prints[d.stream] != print:
			s.prints[d.stream] = print
			s.book.Abridge(role)
			m.Roles = append(m.Roles, role)
		}
		if len(m.Roles) >= rolesPerMessage {
			if err := send(); err != nil {
				return err
			}
			m = &skeinv1.SessionResponse{Revision: m.Revision}
		}
	}
	if len(m.Roles) == 0 && len(m.Dropped) == 0 {
		return nil
	}
	return send()
}

// seed is of the prints of this process.
var seed = maphash.MakeSeed()

// printOf is the same for roles that differ in nothing but the revision.
func printOf(role *skeinv1.Role) (uint64, error) {
	if role == nil {
		return 0, nil
	}
	revision := role.Revision
	role.Revision = 0
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(role)
	role.Revision = revision
	return maphash.Bytes(seed, b), err
}
