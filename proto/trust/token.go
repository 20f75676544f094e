package trust

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/skein-mesh/skein/region"
)

const (
	tokenPrefix = "skein1"
	// A token's id: role (1 byte), expiry in Unix seconds (5), uses (4), nonce
	// (10). Its secret has the same size. Both are whole groups of base32, so
	// there is one way only to write them.
	tokenIDBytes     = 20
	tokenSecretBytes = 20

	// MaxTokenTTL bounds the lifetime of a join token.
	MaxTokenTTL = 30 * 24 * time.Hour
)

// A Token is what a join token says about itself.
type Token struct {
	// CAHash names the cluster; see PinnedTLS.
	CAHash string
	// ID tells tokens apart; it is no secret.
	ID   string
	Role Role
	// Expires is exact to the second.
	Expires time.Time
	// Uses is how often the token may be used; 0 = without limit. Counting is
	// up to whoever enrols nodes; see ErrTokenSpent.
	Uses uint32

	secret []byte
}

// NewToken makes a join token that allows nodes to enrol in role, uses times (0
// = without limit), for ttl (at least a second, at most MaxTokenTTL).
func (a *Authority) NewToken(role Role, ttl time.Duration, uses uint32, now time.Time) (string, error) {
	code, err := role.code()
	if err != nil {
		return "", err
	}
	if ttl < time.Second || ttl > MaxTokenTTL {
		return "", fmt.Errorf("%w: token lifetime %v: want 1s to %v", region.ErrInvalid, ttl, MaxTokenTTL)
	}
	var id [tokenIDBytes]byte
	var expiry [8]byte
	binary.BigEndian.PutUint64(expiry[:], uint64(now.Add(ttl).Unix()))
	id[0] = code
	copy(id[1:6], expiry[3:])
	binary.BigEndian.PutUint32(id[6:10], uses)
	if _, err := rand.Read(id[10:]); err != nil {
		return "", fmt.Errorf("make token: %w", err)
	}
	secret, err := a.tokenSecret(id[:])
	if err != nil {
		return "", err
	}
	return strings.Join([]string{tokenPrefix, a.Hash(), encoding.EncodeToString(id[:]), encoding.EncodeToString(secret)}, "."), nil
}

// tokenSecret is kept apart from all other uses of the CA's key by HKDF.
func (a *Authority) tokenSecret(id []byte) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, a.key.Seed(), nil, "skein join token", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive token key: %w", err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(id)
	return mac.Sum(nil)[:tokenSecretBytes], nil
}

// ParseToken reads a join token without judging it: only an Authority can tell
// whether it is genuine. Space around it does not matter. It reports
// ErrTokenMalformed.
func ParseToken(s string) (Token, error) {
	s = strings.TrimSpace(s)
	hashLen, idLen := encoding.EncodedLen(digestBytes), encoding.EncodedLen(tokenIDBytes)
	secretLen := encoding.EncodedLen(tokenSecretBytes)
	if len(s) != len(tokenPrefix)+hashLen+idLen+secretLen+3 {
		return Token{}, ErrTokenMalformed
	}
	parts := strings.Split(s, ".")
	if len(parts) != 4 || parts[0] != tokenPrefix || len(parts[1]) != hashLen || len(parts[2]) != idLen {
		return Token{}, ErrTokenMalformed
	}
	_, err1 := encoding.DecodeString(parts[1])
	id, err2 := encoding.DecodeString(parts[2])
	secret, err3 := encoding.DecodeString(parts[3])
	if err1 != nil || err2 != nil || err3 != nil || len(id) != tokenIDBytes || len(secret) != tokenSecretBytes {
		return Token{}, ErrTokenMalformed
	}
	if id[0] == 0 || int(id[0]) >= len(roles) {
		return Token{}, ErrTokenMalformed
	}
	var expiry [8]byte
	copy(expiry[3:], id[1:6])
	return Token{
		CAHash:  parts[1],
		ID:      parts[2],
		Role:    roles[id[0]],
		Expires: time.Unix(int64(binary.BigEndian.Uint64(expiry[:])), 0).UTC(),
		Uses:    binary.BigEndian.Uint32(id[6:10]),
		secret:  secret,
	}, nil
}

// CheckToken judges a join token that a node shows to enrol as role. It reports
// one of the ErrToken errors. Counting its uses is left to the caller.
func (a *Authority) CheckToken(s string, role Role, now time.Time) (Token, error) {
	t, err := ParseToken(s)
	if err != nil {
		return Token{}, err
	}
	if t.CAHash != a.Hash() {
		return Token{}, ErrTokenForeign
	}
	id, err := encoding.DecodeString(t.ID)
	if err != nil {
		return Token{}, ErrTokenMalformed
	}
	want, err := a.tokenSecret(id)
	if err != nil {
		return Token{}, err
	}
	if !hmac.Equal(want, t.secret) {
		return Token{}, ErrTokenForged
	}
	if !now.Before(t.Expires) {
		return Token{}, fmt.Errorf("%w (it ended %s)", ErrTokenExpired, t.Expires.Format(time.RFC3339))
	}
	if t.Role != role {
		return Token{}, fmt.Errorf("%w (it is for a %s, not a %s)", ErrTokenRole, t.Role, role)
	}
	return t, nil
}
