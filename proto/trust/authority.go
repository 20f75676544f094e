package trust

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/skein-mesh/skein/region"
)

const (
	caCertFile = "ca.crt"
	caKeyFile  = "ca.key"

	// CertificateTTL is the usual lifetime of a node's certificate. It is
	// renewed halfway, so a node may be cut off from its coordinators for 36
	// hours before it has to enrol again.
	CertificateTTL = 72 * time.Hour

	authorityTTL = 10 * 365 * 24 * time.Hour
	// backdate lets certificates count at once on nodes whose clock is behind.
	backdate = 5 * time.Minute
)

// An Authority is the certificate authority of a cluster. Whoever holds it can
// admit anybody to the cluster.
type Authority struct {
	key  ed25519.PrivateKey
	cert *x509.Certificate
}

// NewAuthority makes the authority of a new cluster. It lasts for ten years.
func NewAuthority(now time.Time) (*Authority, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make CA key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "skein cluster " + string(IDOf(pub))},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityTTL),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, key)
	if err != nil {
		return nil, fmt.Errorf("make CA certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make CA certificate: %w", err)
	}
	return &Authority{key: key, cert: cert}, nil
}

// LoadAuthority reads what Save wrote. If there is nothing the error matches
// fs.ErrNotExist, if it cannot be understood ErrDamaged.
func LoadAuthority(dir string) (*Authority, error) {
	path := filepath.Join(dir, caCertFile)
	certs, err := readPEM(path, pemCert)
	if err != nil {
		return nil, err
	}
	cert, err := parseCA(certs[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w (%v)", path, ErrDamaged, err)
	}
	path = filepath.Join(dir, caKeyFile)
	key, err := loadKey(path)
	if err != nil {
		return nil, err
	}
	if !key.Public().(ed25519.PublicKey).Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%s: %w (it does not belong to %s)", path, ErrDamaged, caCertFile)
	}
	return &Authority{key: key, cert: cert}, nil
}

// Save writes ca.crt and ca.key to dir, the key readable by its owner only. It
// never replaces an authority: then the error matches fs.ErrExist.
func (a *Authority) Save(dir string) error {
	if err := saveKey(filepath.Join(dir, caKeyFile), a.key); err != nil {
		return err
	}
	if err := saveCerts(filepath.Join(dir, caCertFile), a.cert.Raw); err != nil {
		// A key without its certificate would be in the way of the next try.
		os.Remove(filepath.Join(dir, caKeyFile))
		return err
	}
	return nil
}

// Hash names the cluster: a hash of the CA certificate, as join tokens pin it.
func (a *Authority) Hash() string { return digest(a.cert.Raw) }

// Sign makes a certificate for whoever made csr and returns the chain, DER:
// the certificate, then the CA's. It lasts for ttl, but not longer than the
// authority. A bad request yields region.ErrInvalid.
func (a *Authority) Sign(csr []byte, role Role, ttl time.Duration, now time.Time) ([][]byte, error) {
	pub, err := requestKey(csr)
	if err != nil {
		return nil, err
	}
	return a.certify(pub, role, ttl, now)
}

// Issue makes credentials for a node of the same process.
func (a *Authority) Issue(id *Identity, role Role, ttl time.Duration, now time.Time) (*Credentials, error) {
	chain, err := a.certify(id.key.Public().(ed25519.PublicKey), role, ttl, now)
	if err != nil {
		return nil, err
	}
	return NewCredentials(id, chain)
}

func (a *Authority) certify(pub ed25519.PublicKey, role Role, ttl time.Duration, now time.Time) ([][]byte, error) {
	if _, err := role.code(); err != nil {
		return nil, err
	}
	if ttl <= 0 {
		return nil, fmt.Errorf("%w: certificate lifetime %v: want more than 0", region.ErrInvalid, ttl)
	}
	if !now.Before(a.cert.NotAfter) {
		return nil, fmt.Errorf("%w: the cluster's CA expired on %s: make a new cluster with 'skein init'",
			region.ErrInvalid, a.cert.NotAfter.Format(time.DateOnly))
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	end := now.Add(ttl)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if role == RoleCoordinator {
		usage = append(usage, x509.ExtKeyUsageServerAuth)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: string(IDOf(pub)), OrganizationalUnit: []string{string(role)}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           usage,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("make node certificate: %w", err)
	}
	return [][]byte{der, a.cert.Raw}, nil
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return serial, nil
}

// parseCA parses a self-signed CA certificate with an Ed25519 key.
func parseCA(der []byte) (*x509.Certificate, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if _, ok := cert.PublicKey.(ed25519.PublicKey); !ok || !cert.IsCA {
		return nil, fmt.Errorf("%s is no CA of a cluster", cert.Subject)
	}
	if err := cert.CheckSignatureFrom(cert); err != nil {
		return nil, err
	}
	return cert, nil
}
