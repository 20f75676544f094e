package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A ChurnConfig says who comes and goes, and how the trees are kept good.
type ChurnConfig struct {
	// RTT, Members, Slots, Hop and Bend as in TreeConfig.
	RTT     string
	Members int
	Slots   string
	Hop     float64
	Bend    float64
	// Trace is a file of stays, or exponential, heavy, flash, mass10, mass20, mass30.
	Trace string
	// Hours of the trace that are played.
	Hours float64
	// Policy: skein, frozen (only repairs), or hourly-rebuild.
	Policy string
	// MinGain is what the one improving move after an event must save per parent
	// that it changes, as a fraction of the total cost.
	MinGain float64
	// PlanEvery is the pause between two rounds of planning; 0 = none.
	PlanEvery time.Duration
	// Sample is how often the tree is compared with its bound.
	Sample time.Duration
	Runs   int
	Seed   uint64
}

// DefaultChurnConfig plays a week of exponential stays.
func DefaultChurnConfig() ChurnConfig {
	return ChurnConfig{RTT: Clusters, Slots: "mixed", Trace: Exponential, Hours: 24, Policy: "skein",
		MinGain: 0.00125, Sample: 30 * time.Minute, Runs: 2, Seed: 1}
}

// Policies lists what ChurnConfig.Policy knows.
func Policies() []string { return []string{"skein", "frozen", "hourly-rebuild"} }

func (c ChurnConfig) validate() error {
	switch {
	case c.Members < 0 || c.Members == 1 || c.Members > region.MaxMembers:
		return fmt.Errorf("members %d: want 2 to %d", c.Members, region.MaxMembers)
	case c.Hop < 0 || c.Hop > 1000:
		return fmt.Errorf("hop %g ms: want 0 to 1000", c.Hop)
	case c.Bend < 0 || c.Bend > mostBent:
		return fmt.Errorf("bend %g: want 0 to %g", c.Bend, mostBent)
	case c.Hours <= 0 || c.Hours > 10000:
		return fmt.Errorf("hours %g: want more than 0, at most 10000", c.Hours)
	case c.Runs < 1 || c.Runs > 1000:
		return fmt.Errorf("runs %d: want 1 to 1000", c.Runs)
	case c.MinGain < 0 || c.MinGain >= 1:
		return fmt.Errorf("least gain %g: want 0 to 1", c.MinGain)
	case c.Sample < time.Second || c.PlanEvery != 0 && c.PlanEvery < time.Second:
		return fmt.Errorf("sample and plan intervals: want at least 1s")
	case !slices.Contains(Policies(), c.Policy):
		return fmt.Errorf("policy %q: want one of %v", c.Policy, Policies())
	}
	return nil
}

// A ChurnSample is the state of the tree at one time.
type ChurnSample struct {
	Hour         float64 `json:"hour"`
	Members      int     `json:"members"`
	AvgMS        float64 `json:"avg_ms"`
	AvgOverBound float64 `json:"avg_over_bound"`
}

// Orphans counts how those whose parent left were healed.
type Orphans struct {
	Total       int `json:"total"`
	Standby1    int `json:"standby_1"`
	Standby2    int `json:"standby_2"`
	StandbyMore int `json:"standby_3_plus"`
	Coordinator int `json:"coordinator"`
	// CutOff were without a parent after all that; CutOffForGood still were at
	// the end.
	CutOff        int `json:"cut_off"`
	CutOffForGood int `json:"cut_off_for_good"`
	// RefusedLoops counts standbys that turned out to hang below the orphan,
	// RefusedFull those without room, DeadStandbys those that had failed as well.
	RefusedLoops int `json:"refused_loops"`
	RefusedFull  int `json:"refused_full"`
	DeadStandbys int `json:"dead_standbys"`
	// FirstTwo is the share that the first two standbys healed.
	FirstTwo float64 `json:"first_two_share"`
}

// A ChurnRun is what happened in one run, or the mean over several.
type ChurnRun struct {
	MembersMean    float64 `json:"members_mean"`
	JoinsPerHour   float64 `json:"joins_per_hour"`
	LeavesPerHour  float64 `json:"leaves_per_hour"`
	AvgOverBound   float64 `json:"avg_over_bound"`
	WorstOverBound float64 `json:"worst_over_bound"`
	// Parent changes: voluntary ones made a tree better, forced ones repaired it.
	VoluntaryPerHour       float64       `json:"voluntary_changes_per_hour"`
	ForcedPerHour          float64       `json:"forced_changes_per_hour"`
	VoluntaryPerMemberHour float64       `json:"voluntary_changes_per_member_hour"`
	ForcedPerMemberHour    float64       `json:"forced_changes_per_member_hour"`
	Orphans                Orphans       `json:"orphans"`
	CPUMS                  float64       `json:"cpu_ms"`
	Samples                []ChurnSample `json:"samples,omitempty"`
}

// A ChurnReport holds the means over all runs, and the runs.
type ChurnReport struct {
	Policy string `json:"policy"`
	Trace  string `json:"trace"`
	ChurnRun
	Runs []ChurnRun `json:"runs"`
}

// ReplayChurn plays what c asks for.
func ReplayChurn(c ChurnConfig) (*ChurnReport, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	report := &ChurnReport{Policy: c.Policy, Trace: c.Trace}
	for k := range c.Runs {
		run, err := c.run(rand.New(rand.NewPCG(c.Seed, uint64(k))))
		if err != nil {
			return nil, fmt.Errorf("run %d, seed %d: %w", k+1, c.Seed, err)
		}
		report.Runs = append(report.Runs, run)
	}
	report.ChurnRun = meanChurn(report.Runs)
	return report, nil
}

func meanChurn(runs []ChurnRun) ChurnRun {
	var mean ChurnRun
	n := float64(len(runs))
	for _, r := range runs {
		mean.MembersMean += r.MembersMean / n
		mean.JoinsPerHour += r.JoinsPerHour / n
		mean.LeavesPerHour += r.LeavesPerHour / n
		mean.AvgOverBound += r.AvgOverBound / n
		mean.WorstOverBound = max(mean.WorstOverBound, r.WorstOverBound)
		mean.VoluntaryPerHour += r.VoluntaryPerHour / n
		mean.ForcedPerHour += r.ForcedPerHour / n
		mean.VoluntaryPerMemberHour += r.VoluntaryPerMemberHour / n
		mean.ForcedPerMemberHour += r.ForcedPerMemberHour / n
		mean.CPUMS += r.CPUMS / n
		o, a := &mean.Orphans, r.Orphans
		o.Total += a.Total
		o.Standby1 += a.Standby1
		o.Standby2 += a.Standby2
		o.StandbyMore += a.StandbyMore
		o.Coordinator += a.Coordinator
		o.CutOff += a.CutOff
		o.CutOffForGood += a.CutOffForGood
		o.RefusedLoops += a.RefusedLoops
		o.RefusedFull += a.RefusedFull
		o.DeadStandbys += a.DeadStandbys
	}
	mean.Orphans.share()
	return mean
}

func (o *Orphans) share() {
	if o.Total > 0 {
		o.FirstTwo = float64(o.Standby1+o.Standby2) / float64(o.Total)
	}
}
