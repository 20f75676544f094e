package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"

	"github.com/skein-mesh/skein/cmd/skein/latency/matrix"
)

// A World is a set of members with the time between them and what they can send.
type World struct {
	// RTT in ms, symmetric; [i][j] between members i and j.
	RTT [][]float64
	// Slots is how many children each member can feed.
	Slots []int
	// Forward is the forwarding time of every member, in ms.
	Forward float64
}

// Size counts the members.
func (w *World) Size() int { return len(w.RTT) }

// Edge is what member b receives later than a if a feeds it, in ms.
func (w *World) Edge(a, b int) float64 { return w.Forward + w.RTT[a][b]/2 }

// Names of the generated worlds.
const (
	Line     = "line"
	Grid     = "grid"
	Clusters = "clusters"
	PowerLaw = "powerlaw"
)

// LoadRTT reads a matrix file, or generates a world of n members by name. A file
// with more than n members is cut to n of them by rng's choice; n = 0 = all.
func LoadRTT(source string, n int, rng *rand.Rand) ([][]float64, error) {
	switch source {
	case Line, Grid, Clusters, PowerLaw:
		if n < 2 {
			n = 256
		}
		return generate(source, n, rng), nil
	}
	all, err := matrix.ReadMean(source, math.MaxFloat64)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i][i] = 0
	}
	if n <= 0 || n >= len(all) {
		n = len(all)
	}
	return submatrix(all, rng.Perm(len(all))[:n]), nil
}

// bent makes another world of one: every RTT is multiplied by a factor of its own,
// e to the power of a normal deviate with this spread. 0 changes nothing.
func bent(rtt [][]float64, spread float64, rng *rand.Rand) [][]float64 {
	if spread == 0 {
		return rtt
	}
	for i := range rtt {
		for j := range i {
			rtt[i][j] *= math.Exp(spread * rng.NormFloat64())
			rtt[j][i] = rtt[i][j]
		}
	}
	return rtt
}

// mostBent is the largest spread that is accepted: a third of the RTTs are then
// less than a half or more than twice what they were, and no tree is near a bound.
const mostBent = 0.7

func submatrix(all [][]float64, pick []int) [][]float64 {
	rtt := make([][]float64, len(pick))
	for i, a := range pick {
		rtt[i] = make([]float64, len(pick))
		for j, b := range pick {
			rtt[i][j] = all[a][b]
		}
	}
	return rtt
}

// generate makes positions on a map in ms plus an access line per member, and
// bends distances a little so that triangles are violated as in real networks.
func generate(kind string, n int, rng *rand.Rand) [][]float64 {
	x, y, access := make([]float64, n), make([]float64, n), make([]float64, n)
	side := math.Ceil(math.Sqrt(float64(n)))
	centres := make([][2]float64, max(3, n/40))
	for i := range centres {
		centres[i] = [2]float64{200 * rng.Float64(), 120 * rng.Float64()}
	}
	for i := range n {
		switch kind {
		case Line:
			x[i] = 200 * float64(i) / float64(n)
		case Grid:
			x[i], y[i] = 200*math.Mod(float64(i), side)/side, 200*math.Floor(float64(i)/side)/side
		case Clusters:
			c := centres[rng.IntN(len(centres))]
			x[i], y[i], access[i] = c[0]+3*rng.NormFloat64(), c[1]+3*rng.NormFloat64(), 1+4*rng.Float64()
		case PowerLaw:
			// A few large cities, many small places, slow access lines.
			c := centres[int(float64(len(centres))*math.Pow(rng.Float64(), 3))]
			spread := 2 * math.Pow(rng.Float64(), -0.7)
			x[i], y[i] = c[0]+spread*rng.NormFloat64(), c[1]+spread*rng.NormFloat64()
			access[i] = 0.5 * math.Pow(max(rng.Float64(), 1e-3), -0.6)
		}
	}
	bend := 0.0
	if kind == Clusters || kind == PowerLaw {
		bend = 0.25
	}
	rtt := make([][]float64, n)
	for i := range rtt {
		rtt[i] = make([]float64, n)
		for j := range i {
			d := math.Hypot(x[i]-x[j], y[i]-y[j]) * math.Exp(bend*rng.NormFloat64())
			rtt[i][j] = max(d+access[i]+access[j], 0.1)
			rtt[j][i] = rtt[i][j]
		}
	}
	return rtt
}

// Slots draws how many children each of n members can feed: "2", "4", "8" (any
// number), "mixed", or a file with one number per line. Members below origins
// publish; the mix gives each of them 4.
func Slots(mix string, n, origins int, rng *rand.Rand) ([]int, error) {
	slots := make([]int, n)
	if each, err := strconv.Atoi(mix); err == nil {
		if each < 1 {
			return nil, fmt.Errorf("slots %q: at least 1 is needed", mix)
		}
		for i := range slots {
			slots[i] = each
		}
		return slots, nil
	}
	if mix != "mixed" {
		return readSlots(mix, n)
	}
	// Exact shares, so that worlds differ in who can relay and not in how many.
	for i, v := range rng.Perm(n) {
		switch share := (float64(i) + 0.5) / float64(n); {
		case share < 0.60:
			slots[v] = 0
		case share < 0.85:
			slots[v] = 2
		case share < 0.95:
			slots[v] = 6
		default:
			slots[v] = 20
		}
	}
	for i := range min(origins, n) {
		slots[i] = 4
	}
	return slots, nil
}

func readSlots(path string, n int) ([]int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("slots: %w", err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < n {
		return nil, fmt.Errorf("slots %s: %d numbers for %d members", path, len(fields), n)
	}
	slots := make([]int, n)
	for i := range slots {
		if slots[i], err = strconv.Atoi(fields[i]); err != nil || slots[i] < 0 {
			return nil, fmt.Errorf("slots %s: %q is no number of children", path, fields[i])
		}
	}
	return slots, nil
}
