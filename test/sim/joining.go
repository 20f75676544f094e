package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg"
)

// Pace of a measured world: a member joins every second, gossip goes on for ten
// minutes after the last, then the leader plans, a few rounds, since every edge
// it tries is measured by that.
const (
	secondsPerJoin = 1
	secondsToPlan  = 600
	planningRounds = 3
)

// runLive lets members join one by one and improve, then plans.
func (c TreeConfig) runLive(w *World, bounds []Bounds, rng *rand.Rand, results map[string]Result) error {
	var rtt region.RTT = Omniscience{w}
	if c.Knowledge == "measured" {
		m, err := NewMeasurements(w, rng)
		if err != nil {
			return err
		}
		rtt = m
	}
	l := w.live(region.DelayOnly(), rtt)
	start := time.Now()
	streams := make([]region.StreamID, len(bounds))
	for s := range streams {
		streams[s] = region.StreamID(fmt.Sprintf("stream-%02d", s))
	}
	if err := l.joinAll(streams, rng); err != nil {
		return err
	}
	if slices.Contains(c.Algorithms, online) {
		results[online] = w.judgeAll(l.trees(streams), bounds, time.Since(start))
	}
	if !slices.Contains(c.Algorithms, planned) {
		return nil
	}
	if l.measured != nil {
		l.measured.Gossip(secondsToPlan)
	}
	l.relocations = 0
	start = time.Now()
	for range planningRounds {
		done, _, err := l.plan(reorg.Unlimited(), rng)
		if err != nil {
			return err
		}
		if done == 0 || l.measured == nil && len(streams) == 1 {
			break
		}
	}
	results[planned] = w.judgeAll(l.trees(streams), bounds, time.Since(start))
	return nil
}

func (l *live) trees(streams []region.StreamID) []outcome {
	trees := make([]outcome, len(streams))
	for s, stream := range streams {
		trees[s] = l.tree(stream)
	}
	return trees
}

// joinAll lets the origins publish and all others join in random order.
func (l *live) joinAll(streams []region.StreamID, rng *rand.Rand) error {
	for s, stream := range streams {
		if err := l.join(s, len(streams)); err != nil {
			return err
		}
		if err := l.publish(stream, s); err != nil {
			return err
		}
	}
	waiting := make(map[[2]int]bool)
	for _, v := range rng.Perm(l.w.Size()) {
		if v >= len(streams) {
			if err := l.join(v, len(streams)); err != nil {
				return err
			}
		}
		if l.measured != nil {
			l.measured.Gossip(secondsPerJoin)
		}
		l.now = l.now.Add(secondsPerJoin * time.Second)
		for s, stream := range streams {
			if v == s {
				continue
			}
			if err := l.enter(stream, v, s, waiting); err != nil {
				return err
			}
		}
	}
	return l.retry(streams, waiting)
}

// enter admits v, or lets it wait if it is refused.
func (l *live) enter(stream region.StreamID, v, s int, waiting map[[2]int]bool) error {
	d, err := l.admit(stream, v)
	if err != nil {
		return err
	}
	if !d.OK {
		waiting[[2]int{v, s}] = true
		return nil
	}
	return l.improve(stream)
}

// retry admits those who were refused for want of room.
func (l *live) retry(streams []region.StreamID, waiting map[[2]int]bool) error {
	for v := range l.w.Size() {
		for s, stream := range streams {
			if !waiting[[2]int{v, s}] {
				continue
			}
			d, err := l.admit(stream, v)
			if err != nil {
				return err
			}
			if !d.OK {
				return fmt.Errorf("member %d is refused a place in %s: %v", v, stream, d.Refusals)
			}
			if err := l.improve(stream); err != nil {
				return err
			}
		}
	}
	return nil
}
