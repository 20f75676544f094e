package planet

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

func small() Config {
	c := DefaultConfig()
	c.Members, c.Duration, c.RegionMax, c.Churn = 400, time.Minute, 64, "exponential:5m"
	return c
}

func run(t *testing.T, c Config) *Report {
	t.Helper()
	r, err := Run(context.Background(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Broken != "" {
		t.Fatal(r.Broken)
	}
	return r
}

// The same seed gives the same world on one core and on many.
func TestSameSeedSameWorld(t *testing.T) {
	var reports [2]string
	for i, workers := range []int{1, 7} {
		c := small()
		c.Workers = workers
		r := run(t, c)
		r.Cost = Cost{}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		reports[i] = string(text)
	}
	if reports[0] != reports[1] {
		t.Errorf("seven workers told another story than one:\n%s\n%s", reports[0], reports[1])
	}
}

// Worlds of all kinds keep everybody in the tree and the invariants whole.
func TestWorlds(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"ten":     func(c *Config) { c.Members = 10 },
		"heavy":   func(c *Config) { c.Churn = "heavy:3m" },
		"crashes": func(c *Config) { c.Crash = 1 },
		"still":   func(c *Config) { c.Churn = "none" },
		"even":    func(c *Config) { c.Uplinks = "4:1" },
	} {
		t.Run(name, func(t *testing.T) {
			c := small()
			change(&c)
			r := run(t, c)
			if r.Members < c.Members*95/100 || r.Last.Placed < c.Members*95/100 {
				t.Errorf("%d of %d members have a place: %+v", r.Last.Placed, c.Members, r.Last)
			}
			if r.OverBound < 0.999 || r.Last.MaxMS < r.Last.AvgMS {
				t.Errorf("delay over bound %.3f", r.OverBound)
			}
		})
	}
}

// Coordinators that know ever more regions say more of them, but what each has to
// do with its own region and its members stays the same.
func TestGrowth(t *testing.T) {
	var reports []*Report
	for _, n := range []int{60, 240, 960} {
		c := small()
		c.Members, c.RegionMax, c.Crash = n, 80, 0.2
		reports = append(reports, run(t, c))
	}
	for i, r := range reports[1:] {
		less := reports[i]
		if r.Regions <= less.Regions || r.DirectoryPerCoordinator <= less.DirectoryPerCoordinator {
			t.Errorf("%d members: %d regions after %d, directory %.0f B/s after %.0f", r.Members, r.Regions, less.Regions,
				r.DirectoryPerCoordinator, less.DirectoryPerCoordinator)
		}
		if r.ControlPerMember > 1.5*less.ControlPerMember {
			t.Errorf("%d members: %.0f B/s each after %.0f", r.Members, r.ControlPerMember, less.ControlPerMember)
		}
		if r.AdmitP99MS <= 0 || r.AdmitP99MS > 2000 || r.AdmitP50MS > r.AdmitP99MS {
			t.Errorf("%d members: admitted within %.0f ms, 99 %% within %.0f", r.Members, r.AdmitP50MS, r.AdmitP99MS)
		}
	}
}

// Ways over the globe are those of great circles.
func TestAngle(t *testing.T) {
	for chord := 0.0; chord <= 2; chord += 0.001 {
		if got, want := angle(chord*chord), 2*math.Asin(chord/2); math.Abs(got-want) > 2e-4 {
			t.Fatalf("chord %g: angle %g, want %g", chord, got, want)
		}
	}
}

// The page shows worlds of several sizes and of one.
func TestPage(t *testing.T) {
	c := small()
	c.Members, c.Duration = 50, 5*time.Second
	r := run(t, c)
	for _, reports := range [][]*Report{{r}, {r, r}} {
		var b strings.Builder
		if err := WritePage(&b, reports); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(b.String(), "<svg"); n != 15 {
			t.Errorf("%d pictures, not 15", n)
		}
	}
}
