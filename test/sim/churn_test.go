package sim

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func churn(trace string) ChurnConfig {
	c := DefaultChurnConfig()
	c.RTT, c.Members, c.Trace, c.Hours, c.Runs, c.Seed = Clusters, 120, trace, 6, 2, 3
	return c
}

// When a tenth of the members fails at once, nearly everybody is healed by a
// standby, and nobody is left behind.
func TestMassFailureIsHealed(t *testing.T) {
	for _, slots := range []string{"4", "mixed"} {
		c := churn("mass10")
		c.Slots, c.Runs = slots, 6
		r, err := ReplayChurn(c)
		if err != nil {
			t.Fatal(err)
		}
		o := r.Orphans
		t.Logf("slots %s: %.3f of %d orphans healed by their first two standbys", slots, o.FirstTwo, o.Total)
		if o.Total < 10 || o.FirstTwo < 0.95 || o.CutOffForGood > 0 {
			t.Errorf("slots %s: %+v", slots, o)
		}
		if o.Total != o.Standby1+o.Standby2+o.StandbyMore+o.Coordinator {
			t.Errorf("slots %s: not every orphan is accounted for: %+v", slots, o)
		}
	}
}

// Members that come and go do not spoil the trees, and the product's policy beats
// both never moving anybody and rebuilding every hour.
func TestChurnPolicies(t *testing.T) {
	over := map[string]*ChurnReport{}
	for _, policy := range Policies() {
		c := churn(Exponential)
		c.Policy = policy
		r, err := ReplayChurn(c)
		if err != nil {
			t.Fatal(err)
		}
		if r.Orphans.CutOffForGood > 0 || len(r.Runs) != 2 || len(r.Runs[0].Samples) == 0 {
			t.Errorf("%s: %+v", policy, r.ChurnRun)
		}
		over[policy] = r
		t.Logf("%s: %.3f at %.1f changes per hour", policy, r.AvgOverBound, r.VoluntaryPerHour)
	}
	skein := over["skein"]
	if skein.AvgOverBound > over["frozen"].AvgOverBound || skein.AvgOverBound > over["hourly-rebuild"].AvgOverBound {
		t.Errorf("skein %.3f, frozen %.3f, hourly rebuild %.3f", skein.AvgOverBound, over["frozen"].AvgOverBound, over["hourly-rebuild"].AvgOverBound)
	}
}

func TestEveryTraceCanBePlayed(t *testing.T) {
	for _, trace := range []string{Exponential, HeavyTailed, FlashCrowd, "mass20", "mass30"} {
		c := churn(trace)
		c.Members, c.Hours, c.Runs = 60, 3, 1
		r, err := ReplayChurn(c)
		if err != nil {
			t.Errorf("%s: %v", trace, err)
			continue
		}
		if r.MembersMean < 2 || r.JoinsPerHour == 0 {
			t.Errorf("%s: nobody came: %+v", trace, r.ChurnRun)
		}
	}
}

func TestTraceFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.txt")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# stays\n0\t2\t0 3600 7200 20000\n1\t1\t100 90000\n")
	stays, err := LoadTrace(path, 4, 3, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if len(stays) < 3 {
		t.Fatalf("%v: members 1 to 3 share two histories", stays)
	}
	for i, s := range stays {
		if s.To <= s.From || s.From >= 3*3600 || s.Member < 1 || s.Member > 3 {
			t.Errorf("stay %d: %+v", i, s)
		}
	}
	for _, bad := range []string{"", "0 2 1 2\n", "0 1 5 4\n", "0 x\n", "0\n", "0 1 a b\n"} {
		write(bad)
		if _, err := LoadTrace(path, 4, 3, rand.New(rand.NewPCG(1, 1))); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: error %v does not name the file", bad, err)
		}
	}
}

func TestSettingsAreJudged(t *testing.T) {
	for _, change := range []func(*ChurnConfig){
		func(c *ChurnConfig) { c.Hours = 0 },
		func(c *ChurnConfig) { c.Policy = "none" },
		func(c *ChurnConfig) { c.Sample = time.Millisecond },
		func(c *ChurnConfig) { c.Trace = "mass0" },
		func(c *ChurnConfig) { c.Slots = "0" },
		func(c *ChurnConfig) { c.MinGain = 1 },
	} {
		c := churn(Exponential)
		change(&c)
		if _, err := ReplayChurn(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	for _, change := range []func(*TreeConfig){
		func(c *TreeConfig) { c.Algorithms = []string{"best"} },
		func(c *TreeConfig) { c.Knowledge = "none" },
		func(c *TreeConfig) { c.Streams = 0 },
		func(c *TreeConfig) { c.Members = 1 },
		func(c *TreeConfig) { c.RTT = "no-such-file" },
	} {
		c := DefaultTreeConfig()
		change(&c)
		if _, err := CompareTrees(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
