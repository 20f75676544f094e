package sim

import (
	"slices"
	"time"
)

// A TreeRun is one origin of one world, with what each algorithm made of it.
type TreeRun struct {
	N          int               `json:"n"`
	BoundAvg   float64           `json:"bound_avg_ms"`
	BoundMax   float64           `json:"bound_max_ms"`
	BoundRelay float64           `json:"bound_relay_avg_ms"`
	DirectAvg  float64           `json:"direct_avg_ms"`
	Algorithms map[string]Result `json:"algorithms"`
	world      *World
}

// A TreeReport holds the means over all runs, and the runs.
type TreeReport struct {
	TreeRun
	Runs []TreeRun `json:"runs"`
}

// judgeAll is the mean over the trees of several streams.
func (w *World) judgeAll(trees []outcome, bounds []Bounds, cpu time.Duration) Result {
	results := make([]Result, len(trees))
	for s, o := range trees {
		results[s] = w.judge(o, s, bounds[s])
	}
	r := meanResult(results)
	r.CPUMS = float64(cpu) / float64(time.Millisecond)
	return r
}

func meanResult(results []Result) Result {
	n := float64(len(results))
	mean := Result{parents: results[0].parents}
	for _, r := range results {
		mean.AvgOverBound += r.AvgOverBound / n
		mean.MaxOverBound += r.MaxOverBound / n
		mean.AvgMS += r.AvgMS / n
		mean.P95MS += r.P95MS / n
		mean.MaxMS += r.MaxMS / n
		mean.DepthMax += r.DepthMax / n
		mean.Moves += r.Moves / n
		mean.CPUMS += r.CPUMS / n
		mean.delays = append(mean.delays, r.delays...)
	}
	slices.Sort(mean.delays)
	return mean
}

func meanRun(runs []TreeRun, names []string) TreeRun {
	n := float64(len(runs))
	mean := TreeRun{N: runs[0].N, Algorithms: make(map[string]Result), world: runs[0].world}
	for _, r := range runs {
		mean.BoundAvg += r.BoundAvg / n
		mean.BoundMax += r.BoundMax / n
		mean.BoundRelay += r.BoundRelay / n
		mean.DirectAvg += r.DirectAvg / n
	}
	for _, name := range names {
		results := make([]Result, len(runs))
		for i, r := range runs {
			results[i] = r.Algorithms[name]
		}
		mean.Algorithms[name] = meanResult(results)
	}
	return mean
}
