package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg"
)

// A ChurnConfig says who comes and goes, and how the trees are kept good.
type ChurnConfig struct {
	// RTT, Members, Slots and Hop as in TreeConfig.
	RTT     string
	Members int
	Slots   string
	Hop     float64
	// Trace is a file of stays, or exponential, heavy, flash, mass10, mass20, mass30.
	Trace string
	// Hours of the trace that are played.
	Hours float64
	// Policy: skein, frozen (only repairs), or hourly-rebuild.
	Policy string
	// MinGain is what the one improving move after an event must save, as a
	// fraction of the total delay.
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
		MinGain: 0.0025, PlanEvery: time.Hour, Sample: 30 * time.Minute, Runs: 2, Seed: 1}
}

// Policies lists what ChurnConfig.Policy knows.
func Policies() []string { return []string{"skein", "frozen", "hourly-rebuild"} }

func (c ChurnConfig) validate() error {
	switch {
	case c.Members < 0 || c.Members == 1 || c.Members > region.MaxMembers:
		return fmt.Errorf("members %d: want 2 to %d", c.Members, region.MaxMembers)
	case c.Hop < 0 || c.Hop > 1000:
		return fmt.Errorf("hop %g ms: want 0 to 1000", c.Hop)
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

// theStream is the one that everybody in a replay draws.
const theStream = region.StreamID("stream")

// A replay is one run: member 0 publishes and stays, the others come and go.
type replay struct {
	*live
	c       ChurnConfig
	rng     *rand.Rand
	run     ChurnRun
	present []bool
	// waiting members have no place: there was no room.
	waiting []int
	forced  int
	// memberSeconds sums up the members present over time.
	memberSeconds float64
}

func (c ChurnConfig) run(rng *rand.Rand) (ChurnRun, error) {
	rtt, err := LoadRTT(c.RTT, c.Members, rng)
	if err != nil {
		return ChurnRun{}, err
	}
	w := &World{RTT: rtt, Forward: c.Hop}
	if w.Slots, err = Slots(c.Slots, len(rtt), 1, rng); err != nil {
		return ChurnRun{}, err
	}
	stays, err := LoadTrace(c.Trace, w.Size(), c.Hours, rng)
	if err != nil {
		return ChurnRun{}, err
	}
	p := &replay{live: w.live(region.DefaultPolicy(), Omniscience{w}), c: c, rng: rng, present: make([]bool, w.Size())}
	p.minGain = c.MinGain
	start := time.Now()
	if err := p.play(eventsOf(stays, c.Hours*3600)); err != nil {
		return ChurnRun{}, err
	}
	p.run.CPUMS = float64(time.Since(start)) / float64(time.Millisecond)
	p.finish()
	return p.run, nil
}

func (p *replay) play(events []event) error {
	if err := p.join(0, 1); err != nil {
		return err
	}
	if err := p.publish(theStream, 0); err != nil {
		return err
	}
	p.present[0] = true
	begin, at := p.now, 0.0
	// advance lets time pass up to an event, with samples and rounds on the way.
	sample, round := p.c.Sample.Seconds(), p.pause()
	nextSample, nextRound := sample, round
	advance := func(to float64) error {
		for round > 0 && nextRound <= to || nextSample <= to {
			if round > 0 && nextRound < nextSample {
				p.pass(&at, nextRound, begin)
				if err := p.reorganise(); err != nil {
					return err
				}
				nextRound += round
				continue
			}
			p.pass(&at, nextSample, begin)
			p.sample(at)
			nextSample += sample
		}
		p.pass(&at, to, begin)
		return nil
	}
	for _, e := range events {
		if err := advance(e.at); err != nil {
			return err
		}
		if err := p.handle(e); err != nil {
			return fmt.Errorf("after %.0f s: %w", e.at, err)
		}
	}
	return advance(p.c.Hours * 3600)
}

func (p *replay) pass(at *float64, to float64, begin time.Time) {
	n := 0
	for _, here := range p.present {
		if here {
			n++
		}
	}
	p.memberSeconds += float64(n) * (to - *at)
	*at = to
	p.now = begin.Add(time.Duration(to * float64(time.Second)))
}

// pause is the time between two rounds of reorganisation, in s; 0 = none.
func (p *replay) pause() float64 {
	switch p.c.Policy {
	case "skein":
		return p.c.PlanEvery.Seconds()
	case "hourly-rebuild":
		return 3600
	}
	return 0
}

func (p *replay) reorganise() error {
	if p.c.Policy == "hourly-rebuild" {
		return p.rebuild()
	}
	b := reorg.DefaultBudget()
	b.MinGain = p.c.MinGain
	_, _, err := p.plan(b, p.rng)
	return err
}

func (p *replay) handle(e event) error {
	var err error
	if e.joining {
		p.run.JoinsPerHour++
		v := e.members[0]
		p.present[v] = true
		if err = p.join(v, 1); err == nil {
			err = p.place(v)
		}
	} else {
		p.run.LeavesPerHour += float64(len(e.members))
		err = p.fail(e.members)
	}
	if err != nil {
		return err
	}
	for _, v := range slices.Clone(p.waiting) {
		p.waiting = slices.DeleteFunc(p.waiting, func(w int) bool { return w == v })
		if err := p.place(v); err != nil {
			return err
		}
	}
	if p.c.Policy == "skein" {
		return p.improve(theStream)
	}
	return nil
}

// place admits v, or lets it wait for room.
func (p *replay) place(v int) error {
	d, err := p.admit(theStream, v)
	if err == nil && !d.OK {
		p.waiting = append(p.waiting, v)
	}
	return err
}

// sample compares the tree with the bound of those present.
func (p *replay) sample(at float64) {
	var set []int
	for v, here := range p.present {
		if _, ok := p.region.Node(theStream, memberID(v)); ok && here {
			set = append(set, v)
		}
	}
	if len(set) < 3 {
		return
	}
	sum := 0.0
	delays, _ := p.w.delays(p.tree(theStream).parent)
	for _, v := range set {
		sum += delays[v]
	}
	avg := sum / float64(len(set)-1)
	bound := p.w.boundOf(0, set, 1)
	p.run.Samples = append(p.run.Samples, ChurnSample{
		Hour: at / 3600, Members: len(set), AvgMS: avg, AvgOverBound: avg / bound.Avg,
	})
}

func (p *replay) finish() {
	r := &p.run
	for _, s := range r.Samples {
		r.AvgOverBound += s.AvgOverBound / float64(len(r.Samples))
		r.WorstOverBound = max(r.WorstOverBound, s.AvgOverBound)
	}
	hours, memberHours := p.c.Hours, p.memberSeconds/3600
	r.MembersMean = memberHours / hours
	r.JoinsPerHour /= hours
	r.LeavesPerHour /= hours
	voluntary := float64(p.relocations - p.forced)
	r.VoluntaryPerHour, r.ForcedPerHour = voluntary/hours, float64(p.forced)/hours
	r.VoluntaryPerMemberHour, r.ForcedPerMemberHour = voluntary/memberHours, float64(p.forced)/memberHours
	r.Orphans.CutOffForGood = len(p.waiting)
	r.Orphans.share()
}
