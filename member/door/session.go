package door

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"
	"golang.org/x/time/rate"

	"github.com/skein-mesh/skein/region"
)

// A session is one client, from the answer to its end.
type session struct {
	door    *Door
	id      string
	action  Action
	name    string
	pc      *webrtc.PeerConnection
	patches *rate.Limiter

	ctx    context.Context // ends with the session
	cancel context.CancelCauseFunc
	up     chan struct{} // closed when the client is connected
	upOnce sync.Once
	done   chan struct{} // closed when nothing is left of it
	// waits: an offer of the door's waits for its answer.
	waits atomic.Bool

	mu      sync.Mutex // guards what follows; held during a negotiation
	closing bool
	wait    sync.WaitGroup
	offer   *offer // nil while the client has not answered the door's
	etag    string
	offered []offered // by the door
	ends    []func()  // what else ends with the session, in order
	// layered is a publisher's m-line with several layers; nil if there is none. It is
	// set before the session is open.
	layered *inlet
}

// offered is an m-line of an offer of the door's.
type offered struct {
	outlet *outlet
	sender *webrtc.RTPSender
	stream region.Stream // that flows at the time
}

func (d *Door) newSession(id string, action Action, name string, o *offer) *session {
	s := &session{
		door: d, id: id, action: action, name: name, offer: o, etag: newTag(),
		patches: rate.NewLimiter(patchRate, patchBurst),
		up:      make(chan struct{}), done: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancelCause(d.ctx)
	return s
}

// newTag is a strong entity tag.
func newTag() string { return `"` + rand.Text() + `"` }

// heed follows the state of the connection. pion calls back on goroutines of its own.
func (s *session) heed(state webrtc.PeerConnectionState) {
	switch state {
	case webrtc.PeerConnectionStateConnected:
		s.upOnce.Do(func() { close(s.up) })
	case webrtc.PeerConnectionStateFailed:
		s.cancel(fmt.Errorf("the client does not answer any more"))
	case webrtc.PeerConnectionStateClosed:
		s.cancel(fmt.Errorf("the client closed the connection"))
	}
}

// run starts a goroutine of the session, unless the session is ending.
func (s *session) run(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.wait.Go(f)
	}
}

// watchOver waits for the end of the session and clears up.
func (s *session) watchOver() {
	timer := time.NewTimer(connectTimeout)
	defer timer.Stop()
	select {
	case <-s.up:
		s.door.cfg.Logger.Info("client connected", "session", s.id, "action", s.action, "name", s.name)
		<-s.ctx.Done()
	case <-timer.C:
		s.cancel(fmt.Errorf("no connection within %v", connectTimeout))
	case <-s.ctx.Done():
	}
	s.clear()
	s.door.drop(s.id)
	s.door.cfg.Logger.Info("client gone", "session", s.id, "action", s.action, "name", s.name, "why", context.Cause(s.ctx))
	close(s.done)
}

// settled notes that the door's offer does not wait for an answer any more.
func (s *session) settled() {
	if s.waits.Swap(false) {
		s.door.offers.Add(-1)
	}
}

// clear ends all that belongs to the session and waits for it.
func (s *session) clear() {
	s.cancel(nil)
	s.settled()
	s.mu.Lock()
	s.closing = true
	ends := s.ends
	s.mu.Unlock()
	// The connection first: its tracks end with it. That it was closed before is
	// no error of ours.
	_ = s.pc.Close()
	for _, end := range ends {
		end()
	}
	s.wait.Wait()
}

// close ends the session for a reason and waits for its end.
func (s *session) close(why string) {
	s.cancel(fmt.Errorf("%s", why))
	<-s.done
}

// tag is the entity tag of the ICE session.
func (s *session) tag() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.etag
}

// trickle takes further candidates of the client.
func (s *session) trickle(f fragment) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.offer == nil {
		return errUnanswered
	}
	if f.ufrag != "" && f.ufrag != s.offer.ufrag {
		return fmt.Errorf("%w: the fragment has other ICE credentials than the session; a restart wants If-Match: *", errUnprocessable)
	}
	for _, c := range f.candidates {
		if !c.usable() {
			continue
		}
		init := webrtc.ICECandidateInit{Candidate: "candidate:" + c.value}
		if c.mid != "" {
			init.SDPMid = &c.mid
		}
		if err := s.pc.AddICECandidate(init); err != nil {
			return fmt.Errorf("%w: candidate %.60q", errMalformed, c.value)
		}
	}
	return nil
}

// restart begins a new ICE session and returns the fragment for the client and
// the new tag. If it fails before anything was changed the old session goes on.
func (s *session) restart(ctx context.Context, f fragment) (body, tag string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.offer == nil {
		return "", "", errUnanswered
	}
	if f.ufrag == "" || f.ufrag == s.offer.ufrag {
		return "", "", fmt.Errorf("%w: a restart wants new ICE credentials", errUnprocessable)
	}
	text := s.offer.withCredentials(f)
	next, err := parseOffer(text, s.action)
	if err != nil {
		return "", "", err
	}
	local, err := answer(ctx, s.pc, text, func() error { return nil })
	if err != nil {
		return "", "", err
	}
	s.offer, s.etag = next, newTag()
	return answerTo(local), s.etag, nil
}
