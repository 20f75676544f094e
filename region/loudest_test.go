package region

import (
	"fmt"
	"testing"
)

func TestLoudestAreFewAndSteady(t *testing.T) {
	rule := Loudest{Max: 2, Floor: -60}
	held := map[StreamID]bool{}
	step := func(levels ...float64) string {
		var voices []Voice
		for i, l := range levels {
			voices = append(voices, Voice{StreamID(rune('a' + i)), l})
		}
		n := rule.Choose(voices, func(s StreamID) bool { return held[s] })
		clear(held)
		names := ""
		for _, v := range voices[:n] {
			held[v.Stream] = true
			names += string(v.Stream)
		}
		return names
	}
	for i, s := range []struct {
		levels []float64
		want   string
	}{
		{[]float64{-20, -30, -40}, "ab"},
		{[]float64{-20, -34, -30}, "ab"}, // c is louder, but not by enough
		{[]float64{-20, -37, -30}, "ac"},
		{[]float64{-20, -30, -35}, "ac"},
		{[]float64{-64, -80, -62}, "ca"}, // who is heard may be softer than the floor
		{[]float64{-80, -80, -80}, ""},
		{[]float64{-61, -60, -59}, "cb"},
	} {
		if got := step(s.levels...); got != s.want {
			t.Errorf("step %d: heard %q, want %q", i, got, s.want)
		}
	}
}

func BenchmarkLoudest(b *testing.B) {
	voices := make([]Voice, 500)
	for i := range voices {
		voices[i] = Voice{StreamID(fmt.Sprint(i)), float64(-i * 7 % 90)}
	}
	rule := Loudest{Max: 8, Floor: -70}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		voices[i%len(voices)].Level = float64(-i % 90)
		rule.Choose(voices, func(s StreamID) bool { return len(s) == 1 })
	}
}
