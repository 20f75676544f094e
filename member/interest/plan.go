package interest

import (
	"cmp"
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
)

const (
	// Approach is how many times as far as their rules reach members look out for
	// others, and keep their audio ready.
	Approach = 2.0
	// linksWithin is how many times as far others are worth a link: one takes a fraction of a
	// second to build, and every one is work for as long as it stands.
	linksWithin = 1.5
	// placesWithin is how many times as far exact places begin to be heard, and until
	// placesLeave times that: beyond, rough ones do. It is a little more than
	// region.LeaveFactor, within which they decide; they take as much work as voices do.
	placesWithin = 1.3
	placesLeave  = 1.1
	// readyMost bounds those whose streams are kept ready, or places heard, nearest
	// first.
	readyMost = 64
	// thumbnail is how high a small picture is, as a share of the full height.
	thumbnail = 0.25
)

// Priorities of streams where a link carries less than all of them. The video of
// whoever matters most has firstVideo, the next one, two, four ... less by one, two, three:
// who of them comes seventh and who eighth changes all the time, and matters to nobody.
const (
	audioPriority = 250
	dataPriority  = 240
	firstVideo    = 200
)

// A State says what is wanted of a stream.
type State uint8

// The states, from the least to the most.
const (
	Ready   State = iota + 1 // a place in its tree, and nothing drawn
	Heeded                   // a whereabouts stream that is drawn
	Present                  // for the application
)

// A Want is what is wanted of one stream.
type Want struct {
	Who      region.PresenceID // empty if it is wanted by its name
	Kind     region.Kind       // 0 if it is wanted by its name
	State    State
	Detail   region.Detail
	Distance float64
	// Size of the picture as a share of its full height; 0: all layers.
	Size     float64
	Priority uint8
	// Places: the stream tells whereabouts and is not the application's.
	Places bool
}

// A Planner says what somebody wants of all the streams around, by rules. It is for
// one goroutine at a time.
type Planner struct {
	crowd    *Crowd
	rules    []Rule
	choosers []region.Chooser
	wants    map[region.StreamID]Want
	hearing  map[region.PresenceID]bool // whose places are heard
	chosen   []Choice
	index    map[region.PresenceID]int
	near     []proximity
}

// A Choice is somebody who matters, and for what.
type Choice struct {
	region.Interest
	kinds uint8 // a bit per region.Kind
}

type proximity struct {
	*Person
	distance float64
}

// NewPlanner returns one without rules: nothing is wanted.
func NewPlanner(c *Crowd) *Planner {
	return &Planner{
		crowd: c, wants: make(map[region.StreamID]Want), hearing: make(map[region.PresenceID]bool),
		index: make(map[region.PresenceID]int),
	}
}

// MaxRules bounds the rules of one who stands in a space.
const MaxRules = 16

// Set changes the rules. They must fit the space: the cells within Approach times
// their reach are at most region.MaxCells.
func (p *Planner) Set(space region.Space, rules []Rule) error {
	if len(rules) > MaxRules {
		return fmt.Errorf("interest: %d rules, at most %d: %w", len(rules), MaxRules, region.ErrLimit)
	}
	for _, r := range rules {
		if r == nil {
			return fmt.Errorf("interest: rule: %w: nil", region.ErrInvalid)
		}
		if err := r.check(); err != nil {
			return err
		}
	}
	edge := space.WithDefaults().Edge
	// At the corner of cells most of them are touched.
	if _, err := region.CellsWithin(region.Place{X: edge / 2, Y: edge / 2}, Approach*reachOf(rules)+edge/2, edge); err != nil {
		return fmt.Errorf("interest: a reach of %g m in cells of %g m: %w; widen the space's Edge", reachOf(rules), edge, err)
	}
	p.rules, p.choosers = slices.Clone(rules), make([]region.Chooser, len(rules))
	return nil
}

func reachOf(rules []Rule) (reach float64) {
	for _, r := range rules {
		reach = max(reach, r.reach())
	}
	return reach
}

// Outlook is how far around somebody has to be told of others, in metres.
func (p *Planner) Outlook() float64 { return Approach * reachOf(p.rules) }

