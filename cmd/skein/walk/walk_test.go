package walk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

// trace writes one of so many people who cross a square of 17 m, one after the other.
func trace(t *testing.T, people int) string {
	var b strings.Builder
	for p := range people {
		for s := range 20 {
			x := -8 + 16*float64(s)/19
			fmt.Fprintf(&b, " %e %e %e 0 %e 0 0 0\n", float64(1+10*(s+2*p)), float64(p+1), x, -8+16*float64(p%10)/9)
		}
	}
	name := filepath.Join(t.TempDir(), "trace.txt")
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Nobody leaves the ground, jumps, or runs faster than people of the trace hurry.
func TestEverybodyWalks(t *testing.T) {
	for _, name := range []string{Random, Stadium, trace(t, 200)} {
		for _, people := range []int{1, 20, 150} {
			w, err := New(name, people)
			if err != nil || w.People() != people {
				t.Fatalf("%s: %d people, %v", name, people, err)
			}
			moved := 0
			for one := range people {
				last := w.At(one, 0)
				begin := last
				for at := time.Second / 30; at < w.period+10*time.Second; at += time.Second / 30 {
					p := w.At(one, at)
					if p.X < 0 || p.Y < 0 || p.X > w.Width || p.Y > w.Height {
						t.Fatalf("%s: %d is at %v at %v, outside of %.0f x %.0f", name, one, p, at, w.Width, w.Height)
					}
					if speed := p.Distance(last) * 30; speed > 30 {
						t.Fatalf("%s: %d runs at %.1f m/s at %v", name, one, speed, at)
					}
					last = p
				}
				if last.Distance(begin) > 1 {
					moved++
				}
			}
			if name != Stadium && moved < people/2 {
				t.Errorf("%s: only %d of %d move", name, moved, people)
			}
		}
	}
}

func TestTracesThatCannotBe(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "nobody walks",
		"1 2 3":             "line 1: invalid: want 8 numbers, have 3",
		"1 2 x 0 4 0 0 0":   "line 1: invalid: \"x\"",
		"1 1 1e9 0 0 0 0 0": "line 1",
		"\x1f\x8bxx":        "invalid",
	} {
		name := filepath.Join(t.TempDir(), "trace")
		_ = os.WriteFile(name, []byte(text), 0o600)
		if _, err := New(name, 3); !errors.Is(err, region.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := New("/nowhere", 3); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
