package link

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"

	"github.com/skein-mesh/skein/region"
)

const (
	// checkInterval between ICE checks until there is a path; a process that is late checks as
	// much more seldom.
	checkInterval = 50 * time.Millisecond
	// relayWait is how long a path through TURN waits for a better one.
	relayWait = 300 * time.Millisecond
	// flightInterval after which a lost DTLS flight is repeated, for who is not late.
	flightInterval = 200 * time.Millisecond
	// settleTime is how long a session keeps what made it.
	settleTime = 3 * time.Second
	// maxWindows bounds the SSRCs a session keeps a window for; only those that
	// are wanted get that far.
	maxWindows = region.MaxStreams
)

// A session is one life of a link: a path, a DTLS association and SRTP keys.
type session struct {
	link *Link
	// agent and dtls make the session; settled, it needs them no more (release).
	agent *ice.Agent
	dtls  *dtls.Conn
	dest  atomic.Pointer[destination]
	heard atomic.Bool   // the peer has said something: it has the keys, too
	over  chan struct{} // closed when the session is to end
	ended sync.Once
	once  sync.Once
	freed sync.Once

	out     secret             // of the batch's owner
	in      secret             // of the socket's reader, as are the windows and roaming
	windows map[uint32]*window // by SSRC
	control control
	roaming roaming
}

// decrypt opens a packet in place. replayed says that it was genuine, or might
// be, but not new.
func (s *session) decrypt(b []byte, h Header, now int64) (p []byte, replayed, ok bool) {
	w := s.windows[h.SSRC]
	if w != nil && !w.fresh(h.Index) {
		return nil, true, false
	}
	if p, ok = s.in.decrypt(b, h); !ok {
		return nil, false, false
	}
	if w == nil {
		if len(s.windows) >= maxWindows {
			clear(s.windows)
		}
		w = &window{next: h.Index}
		s.windows[h.SSRC] = w
	}
	s.link.arrived(w, h, len(b), now)
	w.note(h.Index)
	return p, false, true
}

// close ends the session and tells the peer. It may be called repeatedly.
func (s *session) close() {
	s.once.Do(func() {
		if dest := s.dest.Load(); dest != nil && s.link.session.Load() == s {
			_ = s.link.sendTo(s, &Message{Kind: Bye}, dest.addr) // or the peer notices the silence
		}
		s.freed.Do(func() {
			if s.dtls != nil {
				_ = s.dtls.Close()
			}
			_ = s.agent.Close()
		})
		s.end()
	})
}

// end has the session closed.
func (s *session) end() { s.ended.Do(func() { close(s.over) }) }

// release ends what made the session, without a word to the peer: both have the keys,
// pings watch the path, and a peer that moves is followed (roam.go). It saves most of
// the memory of a link.
func (s *session) release() {
	s.freed.Do(func() {
		_ = s.agent.Close() // so that DTLS cannot say good-bye
		_ = s.dtls.Close()
		s.agent, s.dtls = nil, nil
	})
}

// watch returns when the session is to end: by the peer's word, by close, or because the
// association ended before the session was settled.
func (s *session) watch() {
	reading := make(chan struct{})
	conn := s.dtls
	go func() {
		defer close(reading)
		s.link.read(conn)
	}()
	settle := time.NewTicker(settleTime)
	defer settle.Stop()
	for settled := false; !settled; {
		select {
		case <-s.over:
			s.close()
			<-reading
			return
		case <-reading:
			return
		case <-settle.C:
			settled = s.heard.Load()
		}
	}
	settle.Stop()
	s.release()
	<-reading
	<-s.over
}

// read returns when the DTLS association ends. Nothing is sent over it but its end.
func (l *Link) read(conn *dtls.Conn) {
	buf := make([]byte, maxDatagram)
	for {
		if _, err := conn.Read(buf); err != nil {
			return
		}
		l.malformed.Add(1)
	}
}

