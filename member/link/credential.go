package link

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/skein-mesh/skein/region"
)

// Two members derive the ICE credentials of their link from what they know of
// one another; no message has to carry them.
//
//	secret   = HKDF-Extract(X25519(own private, other's public), "skein link")
//	handle X = hex(HKDF-Expand(secret, "handle" X stays, 6))         one per end
//	ufrag X  = handle X, then the epoch as 8 hexadecimal digits
//	pwd X    = hex(HKDF-Expand(secret, "pwd" X epoch stays, 16))
//	stays    = both ids and leases, the smaller id first
//
// The handle does not depend on the epoch, so a demultiplexer knows a peer that
// knocks with a later epoch than its own, and the checks of two stays never mix.

const (
	handleSize = 12 // hex digits
	ufragSize  = handleSize + 8
)

// party is one end of a pair.
type party struct {
	id    region.MemberID
	lease region.Lease
}

// a pairing holds what both ends of a link derive.
type pairing struct {
	secret  []byte
	stays   string
	own     party
	peer    party
	handle  string // of this end
	peerTag string // the peer's handle
	smaller bool   // this end has the smaller id: controlling, DTLS client
}

func newPairing(key *ecdh.PrivateKey, own, peer party, peerKey [32]byte) (*pairing, error) {
	pub, err := ecdh.X25519().NewPublicKey(peerKey[:])
	if err != nil {
		return nil, fmt.Errorf("%w: X25519 key of %s: %w", region.ErrInvalid, peer.id, err)
	}
	shared, err := key.ECDH(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: X25519 key of %s: %w", region.ErrInvalid, peer.id, err)
	}
	p := &pairing{own: own, peer: peer, smaller: own.id < peer.id}
	if p.secret, err = hkdf.Extract(sha256.New, shared, []byte("skein link")); err != nil {
		return nil, fmt.Errorf("derive credentials: %w", err)
	}
	first, second := own, peer
	if !p.smaller {
		first, second = peer, own
	}
	p.stays = fmt.Sprintf("\x00%s\x00%d\x00%s\x00%d", first.id, first.lease, second.id, second.lease)
	if p.handle, err = p.expand("handle", own.id, "", handleSize/2); err != nil {
		return nil, err
	}
	if p.peerTag, err = p.expand("handle", peer.id, "", handleSize/2); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *pairing) expand(what string, end region.MemberID, epoch string, size int) (string, error) {
	b, err := hkdf.Expand(sha256.New, p.secret, what+"\x00"+string(end)+"\x00"+epoch+p.stays, size)
	if err != nil {
		return "", fmt.Errorf("derive credentials: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// credentials of both ends in an epoch.
type credentials struct {
	ufrag, pwd         string
	peerUfrag, peerPwd string
}

func (p *pairing) credentials(epoch uint32) (credentials, error) {
	text := fmt.Sprintf("%08x", epoch)
	pwd, err := p.expand("pwd", p.own.id, text, 16)
	if err != nil {
		return credentials{}, err
	}
	peerPwd, err := p.expand("pwd", p.peer.id, text, 16)
	if err != nil {
		return credentials{}, err
	}
	return credentials{ufrag: p.handle + text, pwd: pwd, peerUfrag: p.peerTag + text, peerPwd: peerPwd}, nil
}

// splitUfrag takes a ufrag apart.
func splitUfrag(ufrag string) (handle string, epoch uint32, ok bool) {
	if len(ufrag) != ufragSize {
		return "", 0, false
	}
	n, err := strconv.ParseUint(ufrag[handleSize:], 16, 32)
	return ufrag[:handleSize], uint32(n), err == nil
}
