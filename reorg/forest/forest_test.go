package forest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// random builds trees over n members: member t is the root of tree t, everybody
// else hangs under somebody with room. Members have 0 to 5 places in each.
func random(n, trees int, rng *rand.Rand) *Forest {
	return uneven(n, slices.Repeat([]int64{1}, trees), rng)
}

// uneven is random with another rate in each tree.
func uneven(n int, rates []int64, rng *rand.Rand) *Forest {
	all := int64(0)
	for _, rate := range rates {
		all += rate
	}
	hops := make(Matrix, n)
	for i := range hops {
		hops[i] = make([]float32, n)
		for j := range i {
			hops[i][j] = 1 + 99*rng.Float32()
			hops[j][i] = hops[i][j]
		}
	}
	uplink, extra := make([]int64, n), make([]float64, n)
	for i := range n {
		uplink[i], extra[i] = all*int64(rng.IntN(6)), float64(rng.IntN(3))
	}
	for t := range rates {
		uplink[t] = int64(n) * all
	}
	f := New(hops, uplink, extra)
	for t, rate := range rates {
		in := []int32{f.AddRoot(int32(t))}
		for v := range int32(n) {
			if int(v) == t {
				continue
			}
			p := in[rng.IntN(len(in))]
			for !f.Room(p, rate) {
				p = in[rng.IntN(len(in))]
			}
			in = append(in, f.Add(v, p, rate, 1))
		}
	}
	return f
}

// check compares what the forest keeps with what follows from its parents.
func check(t *testing.T, f *Forest) {
	t.Helper()
	total := 0.0
	fed := make([]int64, f.Members())
	for v := range int32(f.Nodes()) {
		delay, size := 0.0, 0
		for u := v; f.Parent(u) != None; u = f.Parent(u) {
			delay += f.Edge(f.Parent(u), u)
		}
		for u := range int32(f.Nodes()) {
			if f.under(u, v) {
				size++
			}
		}
		if math.Abs(delay-f.Delay(v)) > 1e-6 || size != f.Size(v) {
			t.Fatalf("node %d: delay %f (want %f), size %d (want %d)", v, f.Delay(v), delay, f.Size(v), size)
		}
		total += delay
		if p := f.Parent(v); p != None {
			fed[f.Member(p)]++
			if !slices.Contains(f.Children(p, nil), v) || f.TreeOf(p) != f.TreeOf(v) {
				t.Fatalf("node %d is no child of its parent %d", v, p)
			}
		}
	}
	if math.Abs(total-f.Total()) > 1e-3 {
		t.Fatalf("total %f, want %f", f.Total(), total)
	}
	for m := range int32(f.Members()) {
		if f.Free(m) < 0 {
			t.Fatalf("member %d feeds %d, %d too many", m, fed[m], -f.Free(m))
		}
	}
}

// Whatever is moved and taken back, the books are right.
func TestMovesKeepTheBooks(t *testing.T) {
	for seed := range uint64(5) {
		rng := rand.New(rand.NewPCG(seed, 1))
		f := random(30, 2, rng)
		start, total := f.Parents(), f.Total()
		for range 200 {
			f.Mark()
			for range 1 + rng.IntN(4) {
				v, p := int32(rng.IntN(f.Nodes())), int32(rng.IntN(f.Nodes()))
				if f.Parent(v) != None && f.TreeOf(p) == f.TreeOf(v) && !f.Below(p, v) {
					f.Move(v, p)
				}
			}
			if rng.IntN(2) == 0 || !f.fits() {
				f.Back()
			}
		}
		check(t, f)
		f.Restore(start)
		check(t, f)
		if !slices.Equal(start, f.Parents()) || math.Abs(total-f.Total()) > 1e-6 {
			t.Errorf("seed %d: not back at the start", seed)
		}
	}
}

