package trust

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/skein-mesh/skein/region"
)

// commissionContext keeps commissions apart from whatever else a region's key signs.
const commissionContext = "skein commission\x00"

// A Commission is a region's word that Member, in the stay Lease, draws streams
// for it from the region To, where it is to be taken in as a visitor. With To the
// region itself it is a pass: it shows that Member is one of its members to whoever
// forms the region anew should its coordinators be lost.
type Commission struct {
	Region region.ID
	To     region.ID
	Member region.MemberID
	Lease  region.Lease
	// Expires is exact to the millisecond.
	Expires time.Time
}

// SignCommission encodes and signs c with the key of c.Region.
func SignCommission(key ed25519.PrivateKey, c Commission) []byte {
	body := c.grant().append(make([]byte, 0, MaxGrant))
	return append(body, ed25519.Sign(key, commissioned(body))...)
}

// ReadCommission decodes a commission that is not checked yet: its Region says
// with whose key to do that.
func ReadCommission(raw []byte) (Commission, error) {
	if len(raw) <= ed25519.SignatureSize || len(raw) > MaxGrant {
		return Commission{}, fmt.Errorf("%w: commission of %d bytes", ErrGrant, len(raw))
	}
	g, ok := parseGrant(raw[:len(raw)-ed25519.SignatureSize])
	c := Commission{Region: g.Region, To: region.ID(g.Stream), Member: g.Child, Lease: g.Lease, Expires: g.Expires}
	if !ok || c.grant() != g {
		return Commission{}, fmt.Errorf("%w: malformed commission", ErrGrant)
	}
	return c, nil
}

// OpenCommission checks signature and expiry of an encoded commission and returns
// what it says. It reports ErrGrant or ErrGrantExpired. Whether it concerns the
// caller and the region at hand is for the caller to judge.
func OpenCommission(pub ed25519.PublicKey, raw []byte, now time.Time) (Commission, error) {
	c, err := ReadCommission(raw)
	if err != nil {
		return c, err
	}
	split := len(raw) - ed25519.SignatureSize
	if len(pub) != ed25519.PublicKeySize || !ed25519.Verify(pub, commissioned(raw[:split]), raw[split:]) {
		return Commission{}, fmt.Errorf("%w: the commission is not signed by region %.64q", ErrGrant, c.Region)
	}
	if !now.Before(c.Expires) {
		return Commission{}, fmt.Errorf("%w (it ended %s)", ErrGrantExpired, c.Expires.Format(time.RFC3339))
	}
	return c, nil
}

// grant has the same encoding: the region To stands for the stream.
func (c Commission) grant() Grant {
	return Grant{Region: c.Region, Stream: region.StreamID(c.To), Child: c.Member, Lease: c.Lease, Expires: c.Expires}
}

func commissioned(body []byte) []byte { return append([]byte(commissionContext), body...) }
