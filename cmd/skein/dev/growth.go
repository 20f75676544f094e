package dev

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/skein-mesh/skein/coordinator"
)

const (
	// mergedWithin is how long after the last departure there must be one region.
	mergedWithin = 2 * time.Minute
	// staying is the part of Config.RegionMax that stays to the end: less than what
	// makes a region merge.
	staying = 5
)

// A BoundarySummary is what became of the regions' boundaries.
type BoundarySummary struct {
	// Splits and Merges that were carried out, and the most regions at a time.
	Splits      int `json:"splits"`
	Merges      int `json:"merges"`
	RegionsMost int `json:"regions_most"`
	// SplitPauseMsMax is the longest time in which nothing could be decided in either
	// part of a region that was split, MergePauseMsMax in one that was merged.
	SplitPauseMsMax float64 `json:"split_write_pause_ms_max"`
	MergePauseMsMax float64 `json:"merge_write_pause_ms_max"`
	// PacketsLostDepartedMax is that of the subscriber that had lost most of a stream
	// when it left.
	PacketsLostDepartedMax uint64         `json:"packets_lost_departed_max"`
	Moves                  []MovedSummary `json:"moves"`
}

// A MovedSummary is a step of a split or a merger, at a time after the testnet stood.
type MovedSummary struct {
	AtS     float64 `json:"at_s"`
	Region  string  `json:"region"`
	What    string  `json:"what"`
	Detail  string  `json:"detail,omitempty"`
	PauseMs float64 `json:"pause_ms,omitempty"`
}

// A departure is how far members have left.
type departure struct {
	// leaving are those who are still to go, every so often.
	leaving []*peer
	every   time.Duration
	// patience ends the wait for mergers.
	patience time.Time
}

// depart begins the departure of all but a few.
func (t *testnet) depart() *departure {
	var list []*peer
	stay := max(t.cfg.RegionMax/staying-t.cfg.Streams, 2)
	for _, p := range t.members {
		if p.alive && !p.publishes() {
			list = append(list, p)
		}
	}
	list = list[min(stay, len(list)):]
	t.show.line("%5.1fs  %d members leave over %v", time.Since(t.began).Seconds(), len(list), t.cfg.Depart)
	return &departure{leaving: list, every: t.cfg.Depart / time.Duration(max(len(list), 1))}
}

// next lets the next member go, and says when to come again; over is true when nobody
// is left to go and there is one region, or there has not been for long.
func (d *departure) next(ctx context.Context, t *testnet) (wait time.Duration, over bool) {
	if len(d.leaving) > 0 {
		p := d.leaving[0]
		d.leaving = d.leaving[1:]
		if p.alive {
			t.bereaved(p)
			t.retire(p)
		}
		d.patience = time.Now().Add(mergedWithin)
		return d.every, false
	}
	regions, err := t.present(ctx)
	return pollInterval, err == nil && len(regions) == 1 || time.Now().After(d.patience)
}

// bereaved notes what a member had lost when it left.
func (t *testnet) bereaved(p *peer) {
	for _, r := range p.last.Received {
		t.lostDeparted = max(t.lostDeparted, r.Lost)
	}
}

// boundaryMoves are those of all coordinators, by time.
func (t *testnet) boundaryMoves() []coordinator.BoundaryMove {
	var list []coordinator.BoundaryMove
	for _, p := range t.coords {
		list = append(list, p.last.Boundary...)
	}
	slices.SortStableFunc(list, func(a, b coordinator.BoundaryMove) int { return a.At.Compare(b.At) })
	return list
}

// boundaries sums up what became of the boundaries, by what the coordinators say.
func (t *testnet) boundaries() BoundarySummary {
	s := BoundarySummary{PacketsLostDepartedMax: t.lostDeparted, Moves: []MovedSummary{}, RegionsMost: t.cfg.Regions}
	now := t.cfg.Regions
	list := t.boundaryMoves()
	for _, m := range list {
		what, pause := strings.TrimPrefix(m.Kind, "region."), ms(m.Pause)
		switch what {
		case "divided":
			now++
			s.Splits++
			s.SplitPauseMsMax = max(s.SplitPauseMsMax, pause)
		case "began":
			s.SplitPauseMsMax = max(s.SplitPauseMsMax, pause)
		case "merged":
			now--
			s.Merges++
			s.MergePauseMsMax = max(s.MergePauseMsMax, pause)
		}
		s.RegionsMost = max(s.RegionsMost, now)
		s.Moves = append(s.Moves, MovedSummary{seconds(m.At.Sub(t.began)), string(m.Region), what, m.Detail, pause})
	}
	return s
}
