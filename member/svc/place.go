package svc

import (
	"encoding/binary"

	"github.com/skein-mesh/skein/region"
)

// The ids that header extensions have between members: where a packet stands among those of
// all layers, and the dependency descriptor of AV1.
const (
	DescriptorID = 5
	PlaceID      = 6
)

// A Place says where a packet of a layer stood in what its publisher sent. It travels as an
// RTP header extension:
//
//	1 byte             spatial layer (2 bits), opens, begins, ends, key, up, 0
//	2 bytes per layer  the number its next packet has; of the packet's own layer, its own
type Place struct {
	Spatial uint8
	// Opens a picture.
	Opens bool
	// Begins and Ends a frame: what the picture has of one spatial layer.
	Begins, Ends bool
	// Key: nothing that comes later needs anything that came before this frame.
	Key bool
	// Up: nothing that comes later of the same spatial layer needs anything of higher
	// temporal layers that came before this frame.
	Up bool
	// Next holds the number of each layer's next packet.
	Next   [region.MaxLayers]uint16
	Layers int
}

// append encodes p: at most 15 bytes, for 7 layers.
func (p Place) append(b []byte) []byte {
	head := p.Spatial << 6
	for i, flag := range []bool{p.Opens, p.Begins, p.Ends, p.Key, p.Up} {
		if flag {
			head |= 0x20 >> i
		}
	}
	b = append(b, head)
	for _, n := range p.Next[:p.Layers] {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return b
}

// parsePlace decodes what append encoded.
func parsePlace(b []byte) (p Place, ok bool) {
	p.Layers = (len(b) - 1) / 2
	if len(b)%2 == 0 || p.Layers < 1 || p.Layers > region.MaxLayers {
		return p, false
	}
	head := b[0]
	p.Spatial, p.Opens = head>>6, head&0x20 != 0
	p.Begins, p.Ends, p.Key, p.Up = head&0x10 != 0, head&0x08 != 0, head&0x04 != 0, head&0x02 != 0
	for i := range p.Layers {
		p.Next[i] = binary.BigEndian.Uint16(b[1+2*i:])
	}
	return p, true
}
