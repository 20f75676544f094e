package svc

import (
	"fmt"
	"regexp"

	"github.com/skein-mesh/skein/region"
)

// A Mode is how many layers an encoding has (W3C's scalabilityMode).
type Mode struct{ Spatial, Temporal int }

var modes = regexp.MustCompile(`^L([1-3])T([1-3])(h|(_KEY(_SHIFT)?))?$`)

// ParseMode reads a scalabilityMode with several layers in one RTP stream that build upon
// one another, e.g. L3T3_KEY. It reports region.ErrInvalid for all else.
func ParseMode(s string) (Mode, error) {
	m := modes.FindStringSubmatch(s)
	if m == nil {
		return Mode{}, fmt.Errorf("%w: scalability %.20q, want L1T1 to L3T3", region.ErrInvalid, s)
	}
	return Mode{int(m[1][0] - '0'), int(m[2][0] - '0')}, nil
}

// Layers is how many layers of the mesh it makes.
func (m Mode) Layers() int { return m.Temporal + m.Spatial - 1 }

// Names are the modes of which the layers of the mesh, up to each, are all.
func (m Mode) Names() (list []string) {
	for i := range m.Layers() {
		list = append(list, fmt.Sprintf("L%dT%d", max(i-m.Temporal+2, 1), min(i+1, m.Temporal)))
	}
	return list
}

// layer is that of a packet; what is beyond the mode belongs to the highest one.
func (m Mode) layer(p part) int {
	if p.spatial == 0 {
		return min(p.temporal, m.Temporal-1)
	}
	return min(m.Temporal-1+p.spatial, m.Layers()-1)
}

// temporalShares of a rate, in tenths, by the number of temporal layers.
var temporalShares = [4][]region.Rate{1: {10}, 2: {6, 4}, 3: {4, 2, 4}}

// Rates shares a rate between the layers: each picture has a quarter of the next larger
// one's.
func (m Mode) Rates(total region.Rate) []region.Rate {
	sum, weight := region.Rate(0), region.Rate(1)
	for range m.Spatial {
		sum += weight
		weight *= 4
	}
	var list []region.Rate
	for _, share := range temporalShares[m.Temporal] {
		list = append(list, max(total/sum*share/10, 1))
	}
	weight = 4
	for range m.Spatial - 1 {
		list = append(list, max(total*weight/sum, 1))
		weight *= 4
	}
	return list
}
