package trust

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/skein-mesh/skein/region"
)

const (
	// MaxAccess bounds an access token, in bytes: it goes along with every call.
	MaxAccess = 4096
	// MaxPatterns bounds each list of an Access, and Subscribe and Spaces together: a
	// member is told a permit for each of them.
	MaxPatterns = 8
	// MaxAccessTTL bounds the lifetime of an access token.
	MaxAccessTTL = 30 * 24 * time.Hour
	// maxAccessKeys bounds the applications of a community, and keys that take turns.
	maxAccessKeys = 8

	// AccessKeyFile and AccessPublicFile are what NewAccessKey makes.
	AccessKeyFile    = "access.key"
	AccessPublicFile = "access.pub"

	pemPublic = "PUBLIC KEY"
)

// An Access is an application's word about what a member may do. Its lists hold
// names, or beginnings of names and a star, see Matches; what they do not name is not
// allowed.
type Access struct {
	// Member is whom it is for; empty: for whoever shows it.
	Member region.MemberID
	// Publish and Subscribe name streams, Spaces the spaces in which the member may
	// stand: its whereabouts there, and those of others, need not be named.
	Publish, Subscribe, Spaces []string
	// Names are what the member, and those at its door, may call themselves.
	Names []string
	// Expires is exact to the second. What was begun before does not end then.
	Expires time.Time
}

// MayPublish says whether the member may publish a stream.
func (a Access) MayPublish(s region.StreamID) bool {
	return covers(a.Publish, string(s)) || covers(a.whereabouts(), string(s))
}

// MayEnter says whether the member may stand in a space.
func (a Access) MayEnter(s region.SpaceID) bool { return covers(a.Spaces, string(s)) }

// MayBeCalled says whether the member may use a name. Everybody may have none.
func (a Access) MayBeCalled(name string) bool { return name == "" || covers(a.Names, name) }

// MayStand says whether the member, or somebody at its door, may stand in a space under
// that name.
func (a Access) MayStand(s region.SpaceID, name string) bool {
	return a.MayEnter(s) && a.MayBeCalled(name)
}

// Draws are the patterns of the streams that the member may draw.
func (a Access) Draws() []region.StreamID {
	var list []region.StreamID
	for _, p := range slices.Concat(a.Subscribe, a.whereabouts()) {
		list = append(list, region.StreamID(p))
	}
	return list
}

// whereabouts are patterns of the streams that tell where somebody stands in one of
// the spaces.
func (a Access) whereabouts() []string {
	var list []string
	for _, s := range a.Spaces {
		p := region.WhereaboutsIn(region.SpaceID(s))
		if strings.HasSuffix(s, "*") {
			p = region.WhereaboutsAnywhere
		}
		p += "*"
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

func covers(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return Matches(p, region.StreamID(name)) })
}

// check says what is wrong with the lists.
func (a Access) check() error {
	for _, l := range []struct {
		name string
		list []string
		more int
	}{{"publish", a.Publish, 0}, {"subscribe", a.Subscribe, len(a.Spaces)}, {"spaces", a.Spaces, 0}, {"names", a.Names, 0}} {
		if len(l.list)+l.more > MaxPatterns {
			return fmt.Errorf("%s: %w: %d patterns, at most %d, where spaces count as streams to subscribe to", l.name, region.ErrLimit, len(l.list)+l.more, MaxPatterns)
		}
		for _, p := range l.list {
			if len(p) == 0 || len(p) > region.MaxName {
				return fmt.Errorf("%s: %w: a pattern has 1 to %d bytes, not %d", l.name, region.ErrInvalid, region.MaxName, len(p))
			}
		}
	}
	return nil
}

// accessClaims are the claims of an access token.
type accessClaims struct {
	jwt.RegisteredClaims
	Skein accessLists `json:"skein"`
}

type accessLists struct {
	Publish   []string `json:"publish,omitempty"`
	Subscribe []string `json:"subscribe,omitempty"`
	Spaces    []string `json:"spaces,omitempty"`
	Names     []string `json:"names,omitempty"`
}

