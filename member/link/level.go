package link

import "encoding/binary"

// LevelID identifies the header extension that tells how loud a packet's audio is
// (RFC 6464), in every stream between members.
const LevelID = 1

// AudioLevel returns how loud a packet on the wire is, in dB below overload: 0 the
// loudest, 127 silence. ok is false if it does not say.
func AudioLevel(b []byte) (level uint8, ok bool) {
	h, ok := ParseHeader(b)
	if !ok {
		return 0, false
	}
	at := headerSize + 4*int(b[0]&0x0F)
	long := binary.BigEndian.Uint16(b[at:]) == profileTwoByte
	for at += 4; at < h.Payload; {
		id, size := b[at]>>4, int(b[at]&0x0F)+1
		switch {
		case b[at] == 0: // padding
			at++
			continue
		case long && at+1 < h.Payload:
			id, size = b[at], int(b[at+1])
			at++
		case long || id == 15: // cut off, or reserved
			return 0, false
		}
		at++
		if at+size > h.Payload {
			return 0, false
		}
		if id == LevelID && size >= 1 {
			return b[at] & 0x7F, true
		}
		at += size
	}
	return 0, false
}
