package red

import "github.com/pion/rtp"

// PayloadType is that of packets with redundancy between members.
const PayloadType = 63

const (
	more      = 0x80 // another block follows this one
	blockHead = 4    // bytes of a block's header, of the last one: 1
)

// layout finds the headers of a payload's blocks and returns where the newest audio
// begins. ok is false if the payload is malformed.
func layout(payload []byte, head func(at int)) (primary int, ok bool) {
	at, older := 0, 0
	for at < len(payload) && payload[at]&more != 0 {
		if at+blockHead > len(payload) {
			return 0, false
		}
		head(at)
		older += int(payload[at+2]&3)<<8 | int(payload[at+3])
		at += blockHead
	}
	if at >= len(payload) || at+1+older > len(payload) {
		return 0, false
	}
	head(at)
	return at + 1 + older, true
}

// Retype gives all blocks of a payload another payload type, 0 to 127, in place. It
// returns false, and may have changed part of it, if the payload is malformed.
func Retype(payload []byte, to uint8) bool {
	_, ok := layout(payload, func(at int) { payload[at] = payload[at]&more | to&^more })
	return ok
}

// Unwrap leaves the newest audio alone of a packet with redundancy, under the payload
// type that it has in there; other packets stay as they are. It returns false, and
// changes nothing, if the packet is malformed. The payload is not copied.
func Unwrap(p *rtp.Packet) bool {
	if p.PayloadType != PayloadType {
		return true
	}
	kind := uint8(0)
	primary, ok := layout(p.Payload, func(at int) { kind = p.Payload[at] &^ more })
	if ok {
		p.PayloadType, p.Payload = kind, p.Payload[primary:]
	}
	return ok
}
