package sim

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A Stay is the time that one member takes part, in seconds from the beginning.
type Stay struct {
	Member   int
	From, To float64
}

// Names of the generated traces. Each keeps about a third of the members present.
const (
	Exponential = "exponential"
	HeavyTailed = "heavy"
	FlashCrowd  = "flash"
	MassLeave   = "mass" // followed by a percentage: mass10, mass20, mass30
)

// LoadTrace reads stays from a file in the format of the Repository of
// Availability Traces (node, count, then start and end times in seconds; gzip
// if the name ends in .gz), or generates them. Members 1 to n-1 get one history
// each; only the first hours are kept.
func LoadTrace(source string, n int, hours float64, rng *rand.Rand) ([]Stay, error) {
	horizon := hours * 3600
	percent, massive := strings.CutPrefix(source, MassLeave)
	switch {
	case source == Exponential:
		return alternate(n, horizon, rng, func(mean float64) float64 { return rng.ExpFloat64() * mean }), nil
	case source == HeavyTailed:
		return alternate(n, horizon, rng, func(mean float64) float64 { return pareto(mean, rng) }), nil
	case source == FlashCrowd:
		return crowd(n, horizon, rng), nil
	case massive && !strings.ContainsAny(source, "./"):
		share, err := strconv.Atoi(percent)
		if err != nil || share < 1 || share > 90 {
			return nil, fmt.Errorf("trace %q: want mass10, mass20, ... up to mass90", source)
		}
		return exodus(n, horizon, float64(share)/100, rng), nil
	}
	histories, err := readTrace(source)
	if err != nil {
		return nil, err
	}
	return assign(histories, n, horizon, rng), nil
}

// alternate makes stays of 1 h and absences of 2 h on average.
func alternate(n int, horizon float64, rng *rand.Rand, draw func(mean float64) float64) []Stay {
	var stays []Stay
	for v := 1; v < n; v++ {
		at := 0.0
		if rng.Float64() > 1.0/3 {
			at = draw(7200)
		}
		for at < horizon {
			end := at + draw(3600)
			stays = append(stays, Stay{v, at, end})
			at = end + draw(7200)
		}
	}
	return stays
}

// pareto draws from a heavy tail of that mean (shape 1.5), cut at 100 means.
func pareto(mean float64, rng *rand.Rand) float64 {
	const shape = 1.5
	return min(mean*(shape-1)/shape*math.Pow(1-rng.Float64(), -1/shape), 100*mean)
}

// crowd lets a tenth of the members be there from the start and all others come
// within five minutes after an hour; they leave again as their patience ends.
func crowd(n int, horizon float64, rng *rand.Rand) []Stay {
	var stays []Stay
	for v := 1; v < n; v++ {
		if rng.IntN(10) == 0 {
			stays = append(stays, Stay{v, 60 * rng.Float64(), horizon + 1})
			continue
		}
		from := 3600 + 300*rng.Float64()
		stays = append(stays, Stay{v, from, from + pareto(5400, rng)})
	}
	return stays
}

// exodus lets all members come in the first half of the time, and a share of
// them leave at the same instant.
func exodus(n int, horizon, share float64, rng *rand.Rand) []Stay {
	var stays []Stay
	for v := 1; v < n; v++ {
		to := horizon + 1
		if rng.Float64() < share {
			to = horizon * 0.6
		}
		stays = append(stays, Stay{v, rng.Float64() * horizon / 2, to})
	}
	return stays
}

// granularity is how coarsely traces were sampled, in s.
const granularity = 1800

// assign gives each member one of the histories and blurs the sampling.
func assign(histories [][]Stay, n int, horizon float64, rng *rand.Rand) []Stay {
	var stays []Stay
	order := rng.Perm(len(histories))
	for v := 1; v < n; v++ {
		last := -1.0
		for _, s := range histories[order[v%len(order)]] {
			from := max(s.From+granularity*rng.Float64(), last+1)
			to := max(s.To+granularity*rng.Float64(), from+1)
			if from < horizon {
				stays = append(stays, Stay{v, from, to})
			}
			last = to
		}
	}
	return stays
}

func readTrace(path string) ([][]Stay, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	defer file.Close()
	var text io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		if text, err = gzip.NewReader(file); err != nil {
			return nil, fmt.Errorf("trace %s: %w", path, err)
		}
	}
	var histories [][]Stay
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<22)
	for number := 1; lines.Scan(); number++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		history, err := parseHistory(fields)
		if err != nil {
			return nil, fmt.Errorf("trace %s, line %d: %w", path, number, err)
		}
		histories = append(histories, history)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("trace %s: %w", path, err)
	}
	if len(histories) == 0 {
		return nil, fmt.Errorf("trace %s is empty", path)
	}
	return histories, nil
}

func parseHistory(fields []string) ([]Stay, error) {
	if len(fields) < 2 {
		return nil, fmt.Errorf("want node, count, and start and end of each stay")
	}
	count, err := strconv.Atoi(fields[1])
	if err != nil || len(fields) != 2+2*count {
		return nil, fmt.Errorf("%s intervals, but %d times", fields[1], len(fields)-2)
	}
	history := make([]Stay, count)
	for i := range history {
		from, err1 := strconv.ParseFloat(fields[2+2*i], 64)
		to, err2 := strconv.ParseFloat(fields[3+2*i], 64)
		if err := cmp.Or(err1, err2); err != nil || to < from || from < 0 {
			return nil, fmt.Errorf("interval %d: %s to %s", i+1, fields[2+2*i], fields[3+2*i])
		}
		history[i] = Stay{From: from, To: to}
	}
	return history, nil
}

// An event is members coming or going at the same time.
type event struct {
	at      float64
	joining bool
	members []int
}

// eventsOf orders stays in time; those who leave at one instant leave together.
func eventsOf(stays []Stay, horizon float64) []event {
	var events []event
	for _, s := range stays {
		events = append(events, event{s.From, true, []int{s.Member}})
		if s.To < horizon {
			events = append(events, event{s.To, false, []int{s.Member}})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int {
		if a.joining != b.joining && a.at == b.at {
			if a.joining {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.members[0], b.members[0]))
	})
	merged := events[:0]
	for _, e := range events {
		if n := len(merged); n > 0 && !e.joining && !merged[n-1].joining && merged[n-1].at == e.at {
			merged[n-1].members = append(merged[n-1].members, e.members...)
			continue
		}
		merged = append(merged, e)
	}
	return merged
}
