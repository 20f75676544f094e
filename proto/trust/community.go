package trust

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/skein-mesh/skein/region"
)

// Communities that trust each other in part have CAs of their own. Each knows the
// other's by its hash, as a newcomer does: whoever shows a certificate shows the CA's
// with it.

// CheckCommunity makes sure that text has the form of a CA's hash, see Authority.Hash;
// otherwise it reports region.ErrInvalid.
func CheckCommunity(text string) error {
	raw, err := encoding.DecodeString(text)
	if err != nil || len(raw) != digestBytes || encoding.EncodeToString(raw) != text {
		return fmt.Errorf("%w: %.32q is no hash of a CA: want the %d letters and digits that 'skein peer list' of the other community prints",
			region.ErrInvalid, text, encoding.EncodedLen(digestBytes))
	}
	return nil
}

// CommunityTLS is for connections to coordinators of another community: the server must
// be a coordinator whose CA has that hash. The node shows its own certificate.
func (c *Credentials) CommunityTLS(community string) *tls.Config {
	t := c.ClientTLS()
	t.VerifyConnection = func(cs tls.ConnectionState) error {
		last := len(cs.PeerCertificates) - 1
		if last < 1 || digest(cs.PeerCertificates[last].Raw) != community {
			return fmt.Errorf("%w: server does not belong to community %.64q", ErrPeer, community)
		}
		return verifyCoordinator(cs.PeerCertificates, cs.PeerCertificates[last], time.Now())
	}
	return t
}

// OpenTLS is ServerTLS without roles that lets nodes of any other community in as well:
// that they are who they claim to be is all it says. Caller tells whose they are, and
// whether that community may do anything here is for whoever serves them to judge.
func (c *Credentials) OpenTLS() *tls.Config {
	t := c.ServerTLS()
	// Verified below, since whose CA it is to be depends on what the client shows.
	t.ClientAuth, t.ClientCAs = tls.RequestClientCert, nil
	t.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return nil
		}
		ca := c.ca
		if c.communityOf(cs.PeerCertificates) != "" {
			var err error
			if ca, err = parseCA(cs.PeerCertificates[len(cs.PeerCertificates)-1].Raw); err != nil {
				return fmt.Errorf("%w: %v", ErrPeer, err)
			}
		}
		return verifyClient(cs.PeerCertificates[0], ca, time.Now())
	}
	return t
}

// Caller tells who is at the other end of a connection that was made with OpenTLS, and
// of which community; that is empty if it is the own one.
func (c *Credentials) Caller(cs tls.ConnectionState) (p Peer, community string, err error) {
	if p, err = PeerIdentity(cs); err != nil {
		return p, "", err
	}
	return p, c.communityOf(cs.PeerCertificates), nil
}

// communityOf is whose CA has signed the first certificate of a chain, by what the last
// one claims; empty if it is the own one.
func (c *Credentials) communityOf(chain []*x509.Certificate) string {
	last := chain[len(chain)-1]
	if len(chain) == 1 || last.Equal(c.ca) {
		return ""
	}
	return digest(last.Raw)
}

// verifyClient makes sure that ca has signed the certificate of a node, and that it
// counts at time now.
func verifyClient(leaf, ca *x509.Certificate, now time.Time) error {
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return fmt.Errorf("%w: %v", ErrPeer, err)
	}
	_, err := peerOf(leaf)
	return err
}
