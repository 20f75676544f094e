package link

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/region"
)

// A Stamp is what the origin adds to every packet, as the first element of the
// RTP header extension (RFC 8285). Nobody changes it on the way.
//
//	one-byte form   0xEA            = id 14, 11 bytes
//	two-byte form   0x0E 0x0B       = id 14, 11 bytes
//	then            7 bytes         capture time, microseconds since 1970, big-endian
//	                4 bytes         rollover counter, big-endian
//
// The rollover counter makes sequence numbers unambiguous for resumption, and
// tells SRTP's packet index to a receiver that missed the beginning.
type Stamp struct {
	// Index is the sequence number extended by the rollover counter: 48 bits.
	Index uint64
	// Captured is the origin's clock when the media was captured, microseconds
	// since 1970.
	Captured int64
}

// Time is Captured as a time.
func (s Stamp) Time() time.Time { return time.UnixMicro(s.Captured) }

const (
	// StampID is the identifier of the element; it is taken in every stream.
	StampID   = 14
	stampSize = 11

	profileOneByte = 0xBEDE
	profileTwoByte = 0x1000
	headerSize     = 12
	maxWire        = MaxPacket + 64 // with stamp and SRTP tag
)

// Header is what a relay reads of a packet on the wire.
type Header struct {
	Stamp
	SSRC      uint32
	Timestamp uint32
	Marker    bool
	// Payload is where the payload begins.
	Payload int
}

// ParseHeader reads the header of a packet on the wire, encrypted or not. ok is
// false for anything that is not RTP with a stamp.
func ParseHeader(b []byte) (h Header, ok bool) {
	if len(b) < headerSize+4 || b[0]&0xD0 != 0x90 { // version 2 with an extension
		return h, false
	}
	at := headerSize + 4*int(b[0]&0x0F)
	if len(b) < at+4 {
		return h, false
	}
	profile := binary.BigEndian.Uint16(b[at:])
	end := at + 4 + 4*int(binary.BigEndian.Uint16(b[at+2:]))
	at += 4
	switch {
	case end > len(b):
		return h, false
	case profile == profileOneByte && end >= at+1+stampSize && b[at] == StampID<<4|(stampSize-1):
		at++
	case profile == profileTwoByte && end >= at+2+stampSize && b[at] == StampID && b[at+1] == stampSize:
		at += 2
	default:
		return h, false
	}
	h.Captured = int64(binary.BigEndian.Uint64(b[at-1:]) & (1<<56 - 1))
	roc := binary.BigEndian.Uint32(b[at+7:])
	h.Index = uint64(roc)<<16 | uint64(binary.BigEndian.Uint16(b[2:]))
	h.Timestamp = binary.BigEndian.Uint32(b[4:])
	h.SSRC = binary.BigEndian.Uint32(b[8:])
	h.Marker = b[1]&0x80 != 0
	h.Payload = end
	return h, true
}

// AppendPacket appends p as it goes over links: with ssrc instead of its own, the
// sequence number of s, and s as its first header extension element. It reports
// region.ErrInvalid if p is larger than MaxPacket, or has an extension that is
// not of RFC 8285 or uses StampID.
func AppendPacket(dst []byte, p *rtp.Packet, ssrc uint32, s Stamp) ([]byte, error) {
	h := &p.Header
	if size := p.MarshalSize(); size > MaxPacket {
		return dst, fmt.Errorf("%w: RTP packet of %d bytes, at most %d", region.ErrInvalid, size, MaxPacket)
	}
	// Types 64 to 95 look like RTCP on the wire (RFC 5761).
	if len(h.CSRC) > 15 || h.PayloadType > 127 || (h.PayloadType >= 64 && h.PayloadType < 96) {
		return dst, fmt.Errorf("%w: RTP header with %d CSRCs, payload type %d", region.ErrInvalid, len(h.CSRC), h.PayloadType)
	}
	start := len(dst)
	first := byte(0x90 | len(h.CSRC))
	second := h.PayloadType
	if p.PaddingSize > 0 || h.PaddingSize > 0 {
		first |= 0x20
	}
	if h.Marker {
		second |= 0x80
	}
	dst = append(dst, first, second)
	dst = binary.BigEndian.AppendUint16(dst, uint16(s.Index))
	dst = binary.BigEndian.AppendUint32(dst, h.Timestamp)
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	for _, c := range h.CSRC {
		dst = binary.BigEndian.AppendUint32(dst, c)
	}
	var err error
	if dst, err = appendExtension(dst, h, s); err != nil {
		return dst[:start], err
	}
	dst = append(dst, p.Payload...)
	if pad := int(max(p.PaddingSize, h.PaddingSize)); pad > 0 {
		dst = append(dst, make([]byte, pad-1)...)
		dst = append(dst, byte(pad))
	}
	return dst, nil
}

func appendExtension(dst []byte, h *rtp.Header, s Stamp) ([]byte, error) {
	profile := uint16(profileOneByte)
	if h.Extension && h.ExtensionProfile != 0 {
		profile = h.ExtensionProfile
	}
	if profile != profileOneByte && profile != profileTwoByte {
		return dst, fmt.Errorf("%w: RTP header extension profile %#x, want RFC 8285", region.ErrInvalid, profile)
	}
	dst = binary.BigEndian.AppendUint16(dst, profile)
	dst = append(dst, 0, 0)
	body := len(dst)
	dst = appendElement(dst, profile, StampID, stampSize)
	captured := uint64(s.Captured) & (1<<56 - 1)
	dst = append(dst, byte(captured>>48), byte(captured>>40), byte(captured>>32))
	dst = binary.BigEndian.AppendUint32(dst, uint32(captured))
	dst = binary.BigEndian.AppendUint32(dst, uint32(s.Index>>16))
	if h.Extension && len(h.Extensions) > 0 {
		for _, id := range h.GetExtensionIDs() {
			if id == StampID {
				return dst, fmt.Errorf("%w: RTP header extension id %d is Skein's", region.ErrInvalid, id)
			}
			data := h.GetExtension(id)
			dst = appendElement(dst, profile, id, len(data))
			dst = append(dst, data...)
		}
	}
	for (len(dst)-body)%4 != 0 {
		dst = append(dst, 0)
	}
	binary.BigEndian.PutUint16(dst[body-2:], uint16((len(dst)-body)/4))
	return dst, nil
}

func appendElement(dst []byte, profile uint16, id byte, size int) []byte {
	if profile == profileTwoByte {
		return append(dst, id, byte(size))
	}
	return append(dst, id<<4|byte(size-1)&0x0F)
}

// Unstamp parses a packet as it came over a link into p and takes the stamp
// out, so that p is what the origin's application wrote. p aliases b.
func Unstamp(b []byte, p *rtp.Packet) (Stamp, error) {
	h, ok := ParseHeader(b)
	if !ok {
		return Stamp{}, fmt.Errorf("%w: RTP packet without a stamp", region.ErrInvalid)
	}
	if err := p.Unmarshal(b); err != nil {
		return Stamp{}, fmt.Errorf("parse RTP: %w", err)
	}
	if err := p.DelExtension(StampID); err != nil {
		return Stamp{}, fmt.Errorf("remove stamp: %w", err)
	}
	if len(p.Extensions) == 0 {
		p.Extension, p.ExtensionProfile = false, 0
	}
	return h.Stamp, nil
}
