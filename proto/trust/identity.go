package trust

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"fmt"
	"path/filepath"

	"github.com/skein-mesh/skein/region"
)

const (
	keyFile  = "node.key"
	certFile = "node.crt"

	// maxCSR bounds a certificate request; a genuine one has about 150 bytes.
	maxCSR = 4096
	// digestBytes of a SHA-256 name a key or a CA: 120 bits, 24 characters.
	digestBytes = 15
)

// encoding is how ids and hashes are written: they go into file names, host labels
// and command lines.
var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return encoding.EncodeToString(sum[:digestBytes])
}

// IDOf returns the id of the node that holds pub: 24 characters of base32.
func IDOf(pub ed25519.PublicKey) region.MemberID {
	return region.MemberID(digest(pub))
}

// An Identity is a node's key pair.
type Identity struct {
	key ed25519.PrivateKey
	id  region.MemberID
}

// NewIdentity makes a new key.
func NewIdentity() (*Identity, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make node key: %w", err)
	}
	return identityOf(key), nil
}

func identityOf(key ed25519.PrivateKey) *Identity {
	return &Identity{key: key, id: IDOf(key.Public().(ed25519.PublicKey))}
}

// LoadIdentity reads the key that Save wrote. If there is none the error
// matches fs.ErrNotExist, if it cannot be understood ErrDamaged.
func LoadIdentity(dir string) (*Identity, error) {
	key, err := loadKey(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	return identityOf(key), nil
}

// Save writes the key to dir, readable by its owner only. It never replaces a
// key: if one is there already the error matches fs.ErrExist.
func (i *Identity) Save(dir string) error {
	return saveKey(filepath.Join(dir, keyFile), i.key)
}

// ID names the node.
func (i *Identity) ID() region.MemberID { return i.id }

// Key returns the private key. It must not be modified.
func (i *Identity) Key() ed25519.PrivateKey { return i.key }

// CSR returns a certificate request for the key: PKCS#10, DER.
func (i *Identity) CSR() ([]byte, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, i.key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	return csr, nil
}

// RequestID returns the id of the node that made a certificate request, after
// checking that it holds the key. A bad request yields region.ErrInvalid.
func RequestID(csr []byte) (region.MemberID, error) {
	pub, err := requestKey(csr)
	if err != nil {
		return "", err
	}
	return IDOf(pub), nil
}

func requestKey(csr []byte) (ed25519.PublicKey, error) {
	if len(csr) > maxCSR {
		return nil, fmt.Errorf("%w: csr: more than %d bytes", region.ErrInvalid, maxCSR)
	}
	req, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, fmt.Errorf("%w: csr: %v", region.ErrInvalid, err)
	}
	pub, ok := req.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: csr: want an Ed25519 key, have %v", region.ErrInvalid, req.PublicKeyAlgorithm)
	}
	if err := req.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: csr: %v", region.ErrInvalid, err)
	}
	return pub, nil
}
