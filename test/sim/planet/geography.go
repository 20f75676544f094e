package planet

import (
	"math"
	"math/rand/v2"

	"github.com/skein-mesh/skein/cmd/skein/latency/matrix"
)

// Globe names the generated geography: cities on a sphere, big ones few, in which
// members have last miles of very different quality.
const Globe = "globe"

const (
	// cities of the globe, and how far around them people live, in radians.
	cities   = 400
	outskirt = 0.006
	// msPerRadian is the RTT over a radian of the globe: light in fibre, on ways
	// half again as long as the beeline.
	msPerRadian = 6371.0 / 200 * 2 * 1.5
	// maxRTT of a matrix, in ms.
	maxRTT = 60_000
	// minRTT between two members at one place, in ms, without last miles.
	minRTT = 0.5
)

// A place is where a member stands.
type place struct {
	// x, y, z on the unit sphere, or node of the matrix.
	x, y, z float32
	node    int32
	// mile is what the last mile adds to each round trip, in ms.
	mile float32
}

// A geography tells round-trip times.
type geography struct {
	// matrix and shortest (through any nodes) in ms; nil on the globe.
	matrix, shortest [][]float64
	towns            []place
	// weight is the share of the members that live in this town or an earlier one.
	weight []float64
}

func newGeography(source string, rng *rand.Rand) (*geography, error) {
	if source == Globe {
		return newGlobe(rng), nil
	}
	m, err := matrix.ReadMean(source, maxRTT)
	if err != nil {
		return nil, err
	}
	return &geography{matrix: m, shortest: shortestPaths(m)}, nil
}

func newGlobe(rng *rand.Rand) *geography {
	g := &geography{}
	total := 0.0
	for i := range cities {
		// Most people live between 35 degrees south and 60 degrees north.
		lat, lon := (rng.Float64()*95-35)*math.Pi/180, rng.Float64()*2*math.Pi
		g.towns = append(g.towns, place{
			x: float32(math.Cos(lat) * math.Cos(lon)), y: float32(math.Cos(lat) * math.Sin(lon)), z: float32(math.Sin(lat)),
		})
		total += 1 / float64(i+1)
		g.weight = append(g.weight, total)
	}
	for i := range g.weight {
		g.weight[i] /= total
	}
	return g
}

// settle draws where a member stands.
func (g *geography) settle(rng *rand.Rand) place {
	// Median 8 ms, a tenth above 25 ms.
	mile := float32(math.Min(8*math.Exp(0.9*rng.NormFloat64()), 120))
	if g.matrix != nil {
		return place{node: int32(rng.IntN(len(g.matrix))), mile: mile}
	}
	at := rng.Float64()
	low, high := 0, len(g.weight)-1
	for low < high {
		if mid := (low + high) / 2; g.weight[mid] < at {
			low = mid + 1
		} else {
			high = mid
		}
	}
	t := g.towns[low]
	x := float64(t.x) + outskirt*rng.NormFloat64()
	y := float64(t.y) + outskirt*rng.NormFloat64()
	z := float64(t.z) + outskirt*rng.NormFloat64()
	norm := math.Sqrt(x*x + y*y + z*z)
	return place{x: float32(x / norm), y: float32(y / norm), z: float32(z / norm), mile: mile}
}

// rtt between two places, in ms.
func (g *geography) rtt(a, b *place) float64 {
	return g.way(a, b, g.matrix) + float64(a.mile) + float64(b.mile)
}

// least is what no path through any relays can beat, in ms of RTT.
func (g *geography) least(a, b *place) float64 {
	return g.way(a, b, g.shortest) + float64(a.mile) + float64(b.mile)
}

// apart orders pairs of places by distance, at less cost than way.
func (g *geography) apart(a, b *place) float64 {
	if g.matrix != nil {
		return g.matrix[a.node][b.node]
	}
	dx, dy, dz := float64(a.x-b.x), float64(a.y-b.y), float64(a.z-b.z)
	return dx*dx + dy*dy + dz*dz
}

func (g *geography) way(a, b *place, m [][]float64) float64 {
	if m != nil {
		return max(m[a.node][b.node], minRTT)
	}
	dx, dy, dz := float64(a.x-b.x), float64(a.y-b.y), float64(a.z-b.z)
	return max(angle(dx*dx+dy*dy+dz*dz)*msPerRadian, minRTT)
}

// angle between two points of the unit sphere whose distance has this square, in
// radians, to 0.0002: worlds ask for it more often than for anything else. The
// polynomial is 4.4.45 of Abramowitz and Stegun's handbook.
func angle(square float64) float64 {
	x := math.Sqrt(min(square/4, 1))
	return math.Pi - 2*math.Sqrt(1-x)*(1.5707288+x*(-0.2121144+x*(0.0742610-0.0187293*x)))
}

// shortestPaths through any nodes.
func shortestPaths(m [][]float64) [][]float64 {
	s := make([][]float64, len(m))
	for i := range m {
		s[i] = append([]float64(nil), m[i]...)
	}
	for k := range s {
		for i := range s {
			for j := range s {
				if d := s[i][k] + s[k][j]; d < s[i][j] {
					s[i][j] = d
				}
			}
		}
	}
	return s
}
