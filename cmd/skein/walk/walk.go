package walk

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A Walk says where everybody is. It is safe for concurrent use.
type Walk struct {
	paths  []path
	period time.Duration
	// Width and Height of the ground, in metres, which begins at the origin.
	Width, Height float64
}

// A path is the way of one: straight and even from stop to stop, and from the last
// one, at the end of the period, to the first.
type path []stop

type stop struct {
	at   time.Duration
	x, y float64
	// facing, if turned is set; else it faces where it goes.
	facing float64
	turned bool
}

// Names of the walks that need no file.
const (
	Random  = "random"
	Stadium = "stadium"
)

// New returns the walk of so many by name: Random, Stadium, or the file of a trace.
func New(name string, people int) (*Walk, error) {
	switch {
	case people < 1:
		return nil, fmt.Errorf("walk of %d people: %w", people, region.ErrInvalid)
	case name == Random:
		return random(people), nil
	case name == Stadium:
		return stadium(people), nil
	}
	return traced(name, people)
}

// People is how many walk.
func (w *Walk) People() int { return len(w.paths) }

// At is where one is at a time since the beginning.
func (w *Walk) At(one int, t time.Duration) region.Place {
	p := w.paths[one]
	t %= w.period
	next := sort.Search(len(p), func(i int) bool { return p[i].at > t })
	from, to := p[(next+len(p)-1)%len(p)], p[next%len(p)]
	span, gone := to.at-from.at, t-from.at
	if span <= 0 {
		span += w.period
	}
	if gone < 0 {
		gone += w.period
	}
	part := 0.0
	if span > 0 {
		part = float64(gone) / float64(span)
	}
	place := region.Place{X: from.x + part*(to.x-from.x), Y: from.y + part*(to.y-from.y), Facing: from.facing}
	if !from.turned {
		place.Facing = math.Atan2(to.y-from.y, to.x-from.x)
	}
	return place
}

// roomEach is the ground for each who walks at random, in square metres: eight
// others are within 30 m on average.
const roomEach = math.Pi * 30 * 30 / 9

// random lets everybody walk from one place to the next at 1 to 3 m/s.
func random(people int) *Walk {
	const legs = 40
	rng := rand.New(rand.NewPCG(uint64(people), 1))
	side := math.Sqrt(roomEach * float64(people))
	w := &Walk{Width: side, Height: side}
	for range people {
		var p path
		var t time.Duration
		x, y := side*rng.Float64(), side*rng.Float64()
		home := [2]float64{x, y}
		for range legs {
			p = append(p, stop{at: t, x: x, y: y})
			nx, ny := side*rng.Float64(), side*rng.Float64()
			t += lasts(math.Hypot(nx-x, ny-y), 1+2*rng.Float64())
			x, y = nx, ny
		}
		p = append(p, stop{at: t, x: x, y: y})
		w.period = max(w.period, t+lasts(math.Hypot(home[0]-x, home[1]-y), 2))
		w.paths = append(w.paths, p)
	}
	return w
}

func lasts(metres, speed float64) time.Duration {
	return time.Duration(metres / speed * float64(time.Second))
}

// stadium seats everybody around a field, looking at it; every tenth walks around.
func stadium(people int) *Walk {
	const (
		seat, row     = 1.0, 1.2 // metres
		long, across  = 30.0, 20.0
		steps, period = 120, 4 * time.Minute
	)
	w := &Walk{period: period}
	ring, at := 0, 0.0
	for i := range people {
		rx, ry := long+row*float64(ring), across+row*float64(ring)
		round := math.Pi * (rx + ry) // roughly
		angle := 2 * math.Pi * at / round
		var p path
		if i%10 == 9 {
			for s := range steps {
				a := angle + 2*math.Pi*float64(s)/steps
				p = append(p, stop{at: period * time.Duration(s) / steps, x: (rx + 2) * math.Cos(a), y: (ry + 2) * math.Sin(a)})
			}
		} else {
			p = path{{x: rx * math.Cos(angle), y: ry * math.Sin(angle), facing: angle + math.Pi, turned: true}}
		}
		w.paths = append(w.paths, p)
		if at += seat; at > round-seat {
			ring, at = ring+1, 0
		}
	}
	edge := long + row*float64(ring) + 4
	for _, p := range w.paths {
		for i := range p {
			p[i].x, p[i].y = p[i].x+edge, p[i].y+edge
		}
	}
	w.Width, w.Height = 2*edge, 2*edge
	return w
}
