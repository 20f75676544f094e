package dev

import (
	"math"
	"time"
)

// A crowd is what the page draws.
type crowd struct {
	Width  float64  `json:"width"`
	Height float64  `json:"height"`
	People []person `json:"people"`
	// Hears and Sees are pairs of a listener and whom it hears, a viewer and whom it sees.
	Hears [][2]int `json:"hears"`
	Sees  [][2]int `json:"sees"`
}

type person struct {
	X      float64 `json:"x"`
	Y      float64 `json:"y"`
	Facing float64 `json:"facing"`
	Film   bool    `json:"film"`
}

func (p *plaza) crowd(now time.Time) crowd {
	p.mu.Lock()
	defer p.mu.Unlock()
	short := func(v float64) float64 { return math.Round(v*100) / 100 }
	c := crowd{Width: p.walk.Width, Height: p.walk.Height, People: []person{}, Hears: [][2]int{}, Sees: [][2]int{}}
	for i, w := range p.walkers {
		at := p.places[i]
		c.People = append(c.People, person{short(at.X), short(at.Y), short(at.Facing), i%filmEvery == 0})
		for j := range p.walkers {
			if w != nil && w.ears[j].heard(now) {
				c.Hears = append(c.Hears, [2]int{i, j})
			}
			if w != nil && w.eyes[j].heard(now) {
				c.Sees = append(c.Sees, [2]int{i, j})
			}
		}
	}
	return c
}
