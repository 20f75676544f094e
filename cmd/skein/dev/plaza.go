package dev

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/cmd/skein/walk"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

const (
	// strideEvery is how often walkers move, judgeEvery (in strides) how often it is
	// judged who hears whom.
	strideEvery = time.Second / 30
	judgeEvery  = 6
	// settling is how long a pair must be near, or apart, until it counts as one that
	// should, or should not, hear each other.
	settling = 500 * time.Millisecond
	// warmUp is when the judging begins, and with it the counting of what steady
	// walking costs.
	warmUp = 20 * time.Second
	// giveUp is when a voice that has not come counts as having taken that long.
	giveUp = 10 * time.Second
)

// A plaza moves the walkers of a testnet and judges what they hear by where they
// truly are.
type plaza struct {
	walk    *walk.Walk
	walkers []*walker
	began   time.Time
	stop    chan struct{}
	once    sync.Once
	running sync.WaitGroup
	from    steadiness // owned by the testnet

	mu     sync.Mutex
	places []region.Place
	pairs  [][]pair
	counts hearing
	delays Histogram
}

// A pair is a listener and a speaker.
type pair struct {
	// near is since when the speaker must be heard, apart since when it must not;
	// zero: it need not, or may.
	near, apart time.Time
	within      bool
	// entered is when it came within the radius, until its voice was heard.
	entered time.Time
}

// hearing counts pairs, each time they are judged.
type hearing struct{ should, did, shouldNot, didNot uint64 }

func newPlaza(w *walk.Walk, walkers []*walker) *plaza {
	p := &plaza{walk: w, walkers: walkers, began: time.Now(), stop: make(chan struct{}), places: make([]region.Place, len(walkers))}
	for range walkers {
		p.pairs = append(p.pairs, make([]pair, len(walkers)))
	}
	return p
}

// openPlaza lets the members walk.
func (t *testnet) openPlaza() {
	walkers := make([]*walker, len(t.members))
	for i, p := range t.members {
		if m, ok := p.node.(*memberNode); ok {
			walkers[i] = m.walker
		}
	}
	t.plaza = newPlaza(t.cfg.walk, walkers)
	t.square.Store(t.plaza)
	t.plaza.running.Go(t.plaza.run)
}

// close stops everybody and waits for it.
func (p *plaza) close() {
	p.once.Do(func() { close(p.stop) })
	p.running.Wait()
}

// A steadiness is what had been used up when everybody walked steadily.
type steadiness struct {
	at        time.Time
	control   map[region.MemberID]member.ControlStats
	revisions uint64
}

// steady notes what was used up when the walk became steady.
func (t *testnet) steady(status []inspect.Coordinator) {
	if p := t.plaza; p.from.at.IsZero() && time.Since(p.began) >= warmUp {
		p.from = steadiness{time.Now(), t.control(), revisions(status)}
	}
}

// revisions are all regions' together.
func revisions(status []inspect.Coordinator) (sum uint64) {
	most := make(map[string]uint64)
	for _, s := range status {
		for _, g := range s.Groups {
			most[g.Region] = max(most[g.Region], g.Revision)
		}
	}
	for _, r := range most {
		sum += r
	}
	return sum
}

// walked sums up the walk.
func (t *testnet) walked(ctx context.Context) *PlazaSummary {
	t.plaza.close()
	s := t.plaza.summary()
	if from := t.plaza.from; !from.at.IsZero() {
		took := time.Since(from.at)
		s.SteadyS = seconds(took)
		s.Control = controlOf(from.control, t.control(), took)
		s.LogEntries = ratio(float64(revisions(t.count(ctx)))-float64(from.revisions), float64(len(t.members))*took.Minutes())
	}
	return &s
}

// run moves everybody until the plaza closes.
func (p *plaza) run() {
	ticker := time.NewTicker(strideEvery)
	defer ticker.Stop()
	for stride := 0; ; stride++ {
		select {
		case <-p.stop:
			return
		case <-ticker.C:
			p.stride(time.Now(), stride%judgeEvery == 0)
		}
	}
}

// stride takes all a step further, and looks at all pairs.
func (p *plaza) stride(now time.Time, judge bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	since := now.Sub(p.began)
	for i, w := range p.walkers {
		if w == nil {
			continue
		}
		p.places[i] = p.walk.At(i, since)
		_ = w.presence.Move(p.places[i]) // it is on the ground
	}
	warm := since >= warmUp
	for i, w := range p.walkers {
		if w != nil {
			p.listen(i, w, now, judge, warm)
		}
	}
}