func (c accessClaims) access() (Access, error) {
	a := Access{
		Member:  region.MemberID(c.Subject),
		Publish: c.Skein.Publish, Subscribe: c.Skein.Subscribe, Spaces: c.Skein.Spaces, Names: c.Skein.Names,
	}
	if c.ExpiresAt != nil {
		a.Expires = c.ExpiresAt.UTC()
	}
	if err := a.check(); err != nil {
		return Access{}, fmt.Errorf("%w (%v)", ErrAccess, err)
	}
	return a, nil
}

// SignAccess makes an access token: a JWT (RFC 7519) signed by EdDSA (RFC 8037), with
// the claims sub, iat, exp and skein, an object of the four lists. Applications can
// as well make them with any library for JWT.
func SignAccess(key ed25519.PrivateKey, a Access, now time.Time) (string, error) {
	if err := a.check(); err != nil {
		return "", err
	}
	if ttl := a.Expires.Sub(now); ttl < time.Second || ttl > MaxAccessTTL {
		return "", fmt.Errorf("%w: access for %v: want 1s to %v", region.ErrInvalid, ttl, MaxAccessTTL)
	}
	return jwt.NewWithClaims(jwt.SigningMethodEdDSA, accessClaims{
		jwt.RegisteredClaims{Subject: string(a.Member), IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(a.Expires)},
		accessLists{a.Publish, a.Subscribe, a.Spaces, a.Names},
	}).SignedString(key)
}

// AccessKeys are the public keys of the applications whose word counts.
type AccessKeys []ed25519.PublicKey

// Open checks an access token and returns what it says. It reports ErrAccess or
// ErrAccessExpired.
func (k AccessKeys) Open(token string, now time.Time) (Access, error) {
	if len(token) > MaxAccess {
		return Access{}, fmt.Errorf("%w: %d bytes, at most %d", ErrAccess, len(token), MaxAccess)
	}
	keys := jwt.VerificationKeySet{}
	for _, key := range k {
		keys.Keys = append(keys.Keys, key)
	}
	var claims accessClaims
	_, err := jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return keys, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(func() time.Time { return now }))
	if errors.Is(err, jwt.ErrTokenExpired) {
		return Access{}, ErrAccessExpired
	}
	if err != nil {
		return Access{}, fmt.Errorf("%w: %w", ErrAccess, err)
	}
	return claims.access()
}

// PeekAccess returns what an access token says, unchecked: for whoever holds it.
func PeekAccess(token string) (Access, error) {
	var claims accessClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil {
		return Access{}, fmt.Errorf("%w: %w", ErrAccess, err)
	}
	return claims.access()
}

// NewAccessKey makes the key of an application in a folder, which is made if it is not
// there: access.key, which the application keeps, and access.pub for the coordinators.
func NewAccessKey(dir string) error {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make access key: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("make access key: %w", err)
	}
	if err := saveKey(filepath.Join(dir, AccessKeyFile), key); err != nil {
		return err
	}
	return WriteFile(filepath.Join(dir, AccessPublicFile), pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: der}), 0o644)
}

// LoadAccessKey reads the key with which an application signs.
func LoadAccessKey(path string) (ed25519.PrivateKey, error) { return loadKey(path) }

// LoadAccessKeys reads a file with the public keys of applications, PEM, at most 8.
func LoadAccessKeys(path string) (AccessKeys, error) {
	blocks, err := readPEM(path, pemPublic)
	if err != nil {
		return nil, err
	}
	if len(blocks) > maxAccessKeys {
		return nil, fmt.Errorf("%s: %w: %d keys, at most %d", path, region.ErrLimit, len(blocks), maxAccessKeys)
	}
	var keys AccessKeys
	for _, der := range blocks {
		key, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			return nil, fmt.Errorf("%s: %w (%v)", path, ErrDamaged, err)
		}
		public, ok := key.(ed25519.PublicKey)
		if !ok {
			return nil, fmt.Errorf("%s: %w (want Ed25519 keys)", path, ErrDamaged)
		}
		keys = append(keys, public)
	}
	return keys, nil
}
