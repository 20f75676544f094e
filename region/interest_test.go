package region

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func names(list []Interest) (s string) {
	for _, i := range list {
		s += fmt.Sprintf("%s/%d ", i.Who, i.Detail)
	}
	return s
}

func TestInterestFollowsDistance(t *testing.T) {
	rule := Nearest{Radius: 30, Max: 10}
	all := []Neighbour{
		{Who: "far", Place: Place{X: 29}}, {Who: "beyond", Place: Place{X: 31}},
		{Who: "middle", Place: Place{Y: 15}}, {Who: "near", Place: Place{X: -5}}, {Who: "above", Place: Place{Z: 40}},
	}
	if got := names(rule.Choose(Place{}, nil, all)); got != "near/2 middle/1 far/0 " {
		t.Error(got)
	}
}

func TestInterestIsLostLaterThanItIsWon(t *testing.T) {
	rule := Nearest{Radius: 30, Max: 10}
	at := func(x float64, held []Interest) []Interest {
		return rule.Choose(Place{}, held, []Neighbour{{Who: "a", Place: Place{X: x}}})
	}
	var held []Interest
	for _, step := range []struct {
		x    float64
		want string
	}{
		{31, ""}, {30, "a/0 "}, {37, "a/0 "}, {38, ""}, {37, ""},
		{9, "a/2 "}, {12, "a/2 "}, {13, "a/1 "}, {12, "a/1 "}, {24, "a/1 "}, {26, "a/0 "}, {24, "a/0 "},
	} {
		held = at(step.x, held)
		if got := names(held); got != step.want {
			t.Errorf("at %v m: %q, want %q", step.x, got, step.want)
		}
	}
}

// In a crowd of those equally far, attention decides.
func TestInterestInACrowd(t *testing.T) {
	rule := Nearest{Radius: 30, Max: 1}
	plain := Neighbour{Who: "a", Place: Place{Y: 10}}
	for name, better := range map[string]Neighbour{
		"ahead":      {Who: "b", Place: Place{X: 10}},
		"loud":       {Who: "b", Place: Place{Y: -10}, Level: 0.5},
		"looks at":   {Who: "b", Place: Place{Y: -10}, Regards: true},
		"is nearer":  {Who: "b", Place: Place{Y: -9}},
		"no matter*": {Who: "b", Place: Place{X: -7}}, // nearer, though behind
	} {
		if got := names(rule.Choose(Place{}, nil, []Neighbour{plain, better})); got[0] != 'b' {
			t.Errorf("%s: %s", name, got)
		}
	}
	held := []Interest{{Who: "a", Detail: Watch}}
	slightly := Neighbour{Who: "b", Place: Place{Y: -9}}
	if got := names(rule.Choose(Place{}, held, []Neighbour{plain, slightly})); got[0] != 'a' {
		t.Errorf("a little better: %s", got)
	}
	much := Neighbour{Who: "b", Place: Place{Y: -7}}
	if got := names(rule.Choose(Place{}, held, []Neighbour{plain, much})); got[0] != 'b' {
		t.Errorf("much better: %s", got)
	}
}

// Random crowds: never more than Max, nobody twice, nobody out of reach, nobody
// left out who is better than somebody chosen; asked again, the same.
func TestInterestInRandomCrowds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		rule := Nearest{Radius: 5 + 40*rng.Float64(), Max: 1 + rng.IntN(12)}
		var all []Neighbour
		for i := range rng.IntN(60) {
			all = append(all, Neighbour{
				Who: PresenceID(fmt.Sprintf("m%02d", i)), Level: rng.Float64(), Regards: rng.IntN(5) == 0,
				Place: Place{X: 100 * rng.Float64(), Y: 100 * rng.Float64(), Facing: 7 * rng.Float64()},
			})
		}
		self := Place{X: 50, Y: 50, Facing: 7 * rng.Float64()}
		got := rule.Choose(self, nil, all)
		in := 0
		for _, b := range all {
			near := self.Distance(b.Place) <= rule.Radius
			if near {
				in++
			}
			chosen := slices.ContainsFunc(got, func(i Interest) bool { return i.Who == b.Who })
			if chosen && !near {
				t.Fatalf("%s is %.1f m away, radius %.1f", b.Who, self.Distance(b.Place), rule.Radius)
			}
		}
		if len(got) != min(in, rule.Max) {
			t.Fatalf("%d of %d chosen, at most %d", len(got), in, rule.Max)
		}
		if again := rule.Choose(self, got, append(all, all...)); !slices.Equal(again, got) {
			t.Fatalf("asked again: %s, was %s", names(again), names(got))
		}
	}
}