// Shifts that would close a loop or overload a member change nothing.
func TestShiftsAreAllOrNothing(t *testing.T) {
	refused, done := 0, 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		f := random(12, 1, rng)
		before, total := f.Parents(), f.Total()
		var set []Shift
		for _, v := range rng.Perm(f.Nodes())[:3] {
			if p := int32(rng.IntN(f.Nodes())); f.Parent(int32(v)) != None && int(p) != v {
				set = append(set, Shift{int32(v), p})
			}
		}
		gain, ok := f.Shift(set)
		check(t, f)
		if !ok {
			refused++
			if !slices.Equal(before, f.Parents()) || f.Total() != total {
				t.Fatalf("seed %d: refused, but something moved", seed)
			}
			continue
		}
		done++
		if math.Abs(total-f.Total()-gain) > 1e-6 {
			t.Errorf("seed %d: gain %f, the total fell by %f", seed, gain, total-f.Total())
		}
	}
	if refused < 20 || done < 20 {
		t.Errorf("%d refused and %d done: neither is tested", refused, done)
	}
}

// A climb only goes up, and reports what it does; annealing never ends worse
// than it began.
func TestSearchesNeverLose(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 3))
		f := random(150, 1+int(seed%3), rng)
		s := NewSearch(f, rng)
		s.Wide = seed%2 == 0
		before, gained := f.Total(), 0.0
		s.Climb(Limit{}, func(_ Kind, gain float64) {
			if gain <= 0 {
				t.Fatalf("seed %d: a step of %f", seed, gain)
			}
			gained += gain
		})
		check(t, f)
		if math.Abs(before-f.Total()-gained) > 1e-3 {
			t.Errorf("seed %d: gains sum up to %f, the total fell by %f", seed, gained, before-f.Total())
		}
		climbed := f.Total()
		s.Anneal(5000, 1000, 0.1)
		check(t, f)
		if f.Total() > climbed+1e-6 {
			t.Errorf("seed %d: annealing went from %f to %f", seed, climbed, f.Total())
		}
	}
}

// A climb stops at its limits.
func TestClimbsAreBounded(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	f := random(100, 1, rng)
	s := NewSearch(f, rng)
	steps := 0
	s.Climb(Limit{Steps: 3}, func(Kind, float64) { steps++ })
	if steps != 3 {
		t.Errorf("%d steps, 3 are allowed and there are more", steps)
	}
	looked := s.Evaluations
	s.Climb(Limit{Evaluations: 500}, nil)
	if s.Evaluations > looked+2*100*100 {
		t.Errorf("looked at %d steps after 500 were allowed", s.Evaluations-looked)
	}
}

// The way to any other trees over the same members can be gone in stages.
func TestTowards(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 5))
		f := random(40, 1+int(seed%2), rng)
		start := f.Parents()
		s := NewSearch(f, rng)
		s.Anneal(3000, 500, 0.1)
		s.Climb(Limit{}, nil)
		target, total := f.Parents(), f.Total()
		f.Restore(start)
		before := f.Total()
		for _, stage := range f.Towards(target, 0, 0) {
			for _, s := range stage.Shifts {
				if f.TreeOf(s.Node) != f.TreeOf(stage.Shifts[0].Node) {
					t.Fatalf("seed %d: a stage in two trees", seed)
				}
			}
			before -= stage.Gain
		}
		check(t, f)
		if math.Abs(before-f.Total()) > 1e-3 || f.Total() > total+1e-3 {
			t.Errorf("seed %d: ends at %f, stages say %f, the target is %f", seed, f.Total(), before, total)
		}
	}
}

// Trees that draw different amounts stand in one another's way. Most of what was
// found for them is reached all the same, but for what is hardly worth a shift.
func TestTowardsThroughNarrowPlaces(t *testing.T) {
	gained, found := 0.0, 0.0
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 6))
		f := uneven(60, []int64{12, 1}, rng)
		NewSearch(f, rng).Climb(Limit{}, nil)
		start, before := f.Parents(), f.Total()
		s := NewSearch(f, rng)
		s.Anneal(60_000, 500, 0.1)
		s.Climb(Limit{}, nil)
		target, total := f.Parents(), f.Total()
		f.Restore(start)
		f.Towards(target, before/2000, 0)
		check(t, f)
		if f.Total() > before {
			t.Errorf("seed %d: %f became %f", seed, before, f.Total())
		}
		gained, found = gained+before-f.Total(), found+before-total
	}
	if gained < found {
		t.Errorf("%.3f of what was found is reached", gained/found)
	}
}
