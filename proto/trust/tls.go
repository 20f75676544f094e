package trust

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A Peer is who stands at the other end of a connection.
type Peer struct {
	ID   region.MemberID
	Role Role
}

// PeerIdentity tells who is at the other end of a connection that was made with
// a configuration of this package, which has verified the certificate. It
// reports ErrPeer if the peer showed none.
func PeerIdentity(cs tls.ConnectionState) (Peer, error) {
	if !cs.HandshakeComplete || len(cs.PeerCertificates) == 0 {
		return Peer{}, fmt.Errorf("%w: it shows no certificate: enrol first", ErrPeer)
	}
	return peerOf(cs.PeerCertificates[0])
}

// PeerID returns the id of the node whose certificate, DER, a DTLS handshake
// has shown. The handshake has proved that the peer holds the key; whether the
// id is the expected one is for the caller to judge.
func PeerID(rawCert []byte) (region.MemberID, error) {
	cert, err := x509.ParseCertificate(rawCert)
	if err != nil {
		return "", fmt.Errorf("%w: certificate: %v", ErrPeer, err)
	}
	pub, ok := cert.PublicKey.(ed25519.PublicKey)
	if !ok {
		return "", fmt.Errorf("%w: certificate: want an Ed25519 key, have %v", ErrPeer, cert.PublicKeyAlgorithm)
	}
	return IDOf(pub), nil
}

// peerOf reads id and role out of a node's certificate.
func peerOf(cert *x509.Certificate) (Peer, error) {
	pub, ok := cert.PublicKey.(ed25519.PublicKey)
	if !ok {
		return Peer{}, fmt.Errorf("%w: certificate: want an Ed25519 key, have %v", ErrPeer, cert.PublicKeyAlgorithm)
	}
	id := IDOf(pub)
	if cert.Subject.CommonName != string(id) {
		return Peer{}, fmt.Errorf("%w: certificate of %.32q, but the key of %s", ErrPeer, cert.Subject.CommonName, id)
	}
	role, err := ParseRole(strings.Join(cert.Subject.OrganizationalUnit, "+"))
	if err != nil {
		return Peer{}, fmt.Errorf("%w: certificate: %v", ErrPeer, err)
	}
	return Peer{ID: id, Role: role}, nil
}

// ServerTLS is for listeners of coordinators. Without roles a client may come
// without a certificate (to enrol); with roles it must show one of them.
func (c *Credentials) ServerTLS(allowed ...Role) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(c.ca)
	auth := tls.VerifyClientCertIfGiven
	if len(allowed) > 0 {
		auth = tls.RequireAndVerifyClientCert
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		ClientAuth:             auth,
		ClientCAs:              pool,
		SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current.Load(), nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 && len(allowed) == 0 {
				return nil
			}
			peer, err := peerOf(cs.PeerCertificates[0])
			if err != nil {
				return err
			}
			if len(allowed) > 0 && !slices.Contains(allowed, peer.Role) {
				return fmt.Errorf("%w: %s is a %s, want one of %v", ErrPeer, peer.ID, peer.Role, allowed)
			}
			return nil
		},
	}
}

// ClientTLS is for connections to coordinators: the server must be a
// coordinator of this cluster, whatever its address.
func (c *Credentials) ClientTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Verified below: by CA and role, as nodes have no host names.
		InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return c.current.Load(), nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			return verifyCoordinator(cs.PeerCertificates, c.ca, time.Now())
		},
	}
}

// PinnedTLS is for the first connection of a node that has nothing but a join
// token: the server must be a coordinator of the cluster whose CA has that
// hash. The node shows no certificate.
func PinnedTLS(caHash string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Verified below: by the pinned CA and the role.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			last := len(cs.PeerCertificates) - 1
			if last < 1 || digest(cs.PeerCertificates[last].Raw) != caHash {
				return fmt.Errorf("%w: server does not belong to cluster %.64q", ErrTokenForeign, caHash)
			}
			return verifyCoordinator(cs.PeerCertificates, cs.PeerCertificates[last], time.Now())
		},
	}
}

// verifyCoordinator makes sure that chain is headed by the certificate of a
// coordinator that ca has signed and that counts at time now.
func verifyCoordinator(chain []*x509.Certificate, ca *x509.Certificate, now time.Time) error {
	if len(chain) == 0 {
		return fmt.Errorf("%w: server shows no certificate", ErrPeer)
	}
	leaf := chain[0]
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:       pool,
		CurrentTime: now,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	switch {
	case !ca.IsCA || err != nil && leaf.CheckSignatureFrom(ca) != nil:
		return fmt.Errorf("%w: server belongs to another cluster: check its address and this node's credentials", ErrPeer)
	case now.Before(leaf.NotBefore) || now.After(leaf.NotAfter):
		return fmt.Errorf("%w: server's certificate counts from %s to %s and now is %s: check both clocks", ErrPeer,
			leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case err != nil:
		return fmt.Errorf("%w: %v", ErrPeer, err)
	}
	peer, err := peerOf(leaf)
	if err != nil {
		return err
	}
	if peer.Role != RoleCoordinator {
		return fmt.Errorf("%w: %s is a %s, not a coordinator", ErrPeer, peer.ID, peer.Role)
	}
	return nil
}
