package latency

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/latency/matrix"
)

// Limits of a matrix.
const (
	MaxSites = matrix.MaxSites
	MaxRTT   = 10 * time.Second
)

// ErrMatrix is wrapped by every complaint about the content of a matrix.
var ErrMatrix = errors.New("not a matrix of round-trip times in ms")

// A Matrix holds the round-trip times between sites. It is immutable.
type Matrix struct {
	sites int
	rtt   []time.Duration
}

// Sites is the number of rows.
func (m *Matrix) Sites() int { return m.sites }

// RTT between the sites a and b. Site numbers beyond the matrix start over, so
// that there may be more members than sites. Members of one site are at the
// distance that the matrix has on its diagonal, which is usually 0.
func (m *Matrix) RTT(a, b int) time.Duration {
	return m.rtt[(a%m.sites)*m.sites+b%m.sites]
}

// ReadFile reads a matrix from a file, see Read.
func ReadFile(path string) (*Matrix, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// Read parses one row per line, numbers in ms separated by spaces or tabs.
// The matrix must be square, its numbers finite, not negative and at most
// MaxRTT. Empty lines and lines that begin with # are skipped. Errors wrap
// ErrMatrix and name row and column.
func Read(r io.Reader) (*Matrix, error) {
	rows, err := matrix.Read(r, float64(MaxRTT/time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMatrix, err)
	}
	m := &Matrix{sites: len(rows), rtt: make([]time.Duration, 0, len(rows)*len(rows))}
	for _, row := range rows {
		for _, ms := range row {
			m.rtt = append(m.rtt, time.Duration(ms*float64(time.Millisecond)))
		}
	}
	return m, nil
}

// Synthetic generates a geography: sites in clusters (cities) on a plane that is
// a third of the earth wide, with an access delay each. The same seed gives
// the same world. RTTs lie between about 2 and 250 ms.
func Synthetic(sites int, seed uint64) *Matrix {
	const (
		worldMs  = 170 // RTT across the plane along one axis
		cityMs   = 4   // spread of a city
		accessMs = 4   // mean access delay
	)
	rnd := rand.New(rand.NewPCG(seed, 0))
	type place struct{ x, y, access float64 }
	cities := make([]place, max(1, min(12, sites/3)))
	for i := range cities {
		cities[i] = place{x: rnd.Float64() * worldMs, y: rnd.Float64() * worldMs / 2}
	}
	at := make([]place, sites)
	for i := range at {
		c := cities[rnd.IntN(len(cities))]
		at[i] = place{c.x + rnd.NormFloat64()*cityMs, c.y + rnd.NormFloat64()*cityMs, 0.5 + rnd.ExpFloat64()*accessMs}
	}
	m := &Matrix{sites: sites, rtt: make([]time.Duration, sites*sites)}
	for i := range at {
		for j := range i {
			ms := math.Hypot(at[i].x-at[j].x, at[i].y-at[j].y) + at[i].access + at[j].access
			rtt := time.Duration(ms * float64(time.Millisecond))
			m.rtt[i*sites+j], m.rtt[j*sites+i] = rtt, rtt
		}
	}
	return m
}
