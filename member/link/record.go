package link

import (
	"encoding/binary"

	"github.com/skein-mesh/skein/region"
)

// scalable is a flag in the kind of a stream.
const scalable = 0x80

// appendRecord encodes what a stream is, but for its name.
func appendRecord(b []byte, s *region.Stream) []byte {
	if b = append(b, flag(s != nil)); s == nil {
		return b
	}
	kind := byte(s.Kind)
	if s.Scalable {
		kind |= scalable
	}
	b = append(appendName(b, string(s.Origin)), kind, byte(len(s.Layers)))
	for _, rate := range s.Layers {
		b = binary.BigEndian.AppendUint32(b, uint32(rate))
	}
	return appendName(binary.BigEndian.AppendUint32(b, s.SSRC), s.Codec)
}

// record decodes what the stream id is. One that no region can have published is
// malformed.
func (d *decoder) record(id region.StreamID) *region.Stream {
	if !d.flag() {
		return nil
	}
	s := region.Stream{ID: id, Origin: region.MemberID(d.name(region.MaxName))}
	kind := byte(d.number(1))
	s.Kind, s.Scalable = region.Kind(kind&^scalable), kind&scalable != 0
	n := int(d.number(1))
	if n > region.MaxLayers {
		d.bad = true
		return nil
	}
	for range n {
		s.Layers = append(s.Layers, region.Rate(d.number(4)))
	}
	s.SSRC = uint32(d.number(4))
	s.Codec = d.name(region.MaxName)
	if d.bad = d.bad || s.Validate() != nil; d.bad {
		return nil
	}
	return &s
}

func (d *decoder) marks() []uint32 {
	n := int(d.number(1))
	if n > MaxHave {
		d.bad = true
		return nil
	}
	var list []uint32
	for range n {
		list = append(list, uint32(d.number(4)))
	}
	return list
}
