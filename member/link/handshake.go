package link

import (
	"context"
	"crypto/x509"
	"fmt"

	"github.com/pion/dtls/v3"
	dtlsnet "github.com/pion/dtls/v3/pkg/net"
	"github.com/pion/ice/v4"
	"github.com/pion/srtp/v3"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

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
	local, localSalt := keys.Keys.LocalMasterKey, keys.Keys.LocalMasterSalt
	remote, remoteSalt := keys.Keys.RemoteMasterKey, keys.Keys.RemoteMasterSalt
	s.windows = make(map[uint32]*window)
	if s.out, err = newSecret(local, localSalt, labelMedia, labelMediaSalt); err != nil {
		return err
	}
	if s.in, err = newSecret(remote, remoteSalt, labelMedia, labelMediaSalt); err != nil {
		return err
	}
	if s.control.out, err = newSecret(local, localSalt, labelControl, labelControlSalt); err != nil {
		return err
	}
	s.control.in, err = newSecret(remote, remoteSalt, labelControl, labelControlSalt)
	return err
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
		dtls.WithFlightInterval(flightInterval + 4*l.t.Late()),
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
