package dev

import (
	"math"
	"time"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// A ControlSummary is by what it is for.
type ControlSummary struct {
	Coordinators float64 `json:"coordinators"`
	Gossip       float64 `json:"gossip"`
	Links        float64 `json:"links"`
	Total        float64 `json:"total"`
	// What links take is, in turn, what link.ControlBytes says.
	Heartbeats float64 `json:"links_heartbeats"`
	Pings      float64 `json:"links_pings"`
	Feedback   float64 `json:"links_feedback"`
	Beliefs    float64 `json:"links_beliefs"`
	Haves      float64 `json:"links_haves"`
	Draws      float64 `json:"links_draws"`
	Paths      float64 `json:"links_paths"`
	Tips       float64 `json:"links_tips"`
	Repair     float64 `json:"links_repair"`
	Voices     float64 `json:"links_voices"`
	// Serving is what streams need: draws, paths, tips, repair, voices.
	Serving float64 `json:"links_serving"`
	// What is exchanged with coordinators is, in turn, what member.SessionBytes says, and
	// the rest: admissions, and
	// what transport adds.
	Reports float64 `json:"coordinators_reports"`
	Roles   float64 `json:"coordinators_roles"`
	Around  float64 `json:"coordinators_around"`
	Rest    float64 `json:"coordinators_rest"`
}

// controlOf is what control has cost since an earlier report.
func controlOf(before, now map[region.MemberID]member.ControlStats, span time.Duration) ControlSummary {
	var was, is member.ControlStats
	members := 0
	for id, c := range before {
		if later, ok := now[id]; ok {
			was.Add(c)
			is.Add(later)
			members++
		}
	}
	per := func(of func(member.ControlStats) uint64) float64 {
		return math.Round(10*float64(of(is)-of(was))/float64(max(members, 1))/max(span.Seconds(), 1)) / 10
	}
	c := ControlSummary{
		Coordinators: per(func(c member.ControlStats) uint64 { return c.Coordinators }),
		Gossip:       per(func(c member.ControlStats) uint64 { return c.Gossip }),
		Links:        per(func(c member.ControlStats) uint64 { return c.Links.Sum() }),
		Total:        per(member.ControlStats.Sum),
		Heartbeats:   per(func(c member.ControlStats) uint64 { return c.Links.Heartbeats }),
		Pings:        per(func(c member.ControlStats) uint64 { return c.Links.Pings }),
		Feedback:     per(func(c member.ControlStats) uint64 { return c.Links.Feedback }),
		Beliefs:      per(func(c member.ControlStats) uint64 { return c.Links.Beliefs }),
		Haves:        per(func(c member.ControlStats) uint64 { return c.Links.Haves }),
		Draws:        per(func(c member.ControlStats) uint64 { return c.Links.Draws }),
		Paths:        per(func(c member.ControlStats) uint64 { return c.Links.Paths }),
		Tips:         per(func(c member.ControlStats) uint64 { return c.Links.Tips }),
		Repair:       per(func(c member.ControlStats) uint64 { return c.Links.Repair }),
		Voices:       per(func(c member.ControlStats) uint64 { return c.Links.Voices }),
		Serving:      per(func(c member.ControlStats) uint64 { return c.Links.Serving() }),
		Reports:      per(func(c member.ControlStats) uint64 { return c.Session.Reports }),
		Roles:        per(func(c member.ControlStats) uint64 { return c.Session.Roles }),
		Around:       per(func(c member.ControlStats) uint64 { return c.Session.Around }),
	}
	c.Rest = max(0, math.Round(10*(c.Coordinators-c.Reports-c.Roles-c.Around))/10)
	return c
}

// A reading is what control had cost at a time.
type reading struct {
	at   time.Time
	cost map[region.MemberID]member.ControlStats
}

const (
	// readEvery and lately: control is read so often, to tell what it took lately.
	readEvery = 10 * time.Second
	lately    = time.Minute
)

// read keeps the readings of the last minute.
func (t *testnet) read(now time.Time) {
	if n := len(t.readings); n > 0 && now.Sub(t.readings[n-1].at) < readEvery {
		return
	}
	if len(t.readings) > 1 && now.Sub(t.readings[1].at) >= lately {
		t.readings = t.readings[1:]
	}
	t.readings = append(t.readings, reading{now, t.control()})
}

func (t *testnet) control() map[region.MemberID]member.ControlStats {
	out := make(map[region.MemberID]member.ControlStats)
	for _, p := range t.members {
		if p.alive {
			out[p.last.ID] = p.last.Control
		}
	}
	return out
}
