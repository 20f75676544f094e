package link

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	dtlsnet "github.com/pion/dtls/v3/pkg/net"
	"github.com/pion/ice/v4"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

const (
	// checkInterval between ICE checks until there is a path.
	checkInterval = 50 * time.Millisecond
	// flightInterval after which a lost DTLS flight is repeated.
	flightInterval = 200 * time.Millisecond
	// srtpOverhead of AEAD_AES_128_GCM: the tag.
	srtpOverhead = 16
	// replayWindow of SRTP, in packets. Relays have a longer one of their own.
	replayWindow = 1024
	// jump is the distance of indexes beyond which SRTP's guess of the rollover
	// counter is not relied on.
	jump = 1 << 14
)

// A session is one life of a link: a path, a DTLS association and SRTP keys.
type session struct {
	link  *Link
	agent *ice.Agent
	dtls  *dtls.Conn
	dest  atomic.Pointer[destination]
	once  sync.Once

	out     cipher // of the batch's owner
	in      cipher // of the socket's reader
	control control
}

// a cipher is one direction of SRTP. The rollover counter that SRTP guesses is
// put right by the stamp wherever guessing could go wrong: at the start, and
// after a gap.
type cipher struct {
	ctx    *srtp.Context
	header rtp.Header
	index  map[uint32]uint64 // last seen per SSRC
}

func newCipher(key, salt []byte, options ...srtp.ContextOption) (cipher, error) {
	ctx, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm, options...)
	return cipher{ctx: ctx, index: make(map[uint32]uint64)}, err
}

func (c *cipher) align(h Header) {
	last, known := c.index[h.SSRC]
	if !known || h.Index > last+jump || h.Index+jump < last {
		c.ctx.SetROC(h.SSRC, uint32(h.Index>>16))
	}
}

// encrypt appends p, encrypted, to dst.
func (s *session) encrypt(dst, p []byte) ([]byte, bool) {
	h, ok := ParseHeader(p)
	if !ok {
		return nil, false
	}
	s.out.align(h)
	out, err := s.out.ctx.EncryptRTP(dst, p, &s.out.header)
	s.out.index[h.SSRC] = h.Index
	return out, err == nil
}

// decrypt opens a packet in place.
func (s *session) decrypt(b []byte, h Header) ([]byte, bool) {
	s.in.align(h)
	p, err := s.in.ctx.DecryptRTP(b, b, &s.in.header)
	if err != nil {
		// What was aligned by a forged packet is aligned again by the next.
		delete(s.in.index, h.SSRC)
		return nil, false
	}
	s.in.index[h.SSRC] = h.Index
	return p, true
}

// close ends the session and tells the peer. It may be called repeatedly.
func (s *session) close() {
	s.once.Do(func() {
		if s.dtls != nil {
			_ = s.dtls.Close()
		}
		_ = s.agent.Close()
	})
}

// connect builds a session in the given epoch. reached tells whether the peer
// answered in that epoch, even if err is set.
func (l *Link) connect(ctx context.Context, epoch uint32) (s *session, reached bool, err error) {
	cred, err := l.pair.credentials(epoch)
	if err != nil {
		return nil, false, err
	}
	s = &session{link: l}
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
		ice.WithCheckInterval(checkInterval),
		ice.WithMaxBindingRequests(1<<16-1), // the attempt's context ends it
		ice.WithPrflxAcceptanceMinWait(0),
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
		c, err := ice.NewCandidateHost(&ice.CandidateHostConfig{
			Network: "udp", Address: addr.Addr().Unmap().String(), Port: int(addr.Port()), Component: 1,
		})
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

// shake runs the DTLS handshake on the path and derives the SRTP keys.
func (s *session) shake(ctx context.Context, conn *ice.Conn) error {
	err := s.startDTLS(conn)
	if err != nil {
		return fmt.Errorf("start DTLS: %w", err)
	}
	if err = s.dtls.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("DTLS handshake: %w", err)
	}
	state, ok := s.dtls.ConnectionState()
	if !ok {
		return fmt.Errorf("DTLS handshake: %w: no state", region.ErrInvalid)
	}
	keys := srtp.Config{Profile: srtp.ProtectionProfileAeadAes128Gcm}
	if err = keys.ExtractSessionKeysFromDTLS(&state, s.link.pair.smaller); err != nil {
		return fmt.Errorf("derive SRTP keys: %w", err)
	}
	if s.out, err = newCipher(keys.Keys.LocalMasterKey, keys.Keys.LocalMasterSalt); err != nil {
		return fmt.Errorf("derive SRTP keys: %w", err)
	}
	s.in, err = newCipher(keys.Keys.RemoteMasterKey, keys.Keys.RemoteMasterSalt, srtp.SRTPReplayProtection(replayWindow))
	if err != nil {
		return fmt.Errorf("derive SRTP keys: %w", err)
	}
	// SRTCP has keys of its own under the same master key; a context of its own
	// lets others than the owners of in and out use it.
	s.control.out, err = srtp.CreateContext(keys.Keys.LocalMasterKey, keys.Keys.LocalMasterSalt, keys.Profile)
	if err != nil {
		return fmt.Errorf("derive SRTCP keys: %w", err)
	}
	s.control.in, err = srtp.CreateContext(keys.Keys.RemoteMasterKey, keys.Keys.RemoteMasterSalt, keys.Profile,
		srtp.SRTCPReplayProtection(controlWindow))
	if err != nil {
		return fmt.Errorf("derive SRTCP keys: %w", err)
	}
	return nil
}

func (s *session) startDTLS(conn *ice.Conn) (err error) {
	l := s.link
	common := []dtls.Option{
		dtls.WithCertificates(l.t.cfg.Certificate),
		dtls.WithCipherSuites(dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithInsecureSkipVerify(true), // the id is the hash of the key: see verify
		dtls.WithVerifyPeerCertificate(l.verify),
		dtls.WithFlightInterval(flightInterval),
		dtls.WithMTU(MaxMessage),
		dtls.WithLoggerFactory(l.t.loggers),
	}
	packets := dtlsnet.PacketConnFromConn(conn)
	if l.pair.smaller {
		options := make([]dtls.ClientOption, len(common))
		for i, o := range common {
			options[i] = o
		}
		s.dtls, err = dtls.ClientWithOptions(packets, conn.RemoteAddr(), options...)
		return err
	}
	options := make([]dtls.ServerOption, len(common), len(common)+2)
	for i, o := range common {
		options[i] = o
	}
	// ICE has proved the address already: no cookies.
	options = append(options, dtls.WithClientAuth(dtls.RequireAnyClientCert), dtls.WithInsecureSkipVerifyHello(true))
	s.dtls, err = dtls.ServerWithOptions(packets, conn.RemoteAddr(), options...)
	return err
}

// verify accepts the certificate of no one but the expected peer.
func (l *Link) verify(raw [][]byte, _ [][]*x509.Certificate) error {
	if len(raw) == 0 {
		return fmt.Errorf("%w: no certificate", region.ErrInvalid)
	}
	id, err := trust.PeerID(raw[0])
	if err != nil {
		return err
	}
	if id != l.peer.ID {
		return fmt.Errorf("%w: the certificate is that of member %s, not %s", trust.ErrPeer, id, l.peer.ID)
	}
	return nil
}
