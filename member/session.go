package member

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

const (
	// maxSamples bounds the RTT samples of one message.
	maxSamples = 128
	// steady is how long a session must last for the next one to be opened
	// without a pause.
	steady = 5 * time.Second
)

// errStayOver: the coordinators do not know this stay any more.
var errStayOver = errors.New("the stay is over")

// A session is the conversation with the leader of the group. It is held by one
// goroutine, run, for as long as the node lives: it opens a stream, keeps it
// until it breaks, and opens the next, here or at another coordinator. While
// there is none, media and gossip go on and the outbox waits.
type session struct {
	*Node
	digested time.Time // when the last digest was sent; owned by run
}

func (s *session) run(ctx context.Context) {
	pause := firstBackoff
	for ctx.Err() == nil {
		began := time.Now()
		wait, err := s.attend(ctx)
		if ctx.Err() != nil || s.leaving.Load() {
			return
		}
		if errors.Is(err, errStayOver) {
			if err := s.rejoin(ctx); err != nil {
				s.log.Warn("cannot join the region anew", "err", err)
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
	addr, c, err := s.group.pick()
	if err != nil {
		return 0, err
	}
	stream, err := c.Session(ctx)
	if err == nil {
		err = s.talk(ctx, cancel, stream, addr)
	}
	if s.connected.Swap(false) {
		s.events.put(Event{Kind: Disconnected, Peer: addr, Detail: fmt.Sprint(err)})
		s.log.Info("session ended", "coordinator", addr, "err", err)
	}
	if errors.Is(err, errStayOver) {
		return 0, err
	}
	outcome := s.group.judge(addr, err)
	switch final := outcome.final; {
	case errors.Is(final, region.ErrLease), errors.Is(final, region.ErrUnknownMember), errors.Is(final, region.ErrGeneration):
		return 0, errStayOver
	case final != nil:
		s.group.forget(addr)
		s.log.Warn("session refused", "coordinator", addr, "err", final)
		return lastBackoff, final
	}
	return outcome.wait, outcome.err
}

// talk holds the conversation: this goroutine speaks, another one listens.
func (s *session) talk(ctx context.Context, cancel func(), stream grpc.BidiStreamingClient[skeinv1.SessionRequest, skeinv1.SessionResponse], addr string) error {
	st := s.stay.Load()
	first := &skeinv1.SessionRequest{Hello: &skeinv1.SessionHello{
		Region: string(s.cfg.Region), Lease: uint64(st.lease), Generation: uint64(st.generation),
	}}
	s.account(first, true)
	if err := stream.Send(first); err != nil {
		_, err = stream.Recv() // has the reason
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	over := make(chan error, 1)
	answered := make(chan struct{}, 1)
	wg.Go(func() { over <- s.listen(stream, addr, answered) })

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
		case <-beat.C:
			message = new(skeinv1.SessionRequest)
			s.account(message, time.Since(s.digested) >= s.cfg.DigestInterval)
			s.out.drain(message)
		case <-s.out.wake:
			message = new(skeinv1.SessionRequest)
			if !s.out.drain(message) {
				continue
			}
		}
		if err := stream.Send(message); err != nil {
			s.out.putBack(message)
			cancel()
			return <-over
		}
	}
}

// listen hears the coordinator until the stream breaks.
func (s *session) listen(stream grpc.BidiStreamingClient[skeinv1.SessionRequest, skeinv1.SessionResponse], addr string, answered chan<- struct{}) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if !s.connected.Swap(true) {
			s.group.setLeader(addr)
			s.events.put(Event{Kind: Connected, Peer: addr})
			answered <- struct{}{}
		}
		if err := s.heed(m); err != nil {
			return err
		}
	}
}

// heed does what the coordinator says.
func (s *session) heed(m *skeinv1.SessionResponse) error {
	if m.GetLeaseLost() {
		return errStayOver
	}
	if s.leaving.Load() {
		return nil // its places are gone, but it feeds its children until they are
	}
	rev := region.Revision(m.GetRevision())
	if m.GetMarker() == skeinv1.SessionResponse_MARKER_BEGIN {
		s.assigned.begin()
	}
	for _, role := range m.GetRoles() {
		_ = s.assign(role) // what is not understood has been logged
	}
	for _, name := range m.GetDropped() {
		if id := region.StreamID(name); s.assigned.lose(id, rev) {
			s.displaced(id)
		}
	}
	if m.GetMarker() == skeinv1.SessionResponse_MARKER_END {
		for _, id := range s.assigned.end(rev) {
			s.displaced(id)
		}
		s.reconfirm()
	}
	if len(m.GetCoordinators()) > 0 {
		s.group.learn(m.GetCoordinators())
	}
	if len(m.GetGossipKeys()) > 0 {
		s.rekey(m.GetGossipKeys())
	}
	return nil
}

// reconfirm says of every edge that stands that it does: the word may have been
// lost with the last session, and an edge without it is taken back.
func (s *session) reconfirm() {
	for _, st := range s.relay.Stats().Streams {
		h := s.assigned.place(st.Stream.ID)
		if h.placed && h.parent != "" && h.parent == st.Parent {
			s.out.confirm(st.Stream.ID, h.parent, h.revision)
		}
	}
}

// account adds to m how this member is doing, and, if asked, what it holds.
func (s *session) account(m *skeinv1.SessionRequest, digest bool) {
	stats := s.relay.Stats()
	beat := &skeinv1.Heartbeat{SendingKbps: uint32(stats.Sending), Peers: uint32(s.poolPeers())}
	held := new(skeinv1.Digest)
	for _, st := range stats.Streams {
		name := string(st.Stream.ID)
		beat.Streams = append(beat.Streams, &skeinv1.StreamHealth{
			Stream:              name,
			PacketsReceived:     st.PacketsReceived,
			PacketsLost:         st.Lost,
			DuplicatesDelivered: st.DuplicatesDelivered,
			DelayP50Us:          st.DelayP50.Microseconds(),
			DelayP99Us:          st.DelayP99.Microseconds(),
			PacketsSent:         st.PacketsSent,
			GapMaxUs:            st.GapMax.Microseconds(),
		})
		if st.Parent != "" {
			held.Edges = append(held.Edges, &skeinv1.DigestEdge{Stream: name, Parent: string(st.Parent), Revision: uint64(st.Revision)})
		}
	}
	m.Heartbeat = beat
	if digest {
		m.Digest = held
		s.digested = time.Now()
	}
	for _, l := range s.transport.Links() {
		if l.State == link.Up {
			s.rtts.observe(l.Peer, l.RTT)
		}
	}
	for _, sample := range s.rtts.take(maxSamples) {
		m.Rtts = append(m.Rtts, &skeinv1.RttSample{Peer: string(sample.peer), RttUs: sample.rtt.Microseconds()})
	}
}
