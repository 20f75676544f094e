package member

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

const (
	// maxSamples bounds the RTT samples of one message.
	maxSamples = 128
	// fewStreams are told of with every heartbeat, more with digests only.
	fewStreams = 8
	// steady is how long a session must last for the next one to be opened
	// without a pause.
	steady = 5 * time.Second
)

// errStayOver: the coordinators do not know this stay any more, or not at this
// generation. errMoved: it goes on in another region.
var (
	errStayOver = errors.New("the stay is over")
	errMoved    = errors.New("the region's boundary has moved")
)

// A session is the conversation with the leader of the group. It is held by one
// goroutine, run, for as long as the node lives: it opens a stream, keeps it
// until it breaks, and opens the next, here or at another coordinator. While
// there is none, media and gossip go on and the outbox waits.
type session struct {
	*Node
	at       *residence
	digested time.Time // when the last digest was sent; owned by run
	// attempt ends the present attempt to hold a conversation.
	attempt atomic.Pointer[context.CancelFunc]
	// flowed counts the packets of each stream at the last heartbeat; owned by run.
	flowed map[region.StreamID]uint64
	// considering holds a token per proposal or probe that is looked into.
	considering chan struct{}
}

func newSession(n *Node, at *residence) *session {
	return &session{Node: n, at: at, considering: make(chan struct{}, maxConsidered), flowed: make(map[region.StreamID]uint64)}
}

