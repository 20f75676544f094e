package trust

import (
	"crypto/ed25519"
	"crypto/sha256"
	"math/bits"
)

const (
	// maxLevels of the tree that ties grants together.
	maxLevels = 5
	// MaxTogether is how many grants one signature covers at most.
	MaxTogether = 1 << maxLevels
	// prefixes keep what is hashed as a grant apart from what is hashed as a pair.
	grantPrefix, pairPrefix = 0, 1
)

// SignGrants is SignGrant for many: what is signed is the root of a hash tree
// (R. Merkle, A Digital Signature Based on a Conventional Encryption Function,
// 1987) over up to MaxTogether grants, and each grant bears its way up. A
// signature costs as much as deciding an admission does, so a leader that is asked
// by a crowd signs for all at once.
func SignGrants(key ed25519.PrivateKey, list []Grant) [][]byte {
	raw := make([][]byte, 0, len(list))
	for len(list) > 0 {
		n := min(len(list), MaxTogether)
		raw = append(raw, signTogether(key, list[:n])...)
		list = list[n:]
	}
	return raw
}

func signTogether(key ed25519.PrivateKey, list []Grant) [][]byte {
	levels := bits.Len(uint(len(list) - 1))
	raw := make([][]byte, len(list))
	row := make([][sha256.Size]byte, 1<<levels) // leaves that stand for nobody are zero
	rest := levels*sha256.Size + 2 + ed25519.SignatureSize
	var longest [MaxGrant]byte
	for i, g := range list {
		body := g.append(longest[:0])
		row[i] = hashGrant(body)
		raw[i] = append(make([]byte, 0, len(body)+rest), body...)
	}
	for level := range levels {
		for i := range raw {
			sibling := row[i>>level^1]
			raw[i] = append(raw[i], sibling[:]...)
		}
		for i := range len(row) / 2 {
			row[i] = hashPair(row[2*i], row[2*i+1])
		}
		row = row[:len(row)/2]
	}
	signature := ed25519.Sign(key, signed(row[0]))
	for i := range raw {
		raw[i] = append(append(raw[i], byte(levels), byte(i)), signature...)
	}
	return raw
}

// openSigned returns the body of an encoded grant if the key has signed for it.
func openSigned(pub ed25519.PublicKey, raw []byte) (body []byte, ok bool) {
	if len(raw) < ed25519.SignatureSize+2 {
		return nil, false
	}
	rest, signature := raw[:len(raw)-ed25519.SignatureSize], raw[len(raw)-ed25519.SignatureSize:]
	levels, place := int(rest[len(rest)-2]), int(rest[len(rest)-1])
	rest = rest[:len(rest)-2]
	if levels > maxLevels || place>>levels != 0 || len(rest) < levels*sha256.Size {
		return nil, false
	}
	split := len(rest) - levels*sha256.Size
	body, way := rest[:split:split], rest[split:]
	at := hashGrant(body)
	for level := range levels {
		sibling := [sha256.Size]byte(way[level*sha256.Size:])
		if place>>level&1 == 0 {
			at = hashPair(at, sibling)
		} else {
			at = hashPair(sibling, at)
		}
	}
	return body, ed25519.Verify(pub, signed(at), signature)
}

func hashGrant(body []byte) [sha256.Size]byte {
	var b [1 + MaxGrant]byte
	b[0] = grantPrefix
	return sha256.Sum256(append(b[:1], body...))
}

func hashPair(left, right [sha256.Size]byte) [sha256.Size]byte {
	var b [1 + 2*sha256.Size]byte
	b[0] = pairPrefix
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

func signed(root [sha256.Size]byte) []byte {
	return append([]byte(grantContext), root[:]...)
}
