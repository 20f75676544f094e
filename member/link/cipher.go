package link

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"

	"github.com/skein-mesh/skein/region"
)

// Media and control messages are SRTP and SRTCP with AEAD_AES_128_GCM (RFC 7714).
// The stamp of a packet tells its whole index, so nothing has to be guessed or
// remembered to encrypt one: the key is all the state there is.

const (
	// tagSize of AEAD_AES_128_GCM.
	tagSize = 16
	// replayWindow of media per SSRC, and of control messages, in packets. Relays
	// have a longer one of their own.
	replayWindow = 1024
	// encryptedFlag of the word that ends an SRTCP packet; the rest is the index.
	encryptedFlag = 1 << 31
)

// Labels of RFC 3711, section 4.3.
const (
	labelMedia, labelMediaSalt     = 0, 2
	labelControl, labelControlSalt = 3, 5
)

// A secret is one direction's session key. It is for one goroutine at a time.
type secret struct {
	aead  cipher.AEAD
	salt  [12]byte
	nonce [12]byte
	extra [12]byte // what SRTCP authenticates but does not send in this order
}

// newSecret derives a session key of the master key and salt of a handshake.
func newSecret(key, salt []byte, label, saltLabel byte) (s secret, err error) {
	master, err := aes.NewCipher(key)
	if err != nil {
		return s, fmt.Errorf("derive keys: %w", err)
	}
	if len(salt) != len(s.salt) {
		return s, fmt.Errorf("derive keys: %w: salt of %d bytes", region.ErrInvalid, len(salt))
	}
	block, err := aes.NewCipher(derive(master, salt, label))
	if err != nil {
		return s, fmt.Errorf("derive keys: %w", err)
	}
	copy(s.salt[:], derive(master, salt, saltLabel))
	s.aead, err = cipher.NewGCM(block)
	return s, err
}

// derive returns the first block of the key stream of a label.
func derive(master cipher.Block, salt []byte, label byte) []byte {
	var in, out [aes.BlockSize]byte
	copy(in[:], salt)
	in[7] ^= label
	master.Encrypt(out[:], in[:])
	return out[:]
}

// mask sets the nonce: salt xor (0, high, middle, low).
func (s *secret) mask(high, middle uint32, low uint16) []byte {
	s.nonce = s.salt
	for i := range 4 {
		s.nonce[2+i] ^= byte(high >> (24 - 8*i))
		s.nonce[6+i] ^= byte(middle >> (24 - 8*i))
	}
	s.nonce[10] ^= byte(low >> 8)
	s.nonce[11] ^= byte(low)
	return s.nonce[:]
}

func (s *secret) ofPacket(h Header) []byte {
	return s.mask(h.SSRC, uint32(h.Index>>16), uint16(h.Index))
}

// encrypt appends the packet p with header h, encrypted, to dst.
func (s *secret) encrypt(dst, p []byte, h Header) []byte {
	dst = append(dst, p[:h.Payload]...)
	return s.aead.Seal(dst, s.ofPacket(h), p[h.Payload:], p[:h.Payload])
}

// decrypt opens a packet in place.
func (s *secret) decrypt(b []byte, h Header) ([]byte, bool) {
	plain, err := s.aead.Open(b[h.Payload:h.Payload], s.ofPacket(h), b[h.Payload:], b[:h.Payload])
	return b[:h.Payload+len(plain)], err == nil
}

// rtcpHeader is what is not encrypted of an RTCP packet.
const rtcpHeader = 8

// ofControl prepares nonce and authenticated data of a control message.
func (s *secret) ofControl(b []byte, index uint32) (nonce, extra []byte) {
	copy(s.extra[:], b[:rtcpHeader])
	binary.BigEndian.PutUint32(s.extra[rtcpHeader:], index|encryptedFlag)
	return s.mask(binary.BigEndian.Uint32(b[4:]), index>>16, uint16(index)), s.extra[:]
}

// seal encrypts an RTCP packet in place.
func (s *secret) seal(b []byte, index uint32) []byte {
	nonce, extra := s.ofControl(b, index)
	b = s.aead.Seal(b[:rtcpHeader], nonce, b[rtcpHeader:], extra)
	return binary.BigEndian.AppendUint32(b, index|encryptedFlag)
}

// open decrypts an RTCP packet in place.
func (s *secret) open(b []byte) (plain []byte, index uint32, ok bool) {
	end := len(b) - 4
	if end < rtcpHeader+tagSize {
		return nil, 0, false
	}
	index = binary.BigEndian.Uint32(b[end:])
	if index&encryptedFlag == 0 {
		return nil, 0, false
	}
	index &^= encryptedFlag
	nonce, extra := s.ofControl(b, index)
	rest, err := s.aead.Open(b[rtcpHeader:rtcpHeader], nonce, b[rtcpHeader:end], extra)
	return b[:rtcpHeader+len(rest)], index, err == nil
}

// A window tells what was seen already. The zero value has seen nothing.
type window struct {
	next uint64 // one after the highest index seen
	seen [replayWindow / 64]uint64
	// The least that samples took of late (us), but for what the clocks differ by; 0: there
	// was none.
	fastest int64
	// When the last packet arrived (ns).
	at int64
}

func (w *window) bit(index uint64) (word *uint64, mask uint64) {
	return &w.seen[index/64%uint64(len(w.seen))], 1 << (index % 64)
}

// fresh says whether index may be new. What is older than the window is not.
func (w *window) fresh(index uint64) bool {
	if index >= w.next {
		return true
	}
	word, mask := w.bit(index)
	return w.next-index <= replayWindow-64 && *word&mask == 0
}

// note marks index as seen.
func (w *window) note(index uint64) {
	if index >= w.next {
		// Words that the window moves into are of the past.
		for at := (w.next + 63) / 64; at <= index/64 && at <= w.next/64+uint64(len(w.seen)); at++ {
			w.seen[at%uint64(len(w.seen))] = 0
		}
		w.next = index + 1
	}
	word, mask := w.bit(index)
	*word |= mask
}