// Plan returns what is wanted now by somebody at self, by stream. It is valid until
// the next call.
func (p *Planner) Plan(self region.Place, now time.Time) map[region.StreamID]Want {
	clear(p.wants)
	p.near = p.near[:0]
	if len(p.rules) == 0 {
		return p.wants
	}
	all := p.crowd.Neighbours(now)
	p.choose(self, all)
	p.approach(self, now)
	for rank, c := range p.chosen {
		who := p.crowd.Person(c.Who)
		if who == nil {
			continue // the application made it up
		}
		for _, s := range who.Carried {
			if c.kinds>>s.Kind&1 != 0 {
				p.wants[s.Stream] = present(c.Interest, s.Kind, rank)
			}
		}
	}
	for _, r := range p.rules {
		for _, s := range r.streams() {
			p.wants[s] = Want{State: Present, Detail: region.Watch, Priority: dataPriority}
		}
	}
	return p.wants
}

// choose merges what the rules say.
func (p *Planner) choose(self region.Place, all []region.Neighbour) {
	clear(p.index)
	p.chosen = p.chosen[:0]
	for i, r := range p.rules {
		kinds := uint8(1<<region.Audio | 1<<region.Video)
		if list := r.kinds(); list != nil {
			kinds = 0
			for _, k := range list {
				kinds |= 1 << k
			}
		}
		for _, c := range r.choose(&p.choosers[i], self, all) {
			if at, known := p.index[c.Who]; known {
				p.chosen[at].kinds |= kinds
				p.chosen[at].Detail = max(p.chosen[at].Detail, c.Detail)
				continue
			}
			p.index[c.Who] = len(p.chosen)
			p.chosen = append(p.chosen, Choice{c, kinds})
		}
	}
}

// present is what is wanted of a stream of somebody who matters.
func present(i region.Interest, kind region.Kind, rank int) Want {
	w := Want{Who: i.Who, Kind: kind, State: Present, Detail: i.Detail, Distance: i.Distance}
	switch {
	case kind == region.Audio:
		w.Priority = audioPriority
	case kind == region.Data:
		w.Priority = dataPriority
	case i.Detail == region.Hear:
		w.State = Ready
	default:
		w.Priority = uint8(firstVideo - bits.Len(uint(rank)))
		w.Size = 1
		if i.Detail == region.Glance {
			w.Size = thumbnail
		}
	}
	return w
}

// approach wants the whereabouts of those who are near or coming, and has the
// streams kept ready of those who do not matter yet.
func (p *Planner) approach(self region.Place, now time.Time) {
	reach := reachOf(p.rules)
	p.near = p.near[:0]
	for _, who := range p.crowd.people {
		d := self.Distance(who.place(now))
		if p.hearing[who.Who] {
			d /= placesLeave
		}
		if d <= Approach*reach {
			p.near = append(p.near, proximity{who, d})
		}
	}
	slices.SortFunc(p.near, func(a, b proximity) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.Who, b.Who))
	})
	p.near = p.near[:min(len(p.near), readyMost)]
	clear(p.hearing)
	for _, who := range p.near {
		state := Ready
		if who.distance <= placesWithin*reach {
			state = Heeded
			p.hearing[who.Who] = true
		}
		if who.Places != "" {
			p.wants[who.Places] = Want{Who: who.Who, Kind: region.Data, State: state, Distance: who.distance, Places: true, Priority: dataPriority}
		}
		for _, s := range who.Carried {
			if s.Kind == region.Audio && p.mayWant(s.Kind) {
				p.wants[s.Stream] = Want{Who: who.Who, Kind: s.Kind, State: Ready, Distance: who.distance}
			}
		}
	}
}

// Near yields those who are near enough to matter soon, the nearest first, as of the last
// Plan.
func (p *Planner) Near() iter.Seq[region.PresenceID] {
	within := linksWithin * reachOf(p.rules)
	return func(yield func(region.PresenceID) bool) {
		for _, who := range p.near {
			if who.distance > within || !yield(who.Who) {
				return
			}
		}
	}
}

// mayWant says whether any rule wants streams of a kind.
func (p *Planner) mayWant(kind region.Kind) bool {
	for _, r := range p.rules {
		if list := r.kinds(); list == nil && kind != region.Data || slices.Contains(list, kind) {
			return true
		}
	}
	return false
}

// Chosen lists those who matter, those first that matter most, as of the last Plan.
func (p *Planner) Chosen() []Choice { return p.chosen }
