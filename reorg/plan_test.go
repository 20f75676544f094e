package reorg_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg"
)

// Carried out in order, the moves of a round bring the trees to the cost that it
// promised, and no move makes them worse.
func TestARoundKeepsItsPromise(t *testing.T) {
	for _, c := range []struct {
		name               string
		n, streams, layers int
		slots              func(int) int
		budget             reorg.Budget
	}{
		{"bounded", 80, 1, 1, four, reorg.DefaultBudget()},
		{"as much as pays", 80, 1, 1, four, reorg.Budget{}},
		{"mixed slots", 100, 1, 1, mixed, reorg.Budget{}},
		{"one slot each", 40, 1, 1, func(int) int { return 1 }, reorg.Budget{}},
		{"several streams", 40, 4, 1, mixed, reorg.Budget{}},
		{"layers", 40, 2, 3, four, reorg.Budget{}},
		{"annealed", 60, 1, 1, mixed, reorg.Budget{Shakes: 200}},
		{"annealed, with layers", 40, 1, 3, four, reorg.Budget{Shakes: 200}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(3) {
				rng := rand.New(rand.NewPCG(seed, 1))
				w := grow(t, c.n, c.streams, c.layers, c.slots, rng)
				round := reorg.Plan(w.Region, w.rtt, c.budget, epoch, rng)
				if len(round.Moves) == 0 || round.After >= round.Before {
					t.Fatalf("seed %d: %d moves from %v to %v: random trees can be better", seed, len(round.Moves), round.Before, round.After)
				}
				if c.budget.Moves > 0 && len(round.Moves) > c.budget.Moves {
					t.Errorf("seed %d: %d moves, %d were allowed", seed, len(round.Moves), c.budget.Moves)
				}
				near(t, "cost before", w.cost(), round.Before)
				least := time.Duration(c.budget.MinGain * float64(round.Before))
				for i, m := range round.Moves {
					before := w.cost()
					if err := carryOut(w.Region, w.rtt, m.Steps); err != nil {
						t.Fatalf("seed %d: move %d, %v of %d steps: %v", seed, i, m.Kind, len(m.Steps), err)
					}
					near(t, "gain", before-w.cost(), m.Gain)
					if m.Gain <= 0 || m.Gain < least {
						t.Errorf("seed %d: move %d gains %v, want at least %v", seed, i, m.Gain, least)
					}
				}
				near(t, "cost after", w.cost(), round.After)
			}
		})
	}
}

// near compares costs up to the microseconds to which a region rounds each hop.
func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if d := got - want; d < -2*time.Millisecond || d > 2*time.Millisecond {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// A move needs nothing but the moves it names: whoever objects to the others
// does not keep it from happening.
func TestEveryMoveStandsAlone(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 2))
		w := grow(t, 60, 2, 1, []func(int) int{four, mixed}[seed%2], rng)
		round := reorg.Plan(w.Region, w.rtt, reorg.Budget{Shakes: int(seed%3) * 100}, epoch, rng)
		alone := 0
		for i, m := range round.Moves {
			r := w.Clone()
			for _, k := range m.Needs {
				if k >= i {
					t.Fatalf("move %d needs %d, which comes later", i, k)
				}
				if err := carryOut(r, w.rtt, round.Moves[k].Steps); err != nil {
					t.Fatalf("seed %d: move %d, needed by %d: %v", seed, k, i, err)
				}
			}
			if err := carryOut(r, w.rtt, m.Steps); err != nil {
				t.Errorf("seed %d: move %d after %v: %v", seed, i, m.Needs, err)
			}
			if len(m.Needs) == 0 {
				alone++
			}
		}
		if alone == 0 {
			t.Errorf("seed %d: none of %d moves is possible by itself", seed, len(round.Moves))
		}
	}
}

func TestPlansDependOnNothingButTheirArguments(t *testing.T) {
	plan := func() reorg.Round {
		w := grow(t, 50, 2, 1, mixed, rand.New(rand.NewPCG(1, 1)))
		before := w.Hash()
		round := reorg.Plan(w.Region, w.rtt, reorg.Budget{Shakes: 50}, epoch, rand.New(rand.NewPCG(2, 2)))
		if w.Hash() != before {
			t.Error("planning changed the region")
		}
		return round
	}
	a, b := plan(), plan()
	if a.After != b.After || len(a.Moves) != len(b.Moves) {
		t.Fatalf("%d moves to %v, then %d moves to %v", len(a.Moves), a.After, len(b.Moves), b.After)
	}
}

// Who is on the way somewhere is left alone until it has arrived.
func TestNodesInTransitionStay(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	w := grow(t, 40, 1, 1, four, rng)
	var edits []region.Edit
	moving := make(map[region.MemberID]bool)
	for n := range w.Nodes("s00") {
		if n.Parent != "" && len(moving) < 20 {
			n.State, n.Deadline = region.Reserved, epoch.Add(time.Second)
			edits = append(edits, region.SetNode{Stream: "s00", Node: n})
			moving[n.Member] = true
		}
	}
	if err := w.Apply(2, region.Change{Time: epoch, Edits: edits}); err != nil {
		t.Fatal(err)
	}
	for _, b := range []reorg.Budget{{}, {Shakes: 100}} {
		round := reorg.Plan(w.Region, w.rtt, b, epoch, rng)
		if len(round.Moves) == 0 {
			t.Error("the others could be moved, but are not")
		}
		for _, m := range round.Moves {
			for _, s := range m.Steps {
				if moving[s.Member] {
					t.Errorf("%v moves %s, which is on its way", m.Kind, s.Member)
				}
			}
		}
	}
}

// A short-lived ancestor costs what the policy says, even if it is the nearest.
func TestHazardsWeigh(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	w := grow(t, 60, 1, 1, four, rng)
	depth := func(weight time.Duration) (sum int) {
		v := world{w.Clone(), w.rtt}
		v.Policy.HazardWeight = weight
		for _, m := range reorg.Plan(v.Region, v.rtt, reorg.Budget{Shakes: 100}, epoch, rand.New(rand.NewPCG(1, 1))).Moves {
			if err := carryOut(v.Region, v.rtt, m.Steps); err != nil {
				t.Fatal(err)
			}
		}
		for n := range v.Nodes("s00") {
			sum += len(v.Path("s00", n.Member)) - 1
		}
		return sum
	}
	if delayOnly, wary := depth(0), depth(1000*time.Hour); wary >= delayOnly {
		t.Errorf("%d ancestors in all if they cost nothing, %d if they cost much", delayOnly, wary)
	}
}

// A region without trees, or with nothing to gain, has an empty plan.
func TestNothingToPlan(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	empty := region.New("r", 10)
	if round := reorg.Plan(empty, plane{}, reorg.Unlimited(), epoch, rng); len(round.Moves) > 0 || round.Before != 0 {
		t.Errorf("an empty region: %+v", round)
	}
	pair := grow(t, 2, 1, 1, four, rng)
	if round := reorg.Plan(pair.Region, pair.rtt, reorg.Unlimited(), epoch, rng); len(round.Moves) > 0 {
		t.Errorf("two members: %+v", round)
	}
}

func TestMembersOfAMove(t *testing.T) {
	m := reorg.Move{Steps: []region.Step{{Member: "b", From: "x", To: "c"}, {Member: "a", From: "y", To: "b"}}}
	got := m.Members()
	if len(got) != 3 || got[0] != "a" || got[1] != "b" || got[2] != "c" {
		t.Errorf("%v agree, want a, b and c", got)
	}
}