func (s *session) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.seekShelter(ctx) })
	pause := firstBackoff
	for ctx.Err() == nil {
		began := time.Now()
		wait, err := s.attend(ctx)
		if ctx.Err() != nil || s.leaving.Load() {
			return
		}
		if errors.Is(err, errStayOver) || errors.Is(err, errMoved) {
			if err := s.at.again(ctx); err != nil {
				s.log.Warn("cannot join the region anew", "err", err)
			} else {
				pause = firstBackoff
			}
		}
		if time.Since(began) >= steady {
			pause = firstBackoff
		}
		wait = max(wait, pause/2+rand.N(pause/2))
		pause = min(2*pause, lastBackoff)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// attend opens one stream and keeps it until it breaks. wait is how long the
// coordinator asked to be left alone.
func (s *session) attend(ctx context.Context) (wait time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.attempt.Store(&cancel)
	at := s.at.at.Load()
	if st := s.at.stay.Load(); st.region != at.region {
		return 0, errMoved // by way of a call that noticed first
	}
	addr, c, err := s.at.group.pick()
	if err != nil {
		return 0, err
	}
	stream, err := c.Session(ctx)
	if err == nil {
		err = s.talk(ctx, cancel, stream, addr, at)
	}
	if s.at.connected.Swap(false) {
		s.at.heard.Store(time.Now().UnixMilli())
		s.events.put(Event{Kind: Disconnected, Peer: addr, Detail: fmt.Sprint(err)})
		s.log.Info("session ended", "coordinator", addr, "err", err)
	}
	if errors.Is(err, errStayOver) || errors.Is(err, errMoved) {
		return 0, err
	}
	outcome := s.at.group.judge(addr, err)
	to, moved := elsewhere(outcome.final)
	switch final := outcome.final; {
	case moved && s.at.settles:
		s.log.Info("the region's boundary has moved", "from", at.region, "to", to.Region)
		s.at.relocate(at, to)
		return 0, errMoved
	case errors.Is(final, region.ErrLease), errors.Is(final, region.ErrUnknownMember), errors.Is(final, region.ErrGeneration):
		return 0, errStayOver
	case final != nil:
		s.at.group.forget(addr)
		s.log.Warn("session refused", "coordinator", addr, "err", final)
		return lastBackoff, final
	}
	return outcome.wait, outcome.err
}

// talk holds the conversation: this goroutine speaks, another one listens.
func (s *session) talk(ctx context.Context, cancel func(), stream grpc.BidiStreamingClient[skeinv1.SessionRequest, skeinv1.SessionResponse], addr string, at *address) error {
	st := s.at.stay.Load()
	first := &skeinv1.SessionRequest{Hello: &skeinv1.SessionHello{
		Region: string(st.region), Lease: uint64(st.lease), Generation: uint64(st.generation),
	}}
	s.at.rtts.repeat()
	s.account(first, true)
	s.at.group.session.said(first)
	if err := stream.Send(first); err != nil {
		_, err = stream.Recv() // has the reason
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	over := make(chan error, 1)
	answered := make(chan struct{}, 1)
	wg.Go(func() { over <- s.listen(stream, addr, at.era, answered) })

	patience := time.NewTimer(s.cfg.CallTimeout)
	defer patience.Stop()
	beat := time.NewTicker(max(st.ttl/3, 100*time.Millisecond))
	defer beat.Stop()
	for {
		var message *skeinv1.SessionRequest
		select {
		case err := <-over:
			return err
		case <-answered:
			patience.Stop()
			continue
		case <-patience.C:
			return context.DeadlineExceeded
		case <-at.left:
			return errMoved
		case <-beat.C:
			if s.at == s.residence && s.at.connected.Load() {
				s.relay.Heard()
			}
			message = new(skeinv1.SessionRequest)
			s.account(message, time.Since(s.digested) >= s.cfg.DigestInterval)
			s.at.out.drain(message)
		case <-s.at.out.wake:
			message = new(skeinv1.SessionRequest)
			if !s.at.out.drain(message) {
				continue
			}
		}
		if err := stream.Send(message); err != nil {
			s.at.out.putBack(message)
			cancel()
			return <-over
		}
		s.at.group.session.said(message)
	}
}

// listen hears the coordinator until the stream breaks.
func (s *session) listen(stream grpc.BidiStreamingClient[skeinv1.SessionRequest, skeinv1.SessionResponse], addr string, era uint64, answered chan<- struct{}) error {
	var book skeinv1.Book
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		s.at.group.session.heard(m)
		if err := complete(&book, m); err != nil {
			return err
		}
		if !s.at.connected.Swap(true) {
			s.at.group.setLeader(addr)
			s.events.put(Event{Kind: Connected, Peer: addr})
			answered <- struct{}{}
		}
		if err := s.heed(m, era); err != nil {
			return err
		}
	}
}

// complete puts into what the coordinator says what it has said before.
func complete(book *skeinv1.Book, m *skeinv1.SessionResponse) error {
	for _, role := range m.GetRoles() {
		if err := book.Complete(role); err != nil {
			return err
		}
	}
	for _, name := range m.GetDropped() {
		book.Forget(name)
	}
	return nil
}

// heed does what the coordinator says.
func (s *session) heed(m *skeinv1.SessionResponse, era uint64) error {
	if m.GetLeaseLost() {
		return errStayOver
	}
	if s.leaving.Load() {
		return nil // its places are gone, but it feeds its children until they are
	}
	if era != s.at.at.Load().era {
		return errMoved
	}
	rev := region.Revision(m.GetRevision())
	if s.at == s.residence {
		if err := s.heedLeaf(m); err != nil {
			return err
		}
	}
	if m.GetMarker() == skeinv1.SessionResponse_MARKER_BEGIN {
		s.at.assigned.begin(m.GetAnew())
	}
	for _, role := range m.GetRoles() {
		_ = s.assign(s.at, role, era) // what is not understood has been logged
	}
	for _, name := range m.GetDropped() {
		if id := region.StreamID(name); s.at.assigned.lose(id, rev) {
			s.displaced(s.at, id)
		}
	}
	if m.GetMarker() == skeinv1.SessionResponse_MARKER_END {
		for _, id := range s.at.assigned.end(rev) {
			s.displaced(s.at, id)
		}
		s.reconfirm()
		s.restand()
		s.at.account.Do(func() { close(s.at.accounted) })
	}
	if s.at == s.residence {
		s.heedSurroundings(m.GetSurroundings())
	}
	for _, p := range m.GetProposals() {
		s.consider(p)
	}
	s.survey(m.GetProbes())
	s.at.shelter.told(m.GetPass(), m.GetRefuges())
	if len(m.GetCoordinators()) > 0 {
		s.at.group.learn(m.GetCoordinators())
	}
	if len(m.GetGossipKeys()) > 0 && s.at == s.residence {
		s.rekey(m.GetGossipKeys())
	}
	return nil
}

// reconfirm says of every edge that stands that it does: the word may have been
// lost with the last session, and an edge without it is taken back.
func (s *session) reconfirm() {
	for _, st := range s.relay.Stats().Streams {
		h := s.at.assigned.place(st.Stream.ID)
		if parent, ok := s.holds(st); ok && h.parent != "" && h.parent == parent {
			s.at.out.confirm(st.Stream.ID, h.parent, h.revision)
		}
	}
}
