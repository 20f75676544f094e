package planet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A churn draws how long members stay.
type churn struct {
	kind string
	mean float64 // seconds; 0 = for ever
	// histories of a trace, in seconds of presence; members take them by chance.
	lengths []float64
}

// newChurn reads "none", "exponential:MEAN", "heavy:MEAN" (Pareto, shape 1.5), or
// the name of a file of stays in the format of the Repository of Availability
// Traces (node, count, then starts and ends in seconds), whose lengths are drawn.
func newChurn(s string) (churn, error) {
	kind, mean, found := strings.Cut(s, ":")
	switch {
	case s == "none":
		return churn{kind: s}, nil
	case found && (kind == "exponential" || kind == "heavy"):
		d, err := time.ParseDuration(mean)
		if err != nil || d < time.Second {
			return churn{}, fmt.Errorf("churn %q: %w: want a mean of at least 1s after the colon", s, region.ErrInvalid)
		}
		return churn{kind: kind, mean: d.Seconds()}, nil
	}
	lengths, err := readStays(s)
	return churn{kind: "trace", lengths: lengths}, err
}

// stay draws how long a member stays that comes now, in seconds.
func (c churn) stay(rng *rand.Rand) float64 {
	switch c.kind {
	case "exponential":
		return c.mean * rng.ExpFloat64()
	case "heavy":
		const shape = 1.5
		return min(c.mean*(shape-1)/shape*math.Pow(1-rng.Float64(), -1/shape), 100*c.mean)
	case "trace":
		return c.lengths[rng.IntN(len(c.lengths))]
	}
	return math.Inf(1)
}

// readStays reads the lengths of all stays of a trace.
func readStays(path string) ([]float64, error) {
	text, err := readText(path)
	if err != nil {
		return nil, fmt.Errorf("churn %q is none, exponential:MEAN, heavy:MEAN or a file: %w", path, err)
	}
	var lengths []float64
	for n, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 4 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		for i := 2; i+1 < len(fields); i += 2 {
			from, err1 := strconv.ParseFloat(fields[i], 64)
			to, err2 := strconv.ParseFloat(fields[i+1], 64)
			if err1 != nil || err2 != nil || to < from {
				return nil, fmt.Errorf("churn %s: line %d: %w: %q to %q is no stay", path, n+1, region.ErrInvalid, fields[i], fields[i+1])
			}
			lengths = append(lengths, max(to-from, 1))
		}
	}
	if len(lengths) == 0 {
		return nil, fmt.Errorf("churn %s: %w: it holds no stay", path, region.ErrInvalid)
	}
	return lengths, nil
}

// A mix is shares of members by the number of children they can feed.
type mix []struct {
	slots int
	upTo  float64 // share of the members with this number or one before
}

// newMix reads "mixed" or a list such as 0:60,2:25,6:10,20:5 (slots:share).
func newMix(s string) (mix, error) {
	if s == "mixed" {
		s = "0:60,2:25,6:10,20:5"
	}
	var m mix
	total := 0.0
	for _, part := range strings.Split(s, ",") {
		slots, share, _ := strings.Cut(part, ":")
		n, err1 := strconv.Atoi(slots)
		f, err2 := strconv.ParseFloat(share, 64)
		if err1 != nil || err2 != nil || n < 0 || n > 1000 || !(f > 0) {
			return nil, fmt.Errorf("uplinks %q: %w: want mixed, or slots:share,slots:share", s, region.ErrInvalid)
		}
		total += f
		m = append(m, struct {
			slots int
			upTo  float64
		}{n, total})
	}
	for i := range m {
		m[i].upTo /= total
	}
	return m, nil
}

func (m mix) draw(rng *rand.Rand) int {
	at := rng.Float64()
	for _, x := range m {
		if at < x.upTo {
			return x.slots
		}
	}
	return m[len(m)-1].slots
}
