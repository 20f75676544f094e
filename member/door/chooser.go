package door

import "time"

// A chooser decides which layer a viewer gets. It is pure. An estimate of what the
// path carries does not grow far beyond what is being sent. So going up is tried, less
// and less often where it fails; down it goes when the estimate falls below what
// the layer needs, or below what it had reached.
type chooser struct {
	layer int
	// since is when layer was chosen; patience how long it must have done well
	// before a larger one is tried.
	since    time.Time
	patience time.Duration
	trying   bool
	// reached is the best estimate since then.
	reached int
}

const (
	firstPatience = 2 * time.Second
	lastPatience  = time.Minute
	// trial is how long a larger layer must do well to count as carried.
	trial = 5 * time.Second
	// tolerable is the share of packets a viewer may lose.
	tolerable = 0.08
	// spare is kept of the estimate for sound and repair.
	spare = 0.9
)

// A condition is what a viewer's path and the stream are like now.
type condition struct {
	// rates of the layers as they flow, bit/s; 0: does not flow.
	rates []int
	// estimate of what the path carries, bit/s.
	estimate int
	// loss is the share of packets that the viewer reports as lost.
	loss float64
}

// choose returns the layer the viewer should get at now.
func (c *chooser) choose(now time.Time, s condition) int {
	if c.patience == 0 {
		c.patience, c.since = firstPatience, now
		c.layer = s.largest(len(s.rates)-1, s.estimate)
		return c.layer
	}
	if c.layer >= len(s.rates) || s.rates[c.layer] == 0 {
		c.move(s.largest(len(s.rates)-1, s.estimate), now)
		return c.layer
	}
	settled := now.Sub(c.since)
	c.reached = max(c.reached, s.estimate)
	if float64(s.estimate) < spare*float64(min(c.reached, s.rates[c.layer])) || s.loss > tolerable {
		down := s.largest(c.layer-1, s.estimate)
		if down == c.layer || settled < time.Second {
			return c.layer
		}
		if c.trying {
			c.patience = min(2*c.patience, lastPatience)
		}
		c.trying = false
		c.move(down, now)
		return c.layer
	}
	if c.trying && settled >= trial {
		c.trying, c.patience = false, firstPatience
	}
	if up := s.next(c.layer); up != c.layer && settled >= c.patience && s.loss < tolerable/4 {
		c.trying = true
		c.move(up, now)
	}
	return c.layer
}

func (c *chooser) move(layer int, now time.Time) { c.layer, c.since, c.reached = layer, now, 0 }

// largest is the largest flowing layer up to top that the estimate carries, or else
// the smallest that flows.
func (s condition) largest(top, estimate int) int {
	best := -1
	for i := range s.rates {
		if s.rates[i] > 0 && (best < 0 || i <= top && float64(s.rates[i]) <= spare*float64(estimate)) {
			best = i
		}
	}
	return max(best, 0)
}

// next is the smallest flowing layer above this one, or this one.
func (s condition) next(layer int) int {
	for i := layer + 1; i < len(s.rates); i++ {
		if s.rates[i] > 0 {
			return i
		}
	}
	return layer
}
