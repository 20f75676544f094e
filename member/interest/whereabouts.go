package interest

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math"

	"github.com/skein-mesh/skein/region"
)

// Whereabouts is what somebody tells of itself along a data stream:
//
//	version  u8      1
//	x, y, z  varint  centimetres, zigzag
//	facing   u16     of a full turn
//	level    u8      loudness, 255 the loudest
//	regards  u32     hash of whom it looks at; 0: nobody
type Whereabouts struct {
	Place region.Place
	Level float64
	// Regards is the Hash of whom it looks at.
	Regards uint32
}

const (
	whereaboutsVersion = 1
	perMetre           = 100
	turn               = 2 * math.Pi
)

// Hash stands for somebody in Whereabouts; never 0.
func Hash(who region.PresenceID) uint32 {
	h := fnv.New32a()
	_, _ = io.WriteString(h, string(who)) // never fails
	return max(h.Sum32(), 1)
}

// Append writes w behind b.
func (w Whereabouts) Append(b []byte) []byte {
	b = append(b, whereaboutsVersion)
	for _, v := range [...]float64{w.Place.X, w.Place.Y, w.Place.Z} {
		b = binary.AppendVarint(b, int64(math.Round(v*perMetre)))
	}
	facing := w.Place.Facing / turn
	b = binary.BigEndian.AppendUint16(b, uint16(int64(math.Round((facing-math.Floor(facing))*(1<<16)))))
	b = append(b, uint8(math.Round(min(max(w.Level, 0), 1)*255)))
	return binary.BigEndian.AppendUint32(b, w.Regards)
}

// Parse reads what Append has written. Anything else is region.ErrInvalid.
func Parse(b []byte) (w Whereabouts, err error) {
	if len(b) == 0 || b[0] != whereaboutsVersion {
		return w, fmt.Errorf("whereabouts: version: %w: want %d", region.ErrInvalid, whereaboutsVersion)
	}
	b = b[1:]
	for _, v := range [...]*float64{&w.Place.X, &w.Place.Y, &w.Place.Z} {
		cm, n := binary.Varint(b)
		if n <= 0 {
			return w, fmt.Errorf("whereabouts: place: %w: cut short", region.ErrInvalid)
		}
		*v, b = float64(cm)/perMetre, b[n:]
	}
	if len(b) != 7 {
		return w, fmt.Errorf("whereabouts: length: %w: want 7 bytes after the place, have %d", region.ErrInvalid, len(b))
	}
	w.Place.Facing = float64(binary.BigEndian.Uint16(b)) / (1 << 16) * turn
	w.Level = float64(b[2]) / 255
	w.Regards = binary.BigEndian.Uint32(b[3:])
	return w, w.Place.Check()
}
