package trust

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/region"
)

// Credentials are a node's identity, its certificate and the CA that signed it.
// TLS configurations made from them follow Replace, so renewing a certificate
// needs no restart and no new connection.
type Credentials struct {
	identity *Identity
	ca       *x509.Certificate
	role     Role
	current  atomic.Pointer[tls.Certificate]
}

// NewCredentials joins an identity and the chain an authority signed for it:
// the node's certificate, then the CA's. The caller has made sure that the CA
// is the right one. A chain that does not fit yields ErrPeer.
func NewCredentials(id *Identity, chain [][]byte) (*Credentials, error) {
	if len(chain) != 2 {
		return nil, fmt.Errorf("%w: want a chain of 2 certificates, have %d", ErrPeer, len(chain))
	}
	ca, err := parseCA(chain[1])
	if err != nil {
		return nil, fmt.Errorf("%w: CA certificate: %v", ErrPeer, err)
	}
	c := &Credentials{identity: id, ca: ca}
	cert, role, err := c.check(chain)
	if err != nil {
		return nil, err
	}
	c.role = role
	c.current.Store(cert)
	return c, nil
}

// check makes sure that chain was made for this node by this CA. Whether it has
// expired is for those to say who are shown it.
func (c *Credentials) check(chain [][]byte) (*tls.Certificate, Role, error) {
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, "", fmt.Errorf("%w: certificate: %v", ErrPeer, err)
	}
	peer, err := peerOf(leaf)
	if err != nil {
		return nil, "", err
	}
	if peer.ID != c.identity.id {
		return nil, "", fmt.Errorf("%w: certificate of %s, but the key of %s", ErrPeer, peer.ID, c.identity.id)
	}
	if err := leaf.CheckSignatureFrom(c.ca); err != nil {
		return nil, "", fmt.Errorf("%w: certificate: %v", ErrPeer, err)
	}
	cert := &tls.Certificate{
		Certificate: [][]byte{leaf.Raw, c.ca.Raw},
		PrivateKey:  c.identity.key,
		Leaf:        leaf,
	}
	return cert, peer.Role, nil
}

// LoadCredentials reads key and certificate from dir. If there is nothing the
// error matches fs.ErrNotExist, if it cannot be understood ErrDamaged.
func LoadCredentials(dir string) (*Credentials, error) {
	id, err := LoadIdentity(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, certFile)
	chain, err := readPEM(path, pemCert)
	if err != nil {
		return nil, err
	}
	c, err := NewCredentials(id, chain)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (%v)", path, ErrDamaged, err)
	}
	return c, nil
}

// Save writes the certificate to dir, where Identity.Save puts the key. It may
// be called again after Replace.
func (c *Credentials) Save(dir string) error {
	return saveCerts(filepath.Join(dir, certFile), c.current.Load().Certificate...)
}

// Identity returns the node's identity.
func (c *Credentials) Identity() *Identity { return c.identity }

// ID names the node.
func (c *Credentials) ID() region.MemberID { return c.identity.id }

// Role is what the node may do.
func (c *Credentials) Role() Role { return c.role }

// CAHash names the cluster; see Authority.Hash.
func (c *Credentials) CAHash() string { return digest(c.ca.Raw) }

// Expires says until when the certificate counts.
func (c *Credentials) Expires() time.Time { return c.current.Load().Leaf.NotAfter }

// NeedsRenewal reports whether more than half of the certificate's lifetime is
// over.
func (c *Credentials) NeedsRenewal(now time.Time) bool {
	leaf := c.current.Load().Leaf
	return now.After(leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2))
}

// Replace puts a renewed chain, of the same key, CA and role, in the place of
// the present one. Connections made from now on show it.
func (c *Credentials) Replace(chain [][]byte) error {
	if len(chain) == 0 {
		return fmt.Errorf("%w: empty chain", ErrPeer)
	}
	cert, role, err := c.check(chain)
	if err != nil {
		return err
	}
	if role != c.role {
		return fmt.Errorf("%w: renewed as %s, but the node is a %s", ErrPeer, role, c.role)
	}
	c.current.Store(cert)
	return nil
}

// LinkCertificate is the certificate that the node shows on DTLS links. Peers
// look at its key only (see PeerID), so a link outlives the certificate.
func (c *Credentials) LinkCertificate() tls.Certificate {
	cert := *c.current.Load()
	cert.Certificate = cert.Certificate[:1:1]
	return cert
}
