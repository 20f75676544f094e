package interest

import (
	"errors"
	"maps"
	"math"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

var begin = time.Unix(1000, 0)

func person(id region.PresenceID, x float64) region.Bystander {
	return region.Bystander{
		Who: id, Place: region.Place{X: x}, Places: region.StreamID("@" + id),
		Carried: []region.Carried{{Stream: region.StreamID(id + "/voice"), Kind: region.Audio}, {Stream: region.StreamID(id + "/video"), Kind: region.Video}},
	}
}

func TestWhatIsWantedOfWhom(t *testing.T) {
	crowd := NewCrowd("self")
	for i, x := range []float64{9, 19, 29, 39, 58, 61} {
		crowd.Came(uint32(i), person(region.PresenceID('a'+rune(i)), x))
	}
	p := NewPlanner(crowd)
	if err := p.Set(region.Space{ID: "s"}, []Rule{Nearest{Radius: 30, Max: 8}}); err != nil {
		t.Fatal(err)
	}
	wants := p.Plan(region.Place{}, begin)
	for stream, want := range map[region.StreamID]Want{
		"a/voice": {State: Present}, "b/voice": {State: Present}, "c/voice": {State: Present}, "d/voice": {State: Ready}, "e/voice": {State: Ready}, "f/voice": {},
		"a/video": {State: Present, Size: 1}, "b/video": {State: Present, Size: 0.25}, "c/video": {State: Ready}, "d/video": {},
		"@a": {State: Heeded}, "@d": {State: Heeded}, "@e": {State: Ready}, "@f": {},
	} {
		if got := wants[stream]; got.State != want.State || got.Size != want.Size {
			t.Errorf("%s: %+v, want %+v", stream, got, want)
		}
	}
	if !(wants["a/voice"].Priority > wants["a/video"].Priority && wants["a/video"].Priority > wants["b/video"].Priority) {
		t.Error("voices first, then the videos by distance")
	}
}

// Those who come and go around somebody, or change places among themselves, change as little
// as can be: every change is a message to each of them.
func TestWhatIsWantedRests(t *testing.T) {
	crowd := NewCrowd("self")
	for i := range 8 {
		crowd.Came(uint32(i), person(region.PresenceID('a'+rune(i)), float64(i+1)))
	}
	crowd.Came(8, person("far", 38))
	p := NewPlanner(crowd)
	if err := p.Set(region.Space{ID: "s"}, []Rule{Nearest{Radius: 30, Max: 8}}); err != nil {
		t.Fatal(err)
	}
	before := maps.Clone(p.Plan(region.Place{}, begin))
	crowd.Moved(4, region.Place{X: 8.5})
	crowd.Moved(8, region.Place{X: 42.5})
	after := p.Plan(region.Place{}, begin)
	if before["e/video"].Priority != after["e/video"].Priority {
		t.Errorf("the fifth has become the eighth: priority %d, now %d", before["e/video"].Priority, after["e/video"].Priority)
	}
	if after["@far"].State != Heeded {
		t.Error("who is heard is heard until a tenth further away")
	}
	crowd.Moved(8, region.Place{X: 43.5})
	if p.Plan(region.Place{}, begin)["@far"].State != Ready {
		t.Error("the whereabouts are heard of somebody who is too far away to matter soon")
	}
}

func TestRulesCountTogether(t *testing.T) {
	crowd := NewCrowd("self")
	crowd.Came(1, person("near", 25))
	crowd.Came(2, person("named", 40))
	p := NewPlanner(crowd)
	err := p.Set(region.Space{ID: "s"}, []Rule{
		Nearest{Radius: 30, Max: 8, Kinds: []region.Kind{region.Audio}},
		Named{Who: []region.PresenceID{"named"}, Streams: []region.StreamID{"stage"}},
		Func{Radius: 30, Choose: func(_ region.Place, all []region.Neighbour) []region.Interest {
			return []region.Interest{{Who: "nobody"}, {Who: "near", Detail: region.Glance}}
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	wants := p.Plan(region.Place{}, begin)
	for stream, want := range map[region.StreamID]float64{"near/video": 0.25, "named/video": 1, "stage": 0} {
		if got := wants[stream]; got.State != Present || got.Size != want {
			t.Errorf("%s: %+v", stream, got)
		}
	}
}

func TestTheLoudestAreLarge(t *testing.T) {
	crowd := NewCrowd("self")
	for i, id := range []region.PresenceID{"a", "b", "c"} {
		crowd.Came(uint32(i), person(id, 0))
		crowd.Heard(id, Whereabouts{Level: float64(i) / 2}, begin)
	}
	p := NewPlanner(crowd)
	if err := p.Set(region.Space{ID: "s", Edge: region.Room}, []Rule{Everyone{Large: 1, Max: 10}}); err != nil {
		t.Fatal(err)
	}
	wants := p.Plan(region.Place{}, begin)
	if wants["c/video"].Size != 1 || wants["a/video"].Size != thumbnail || wants["a/voice"].State != Present {
		t.Errorf("%+v", wants)
	}
}

// An exact place is better than a rough one for a while; who falls silent and is
// told of no more is forgotten, but not because a new coordinator knows little yet.
func TestWhatACrowdKnows(t *testing.T) {
	crowd := NewCrowd("self")
	crowd.Came(1, person("a", 100))
	crowd.Heard("a", Whereabouts{Place: region.Place{X: 90}, Regards: Hash("self")}, begin)
	if n := crowd.Neighbours(begin.Add(time.Second))[0]; n.Place.X != 90 || !n.Regards {
		t.Errorf("%+v", n)
	}
	if n := crowd.Neighbours(begin.Add(4 * time.Second))[0]; n.Place.X != 100 || n.Regards {
		t.Errorf("%+v", n)
	}
	crowd.Anew(begin)
	crowd.Moved(1, region.Place{})
	crowd.Heard("a", Whereabouts{}, begin.Add(20*time.Second))
	if crowd.Tidy(begin.Add(20 * time.Second)); crowd.Person("a") == nil {
		t.Error("forgotten although it speaks")
	}
	if crowd.Tidy(begin.Add(40 * time.Second)); crowd.Person("a") != nil {
		t.Error("not forgotten")
	}
	crowd.Came(1, person("a", 100))
	if crowd.Gone(1); crowd.Person("a") != nil {
		t.Error("not gone")
	}
}

func TestRulesThatCannotBe(t *testing.T) {
	p := NewPlanner(NewCrowd("self"))
	for _, c := range []struct {
		rule Rule
		want error
	}{
		{Nearest{Radius: 0, Max: 1}, region.ErrInvalid}, {Nearest{Radius: math.NaN(), Max: 1}, region.ErrInvalid}, {Nearest{Radius: 1}, region.ErrInvalid},
		{Nearest{Radius: 1000, Max: 1}, region.ErrLimit}, {Everyone{Max: 10}, region.ErrLimit}, {nil, region.ErrInvalid},
		{Func{Radius: 3}, region.ErrInvalid}, {Named{Streams: []region.StreamID{""}}, region.ErrInvalid},
	} {
		if err := p.Set(region.Space{ID: "s"}, []Rule{c.rule}); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.rule, err, c.want)
		}
	}
}

func TestPlanningAllocatesNothing(t *testing.T) {
	p := planner()
	p.Plan(region.Place{}, begin)
	p.Plan(region.Place{}, begin)
	if n := testing.AllocsPerRun(100, func() { p.Plan(region.Place{}, begin) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func planner() *Planner {
	crowd := NewCrowd("self")
	for i := range 60 {
		crowd.Came(uint32(i), person(region.PresenceID(rune('A'+i)), float64(i)))
	}
	p := NewPlanner(crowd)
	_ = p.Set(region.Space{ID: "s"}, []Rule{Nearest{Radius: 30, Max: 8}})
	return p
}

func BenchmarkPlan(b *testing.B) {
	p := planner()
	b.ReportAllocs()
	for b.Loop() {
		p.Plan(region.Place{}, begin)
	}
}

func TestWhereaboutsComeBack(t *testing.T) {
	for _, w := range []Whereabouts{
		{}, {Place: region.Place{X: -1.25, Y: 1e8, Z: 3, Facing: 3}, Level: 1, Regards: 7}, {Place: region.Place{Facing: -0.5}, Level: 0.2},
	} {
		got, err := Parse(w.Append(nil))
		d := math.Remainder(got.Place.Facing-w.Place.Facing, turn)
		if err != nil || got.Place.Distance(w.Place) > 0.02 || math.Abs(d) > 0.001 || math.Abs(got.Level-w.Level) > 0.005 || got.Regards != w.Regards {
			t.Errorf("%+v became %+v, %v", w, got, err)
		}
	}
}

func FuzzWhereabouts(f *testing.F) {
	f.Add(Whereabouts{Place: region.Place{X: 1, Y: -2, Z: 3, Facing: 1}, Level: 0.5, Regards: 9}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := Parse(b)
		if err != nil {
			if !errors.Is(err, region.ErrInvalid) {
				t.Errorf("%v", err)
			}
			return
		}
		if again, err := Parse(w.Append(nil)); err != nil || again.Place.Distance(w.Place) > 0.01 {
			t.Errorf("%+v became %+v, %v", w, again, err)
		}
	})
}
