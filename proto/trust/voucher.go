package trust

import (
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"time"
)

// voucherContext keeps vouchers apart from whatever else a node's key signs.
const voucherContext = "skein voucher\x00"

// Vouch signs the encoded descriptor of a region with the node's own key, and
// returns the certificate by which others know it.
func (c *Credentials) Vouch(body []byte) (certificate, signature []byte) {
	return c.current.Load().Leaf.Raw, ed25519.Sign(c.identity.key, append([]byte(voucherContext), body...))
}

// CheckVoucher reports ErrDescriptor unless a coordinator of this cluster has
// vouched for body, with a certificate that counts at time now.
func (c *Credentials) CheckVoucher(certificate, body, signature []byte, now time.Time) error {
	leaf, err := x509.ParseCertificate(certificate)
	if err != nil {
		return fmt.Errorf("%w: nobody vouches for its key: %v", ErrDescriptor, err)
	}
	if err := verifyCoordinator([]*x509.Certificate{leaf}, c.ca, now); err != nil {
		return fmt.Errorf("%w: %w", ErrDescriptor, err)
	}
	pub, ok := leaf.PublicKey.(ed25519.PublicKey)
	if !ok || !ed25519.Verify(pub, append([]byte(voucherContext), body...), signature) {
		return fmt.Errorf("%w: the voucher for its key is not genuine", ErrDescriptor)
	}
	return nil
}
