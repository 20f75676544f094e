package trust

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/skein-mesh/skein/region"
)

const (
	grantVersion = 1
	grantStandby = 1 // flag
	// grantContext keeps grants apart from whatever else a region's key signs.
	grantContext = "skein grant\x00"

	// MaxGrant bounds an encoded grant, in bytes: with the longest names, and the
	// way up a tree of MaxTogether.
	MaxGrant = 680
)

// A Grant is a region's word that Child, in the stay Lease, may draw Stream
// from Parent. Without a Parent it is a permit: Child may draw, from whoever admits
// it over a link that stands, the streams that Stream names, see Covers.
type Grant struct {
	Region     region.ID
	Generation region.Generation
	Stream     region.StreamID
	Child      region.MemberID
	Lease      region.Lease
	Parent     region.MemberID
	// Standby: Child may connect now, and draw only if it loses its parent.
	Standby bool
	// Revision of the decision; a later one overrides an earlier one.
	Revision region.Revision
	// Expires is exact to the millisecond.
	Expires time.Time
}

// Permit says whether g is a permit.
func (g Grant) Permit() bool { return g.Parent == "" }

// Covers says whether a stream is the one g is about or, for a permit, one of those:
// Stream is then a name, or the beginning of names and a star.
func (g Grant) Covers(s region.StreamID) bool {
	return g.Stream == s || g.Permit() && Matches(string(g.Stream), s)
}

// Matches says whether a stream is among those that a pattern names: a name, or the
// beginning of names and a star.
func Matches(pattern string, s region.StreamID) bool {
	if beginning, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(string(s), beginning)
	}
	return pattern == string(s)
}

// SignGrant encodes and signs g with the region's key. Its names must be within
// the limits of package region, or nobody will open it.
func SignGrant(key ed25519.PrivateKey, g Grant) []byte {
	return signTogether(key, []Grant{g})[0]
}

// OpenGrant checks signature and expiry of an encoded grant and returns what it
// says. It reports ErrGrant or ErrGrantExpired. Whether the grant concerns the
// parent, the child and the stay at hand is for the caller to judge.
func OpenGrant(pub ed25519.PublicKey, raw []byte, now time.Time) (Grant, error) {
	if len(pub) != ed25519.PublicKeySize {
		return Grant{}, fmt.Errorf("%w: the region's key has %d bytes", ErrGrant, len(pub))
	}
	if len(raw) > MaxGrant {
		return Grant{}, fmt.Errorf("%w: %d bytes", ErrGrant, len(raw))
	}
	body, ok := openSigned(pub, raw)
	if !ok {
		return Grant{}, fmt.Errorf("%w: not signed by this region", ErrGrant)
	}
	g, ok := parseGrant(body)
	if !ok {
		return Grant{}, fmt.Errorf("%w: unknown version or malformed", ErrGrant)
	}
	if err := g.check(now); err != nil {
		return Grant{}, err
	}
	return g, nil
}

// append encodes g: version, flags, numbers as varints, names with their length.
func (g Grant) append(b []byte) []byte {
	var flags byte
	if g.Standby {
		flags |= grantStandby
	}
	b = append(b, grantVersion, flags)
	b = binary.AppendUvarint(b, uint64(g.Generation))
	b = binary.AppendUvarint(b, uint64(g.Lease))
	b = binary.AppendUvarint(b, uint64(g.Revision))
	b = binary.AppendVarint(b, g.Expires.UnixMilli())
	for _, name := range []string{string(g.Region), string(g.Stream), string(g.Child), string(g.Parent)} {
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
	}
	return b
}

// parseGrant decodes a body; ok is false unless it is exactly what append makes.
func parseGrant(body []byte) (g Grant, ok bool) {
	if len(body) < 2 || body[0] != grantVersion || body[1]&^grantStandby != 0 {
		return Grant{}, false
	}
	g.Standby = body[1]&grantStandby != 0
	rest := body[2:]
	number := func() uint64 {
		v, n := binary.Uvarint(rest)
		rest = rest[max(n, 0):]
		return v
	}
	name := func() string {
		size := number()
		if size > uint64(len(rest)) {
			size = uint64(len(rest))
		}
		s := string(rest[:size])
		rest = rest[size:]
		return s
	}
	g.Generation = region.Generation(number())
	g.Lease = region.Lease(number())
	g.Revision = region.Revision(number())
	ms, n := binary.Varint(rest)
	rest = rest[max(n, 0):]
	g.Expires = time.UnixMilli(ms).UTC()
	g.Region = region.ID(name())
	g.Stream = region.StreamID(name())
	g.Child = region.MemberID(name())
	g.Parent = region.MemberID(name())
	// Whatever was cut off, padded or left over does not encode to the same.
	return g, bytes.Equal(g.append(nil), body)
}