// connect builds a session in the given epoch. reached tells whether the peer
// answered in that epoch, even if err is set.
func (l *Link) connect(ctx context.Context, epoch uint32) (s *session, reached bool, err error) {
	cred, err := l.pair.credentials(epoch)
	if err != nil {
		return nil, false, err
	}
	s = &session{link: l, over: make(chan struct{})}
	conn, err := l.startICE(s, cred)
	if err != nil {
		return nil, false, fmt.Errorf("start ICE: %w", err)
	}
	if err = s.agent.AwaitConnect(ctx); err != nil {
		s.close()
		return nil, false, fmt.Errorf("find a path: %w", err)
	}
	if err = s.shake(ctx, conn); err != nil {
		s.close()
		return nil, true, err
	}
	if s.dest.Load() == nil { // the agent's callback may be late
		if pair, err := s.agent.GetSelectedCandidatePair(); err == nil && pair != nil {
			s.moveTo(pair.Remote)
		}
	}
	if s.dest.Load() == nil {
		s.close()
		return nil, true, fmt.Errorf("%w: the path has no address", region.ErrInvalid)
	}
	return s, true, nil
}

func (l *Link) startICE(s *session, cred credentials) (*ice.Conn, error) {
	agent, err := ice.NewAgentWithOptions(
		ice.WithUDPMux(l.t.mux),
		ice.WithNet(l.t.net),
		ice.WithLocalCredentials(cred.ufrag, cred.pwd),
		ice.WithNetworkTypes(l.t.networks),
		ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
		ice.WithIncludeLoopback(),
		ice.WithCheckInterval(checkInterval+l.t.Late()),
		ice.WithMaxBindingRequests(1<<16-1), // the attempt's context ends it
		ice.WithPrflxAcceptanceMinWait(0),
		ice.WithRelayAcceptanceMinWait(relayWait),
		// Pings and heartbeats watch the link and keep the path open.
		ice.WithKeepaliveInterval(0),
		ice.WithDisconnectedTimeout(0),
		ice.WithFailedTimeout(0),
		ice.WithLoggerFactory(l.t.loggers),
	)
	if err != nil {
		return nil, err
	}
	s.agent = agent
	conn, err := l.startAgent(s, cred)
	if err != nil {
		_ = agent.Close()
	}
	return conn, err
}

func (l *Link) startAgent(s *session, cred credentials) (*ice.Conn, error) {
	if err := s.agent.OnCandidate(func(ice.Candidate) {}); err != nil { // gathering wants one
		return nil, err
	}
	if err := s.agent.OnSelectedCandidatePairChange(func(_, remote ice.Candidate) { s.moveTo(remote) }); err != nil {
		return nil, err
	}
	if err := s.agent.GatherCandidates(); err != nil {
		return nil, err
	}
	for _, addr := range l.peer.Endpoint.Media {
		c, err := l.t.candidate(addr)
		if err != nil {
			return nil, err
		}
		if err := s.agent.AddRemoteCandidate(c); err != nil {
			return nil, err
		}
	}
	if l.pair.smaller {
		return s.agent.StartDial(cred.peerUfrag, cred.peerPwd)
	}
	return s.agent.StartAccept(cred.peerUfrag, cred.peerPwd)
}

// candidate is an address of a peer for ICE. One at a TURN server is tried like all
// others, but taken only if no other answers soon.
func (t *Transport) candidate(addr netip.AddrPort) (ice.Candidate, error) {
	ip := addr.Addr().Unmap()
	for _, s := range t.outer.known() {
		if s.Username != "" && s.Addr.Addr() == ip {
			return ice.NewCandidateRelay(&ice.CandidateRelayConfig{
				Network: "udp", Address: ip.String(), Port: int(addr.Port()), Component: 1, RelAddr: "0.0.0.0", RelPort: 9,
			})
		}
	}
	return ice.NewCandidateHost(&ice.CandidateHostConfig{
		Network: "udp", Address: ip.String(), Port: int(addr.Port()), Component: 1,
	})
}

// moveTo sends media to another address of the peer from now on.
func (s *session) moveTo(remote ice.Candidate) {
	ip, err := netip.ParseAddr(remote.Address())
	if err != nil {
		return
	}
	addr := netip.AddrPortFrom(ip.Unmap(), uint16(remote.Port()))
	if old := s.dest.Load(); old != nil && old.addr == addr {
		return
	}
	s.dest.Store(newDestination(s.link, addr))
	s.link.t.route(s)
}
