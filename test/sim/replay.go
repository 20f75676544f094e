package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg"
)

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
	// turn numbers the seconds in which the leader tended standbys.
	turn int
}

func (c ChurnConfig) run(rng *rand.Rand) (ChurnRun, error) {
	rtt, err := LoadRTT(c.RTT, c.Members, rng)
	if err != nil {
		return ChurnRun{}, err
	}
	w := &World{RTT: bent(rtt, c.Bend, rng), Forward: c.Hop}
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
		quiet := to - at
		p.pass(&at, to, begin)
		return p.tend(quiet)
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

// tend does what a leader does once a second when nothing is decided: it looks
// for better standbys. It stops early when there seems to be nothing to do.
func (p *replay) tend(seconds float64) error {
	const most, idle = 128, 32
	for tick, vain := 0, 0; tick < min(most, int(seconds)) && vain < idle; tick++ {
		edits := p.region.Tend(theStream, p.turn, p.now, p.rtt)
		p.turn++
		if vain++; len(edits) > 0 {
			vain = 0
		}
		if err := p.apply(edits); err != nil {
			return err
		}
	}
	return nil
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
