package door

import (
	"encoding/binary"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member/svc"
)

// A descriptor finds the picture numbers in the payload descriptor of VP8 (RFC
// 7741) or VP9 (RFC 9628), or in the dependency descriptor of AV1. Decoders tell by them
// what refers to what, so they must go on over a seam as sequence numbers do.
type descriptor struct {
	in              []byte
	id, tl0         int // values
	idAt, tl0At     int // where they are, 0: absent
	idBits, tl0Bits int
}

// describe reads the descriptor of a packet; the zero value if there is none.
func describe(codec string, p *rtp.Packet) (d descriptor) {
	in := p.Payload
	switch codec {
	case "VP8":
		d = describeVP8(in)
	case "VP9":
		d = describeVP9(in)
	case "AV1":
		if in = p.GetExtension(svc.DescriptorID); len(in) >= 3 {
			d.idAt, d.idBits, d.id = 1, 16, int(binary.BigEndian.Uint16(in[1:]))
		}
	}
	d.in = in
	return d
}

func describeVP8(p []byte) (d descriptor) {
	if len(p) < 2 || p[0]&0x80 == 0 {
		return d
	}
	at := 2
	if p[1]&0x80 != 0 {
		at = d.number(p, at)
	}
	if p[1]&0x40 != 0 {
		d.base(p, at)
	}
	return d
}

func describeVP9(p []byte) (d descriptor) {
	if len(p) < 2 {
		return d
	}
	at := 1
	if p[0]&0x80 != 0 {
		at = d.number(p, at)
	}
	if p[0]&0x20 != 0 && p[0]&0x10 == 0 { // layers, not flexible: the index follows them
		d.base(p, at+1)
	}
	return d
}

// number reads a picture number of 7 or 15 bits and returns what is after it.
func (d *descriptor) number(p []byte, at int) int {
	switch {
	case at < len(p) && p[at]&0x80 == 0:
		d.idAt, d.idBits, d.id = at, 7, int(p[at])
		return at + 1
	case at+1 < len(p) && p[at]&0x80 != 0:
		d.idAt, d.idBits, d.id = at, 15, int(binary.BigEndian.Uint16(p[at:])&0x7FFF)
	}
	return at + 2
}

func (d *descriptor) base(p []byte, at int) {
	if at < len(p) {
		d.tl0At, d.tl0Bits, d.tl0 = at, 8, int(p[at])
	}
}

// write puts other numbers where d was read from.
func (d descriptor) write(id, tl0 int) {
	p := d.in
	switch d.idBits {
	case 7:
		p[d.idAt] = byte(id & 0x7F)
	case 15:
		binary.BigEndian.PutUint16(p[d.idAt:], 0x8000|uint16(id&0x7FFF))
	case 16:
		binary.BigEndian.PutUint16(p[d.idAt:], uint16(id))
	}
	if d.tl0Bits != 0 {
		p[d.tl0At] = byte(tl0)
	}
}
