package planet

import (
	"context"
	"math"
	"slices"

	"github.com/skein-mesh/skein/region"
)

// A Sample is the world at one time.
type Sample struct {
	Seconds   float64 `json:"seconds"`
	Members   int     `json:"members"`
	Regions   int     `json:"regions"`
	Placed    int     `json:"placed"`
	AvgMS     float64 `json:"delay_avg_ms"`
	P95MS     float64 `json:"delay_p95_ms"`
	MaxMS     float64 `json:"delay_max_ms"`
	BoundMS   float64 `json:"bound_avg_ms"`
	DirectMS  float64 `json:"direct_avg_ms"`
	OverBound float64 `json:"delay_over_bound"`
	Stretch   float64 `json:"stretch"`
	DepthAvg  float64 `json:"depth_avg"`
	DepthMax  int     `json:"depth_max"`
	// Load is the share of the members' uplink that is in use, Relays the share of
	// the members that feed somebody.
	Load   float64 `json:"relay_load"`
	Relays float64 `json:"relays"`
	// Repairs and the like since the sample before.
	Orphans   int `json:"orphans"`
	ByStandby int `json:"repaired_by_standby"`
	Refused   int `json:"refused"`
	Splits    int `json:"splits"`
	Merges    int `json:"merges"`
}

// A survey is what one realm tells for a sample. Delays are from its root on.
type survey struct {
	delay, direct, least []float64
	depth                []int
	slots                []int
	edges, relays        int
	mile                 float64
}

func (w *World) survey(ctx context.Context) ([]survey, error) {
	list := make([]survey, len(w.realms))
	err := w.each(ctx, len(w.realms), func(i int) error {
		if w.realms[i] != nil {
			list[i] = w.realms[i].survey()
		}
		return nil
	})
	return list, err
}

func (r *realm) survey() survey {
	s := survey{mile: math.Inf(1)}
	origin := &r.w.realms[0].feeder
	delay := map[region.MemberID]float64{}
	depth := map[region.MemberID]int{}
	feeding := map[region.MemberID]bool{}
	for n := range r.region.Nodes(theStream) {
		if n.Parent == "" {
			continue
		}
		delay[n.Member] = delay[n.Parent] + ms(region.DefaultForward) + ms(n.Hop)
		depth[n.Member] = depth[n.Parent] + 1
		if n.Parent != root {
			s.edges++
			feeding[n.Parent] = true
		}
		p := r.w.person(n.Member)
		if p == nil {
			continue
		}
		s.delay = append(s.delay, delay[n.Member])
		s.depth = append(s.depth, depth[n.Member])
		s.direct = append(s.direct, ms(region.DefaultForward)+r.w.geo.rtt(origin, &p.place)/2)
		s.least = append(s.least, ms(region.DefaultForward)+r.w.geo.least(origin, &p.place)/2)
	}
	s.relays = len(feeding)
	for _, p := range r.byID() {
		s.slots = append(s.slots, int(p.slots))
		if p.slots > 0 {
			s.mile = min(s.mile, float64(p.mile))
		}
	}
	return s
}

// sample looks at the whole world.
func (w *World) sample(ctx context.Context) (Sample, error) {
	list, err := w.survey(ctx)
	if err != nil {
		return Sample{}, err
	}
	s := Sample{Seconds: w.seconds(w.now), Members: w.members()}
	base, floors := w.bases()
	var delays []float64
	var least, depth float64
	var slots []int
	edges, relays, mile := 0, 0, math.Inf(1)
	for i, r := range w.realms {
		if r == nil {
			continue
		}
		s.Regions++
		x := &list[i]
		slots = append(slots, x.slots...)
		mile = min(mile, x.mile)
		edges += x.edges
		relays += x.relays
		if _, connected := base[r]; !connected {
			continue
		}
		for k, d := range x.delay {
			delays = append(delays, base[r]+d)
			least += x.least[k]
			s.DirectMS += x.direct[k]
			depth += float64(floors[r] + x.depth[k])
			s.DepthMax = max(s.DepthMax, floors[r]+x.depth[k])
		}
	}
	s.Placed = len(delays)
	if s.Placed == 0 {
		return s, nil
	}
	n := float64(s.Placed)
	slices.Sort(delays)
	for _, d := range delays {
		s.AvgMS += d / n
	}
	s.P95MS, s.MaxMS = delays[int(0.95*(n-1))], delays[len(delays)-1]
	s.DirectMS /= n
	s.DepthAvg = depth / n
	extra := 0.0
	if !math.IsInf(mile, 1) {
		extra = (leastLevel(slots, s.Placed) - 1) * (mile + ms(region.DefaultForward))
	}
	s.BoundMS = least/n + extra
	s.OverBound, s.Stretch = s.AvgMS/s.BoundMS, s.AvgMS/s.DirectMS
	total := 0
	for _, k := range slots {
		total += k
	}
	if total > 0 {
		s.Load = float64(edges) / float64(total)
	}
	s.Relays = float64(relays) / float64(max(s.Members, 1))
	return s, nil
}

// bases are the delays at which the roots of the connected realms stand, in ms,
// and their depths.
func (w *World) bases() (map[*realm]float64, map[*realm]int) {
	base, floors := map[*realm]float64{w.realms[0]: 0}, map[*realm]int{w.realms[0]: 0}
	for again := true; again; {
		again = false
		for _, r := range w.realms {
			if r == nil {
				continue
			}
			if _, known := base[r]; known {
				continue
			}
			feeder, fed := r.fedBy()
			up, connected := base[r.upstream]
			if !fed || !connected {
				continue
			}
			delay, _ := r.upstream.region.Delay(theStream, feeder)
			base[r] = up + ms(delay)
			floors[r] = floors[r.upstream] + r.upstream.depth(feeder)
			again = true
		}
	}
	return base, floors
}

func (r *realm) depth(m region.MemberID) (d int) {
	for n, ok := r.region.Node(theStream, m); ok && n.Parent != ""; d++ {
		n, ok = r.region.Node(theStream, n.Parent)
	}
	return d
}

// leastLevel is the least mean depth of n members in one tree, whoever is placed
// where: the origin's slots, then the largest that the level above can have.
func leastLevel(slots []int, n int) float64 {
	slices.SortFunc(slots, func(a, b int) int { return b - a })
	sum, left, used := 0.0, n, 0
	room := originSlots
	for level := 1; left > 0 && room > 0; level++ {
		here := min(room, left)
		sum += float64(level * here)
		left -= here
		room = 0
		for _, k := range slots[min(used, len(slots)):min(used+here, len(slots))] {
			room += k
		}
		used += here
	}
	return sum / float64(max(n-left, 1))
}

func ms[T ~int64](d T) float64 { return float64(d) / 1e6 }