func TestCells(t *testing.T) {
	if c := CellOf(Place{X: -1, Y: 64}, 64); c != (Cell{-1, 1}) {
		t.Error(c)
	}
	here := Cell{0, 0}
	for _, step := range []struct {
		x    float64
		want Cell
	}{{63, here}, {70, here}, {-6, here}, {71, Cell{1, 0}}, {-7, Cell{-1, 0}}} {
		if got := NextCell(here, Place{X: step.x, Y: 5}, 64); got != step.want {
			t.Errorf("from the cell at the origin to %v: %v, want %v", step.x, got, step.want)
		}
	}
	if _, err := CellsWithin(Place{}, 1000, 64); !errors.Is(err, ErrLimit) {
		t.Errorf("too many cells: %v", err)
	}
}

// Whoever is within the radius counts in one of the cells, however they came there.
func TestCellsWithinMissesNobody(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		edge, radius := 1+100*rng.Float64(), 60*rng.Float64()
		self := Place{X: 500 * (rng.Float64() - 0.5), Y: 500 * (rng.Float64() - 0.5)}
		cells, err := CellsWithin(self, radius, edge)
		if err != nil {
			continue
		}
		angle, d := 2*math.Pi*rng.Float64(), radius*rng.Float64()
		other := Place{X: self.X + d*math.Cos(angle), Y: self.Y + d*math.Sin(angle)}
		old := CellOf(Place{X: other.X + edge*(rng.Float64()-0.5), Y: other.Y + edge*(rng.Float64()-0.5)}, edge)
		if c := NextCell(old, other, edge); !slices.Contains(cells, c) {
			t.Fatalf("%v counts in %v, which is not among %v of %v within %.1f", other, c, cells, self, radius)
		}
		if len(cells) > 0 && cells[0] != CellOf(self, edge) {
			t.Fatalf("the own cell does not come first: %v", cells)
		}
	}
}

func TestPlacesThatAreNowhere(t *testing.T) {
	for _, p := range []Place{{X: math.NaN()}, {Y: math.Inf(1)}, {Z: 2e9}, {Facing: math.NaN()}} {
		if err := p.Check(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	if err := (Place{X: 1e6, Y: -3, Facing: 100}).Check(); err != nil {
		t.Error(err)
	}
}

func BenchmarkChoose(b *testing.B) {
	rule, self, all := Nearest{Radius: 30, Max: 12}, Place{X: 32, Y: 32}, plaza()
	var chooser Chooser
	b.ReportAllocs()
	for b.Loop() {
		chooser.Choose(rule, self, all)
	}
}

func plaza() (all []Neighbour) {
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 300 {
		all = append(all, Neighbour{Who: PresenceID(memberID(i)), Place: Place{X: 64 * rng.Float64(), Y: 64 * rng.Float64()}})
	}
	return all
}

func TestChoosingAllocatesNothing(t *testing.T) {
	rule, self, all := Nearest{Radius: 30, Max: 12}, Place{X: 32, Y: 32}, plaza()
	var chooser Chooser
	chooser.Choose(rule, self, all)
	chooser.Choose(rule, self, all)
	if n := testing.AllocsPerRun(100, func() { chooser.Choose(rule, self, all) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A chooser that remembers chooses as one that is told what was held.
func TestChooserRemembers(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	rule, all := Nearest{Radius: 20, Max: 6}, plaza()
	var chooser Chooser
	var held []Interest
	self := Place{X: 32, Y: 32}
	for range 200 {
		self.X, self.Y = self.X+4*rng.Float64()-2, self.Y+4*rng.Float64()-2
		held = rule.Choose(self, held, all)
		if got := chooser.Choose(rule, self, all); !slices.Equal(got, held) {
			t.Fatalf("%s, want %s", names(got), names(held))
		}
	}
}