// listen looks at all that one may hear.
func (p *plaza) listen(i int, w *walker, now time.Time, judge, warm bool) {
	var scores, inner []float64
	if judge {
		scores, inner = p.rivals(i)
	}
	for j := range p.walkers {
		x := &p.pairs[i][j]
		if j == i || p.walkers[j] == nil {
			continue
		}
		d := p.places[i].Distance(p.places[j])
		within := d <= interestRadius
		if within && !x.within && !w.ears[j].heard(now) {
			x.entered = now
		}
		x.within = within
		if !judge {
			continue
		}
		must, mustNot := d <= interestRadius, d > interestRadius*region.LeaveFactor
		if len(inner) >= interestMost && d <= interestRadius*region.LeaveFactor {
			score := p.score(i, j)
			must = must && below(scores, score*region.LeaveFactor) < interestMost
			mustNot = below(inner, score/region.LeaveFactor) >= interestMost
		}
		p.enter(x, w, j, must, now, warm)
		since(&x.near, must, now)
		since(&x.apart, mustNot, now)
		if !warm {
			continue
		}
		heard := w.ears[j].heard(now)
		if must && now.Sub(x.near) >= settling+silence {
			count(&p.counts.should, &p.counts.did, heard)
		}
		if mustNot && now.Sub(x.apart) >= settling+silence {
			count(&p.counts.shouldNot, &p.counts.didNot, !heard)
		}
	}
}

// enter measures how long the voice of somebody took who came within the radius. Who
// went, or was crowded out, before that does not count.
func (p *plaza) enter(x *pair, w *walker, j int, must bool, now time.Time, warm bool) {
	if x.entered.IsZero() {
		return
	}
	took := time.Unix(0, w.ears[j].resumed.Load()).Sub(x.entered)
	switch {
	case took >= 0:
	case !must:
		x.entered = time.Time{}
		return
	case now.Sub(x.entered) >= giveUp:
		took = giveUp
	default:
		return
	}
	x.entered = time.Time{}
	if warm {
		p.delays.Add(took)
	}
}

// rivals are the scores of all whom somebody may be hearing, and of those who are
// within the radius, both in order.
func (p *plaza) rivals(i int) (outer, inner []float64) {
	for j := range p.walkers {
		if j == i || p.walkers[j] == nil {
			continue
		}
		d := p.places[i].Distance(p.places[j])
		if d <= interestRadius*region.LeaveFactor {
			outer = append(outer, p.score(i, j))
		}
		if d <= interestRadius {
			inner = append(inner, p.score(i, j))
		}
	}
	slices.Sort(outer)
	slices.Sort(inner)
	return outer, inner
}

// score is how far somebody seems; the least are heard in a crowd.
func (p *plaza) score(i, j int) float64 {
	n := region.Neighbour{Place: p.places[j]}
	return p.places[i].Distance(p.places[j]) * n.Remoteness(p.places[i])
}

// below counts scores less than one.
func below(sorted []float64, score float64) int {
	n, _ := slices.BinarySearch(sorted, score)
	return n
}

func since(at *time.Time, holds bool, now time.Time) {
	switch {
	case !holds:
		*at = time.Time{}
	case at.IsZero():
		*at = now
	}
}

func count(all, good *uint64, ok bool) {
	*all++
	if ok {
		*good++
	}
}

// A PlazaSummary is what walkers heard, by where they truly were and by the packets
// that came.
type PlazaSummary struct {
	// Should and ShouldNot count pairs of a listener and a speaker, five times a second.
	Should    uint64 `json:"pairs_should_hear"`
	ShouldNot uint64 `json:"pairs_should_not_hear"`
	// Did and DidNot are the parts of them that do, and do not.
	Did    float64 `json:"should_and_do"`
	DidNot float64 `json:"should_not_and_do_not"`
	// Entries counts those who came within the radius; the quantiles are of the time
	// from that to the first packet of their voice.
	Entries  uint64  `json:"entries"`
	EntryP50 float64 `json:"entry_to_packet_ms_p50"`
	EntryP95 float64 `json:"entry_to_packet_ms_p95"`
	// LogEntries of the coordinators, per member and minute of steady walking.
	LogEntries float64 `json:"log_entries_per_member_minute"`
	// Control is what control took in steady walking, bytes per member and second.
	Control ControlSummary `json:"control_bytes_per_member_second"`
	// SteadyS is how long that was.
	SteadyS float64 `json:"steady_s"`
}

func (p *plaza) summary() PlazaSummary {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts
	return PlazaSummary{
		Should: c.should, ShouldNot: c.shouldNot, Did: share(c.did, c.should), DidNot: share(c.didNot, c.shouldNot),
		Entries: p.delays.Total, EntryP50: ms(p.delays.Quantile(0.5)), EntryP95: ms(p.delays.Quantile(0.95)),
	}
}

func share(part, all uint64) float64 {
	return math.Round(float64(part)/float64(max(all, 1))*1e5) / 1e5
}
