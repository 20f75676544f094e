package world

import (
	"cmp"
	"os"
	"testing"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/walk"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// walkVariable names the trace along which a crowd walks; default at random.
const walkVariable = "SKEIN_WALK"

// A crowd walks for a while: who should hear each other does, who should not does not,
// voices come soon, and it costs the coordinators next to nothing.
func TestACrowdWalks(t *testing.T) {
	long(t)
	inWorld(t, 8, 3, func(w *world) {
		const people, warm, minutes = 24, 30 * time.Second, 1
		way := must(walk.New(cmp.Or(os.Getenv(walkVariable), walk.Random), people))
		var walkers []*walker
		for i := range people {
			p := w.populate(10_000)[0]
			walkers = append(walkers, p.walk(way.At(i, 0), nearby))
		}
		began := time.Now()
		x := &examiner{walkers: walkers, near: map[[2]int]time.Time{}, far: map[[2]int]time.Time{}, came: map[[2]int]time.Time{}}
		var control member.ControlStats
		var entries region.Revision
		books := func() (bytes member.ControlStats, n region.Revision) {
			for _, v := range walkers {
				bytes.Add(v.p.node.Stats().Control)
			}
			return bytes, w.leader().server.Region(home).Revision()
		}
		for time.Since(began) < warm+minutes*time.Minute {
			if entries == 0 && time.Since(began) >= warm {
				control, entries = books()
				x.reset()
			}
			for i, v := range walkers {
				_ = v.presence.Move(way.At(i, time.Since(began)))
			}
			time.Sleep(time.Second / 30)
			x.examine()
		}
		bytes, n := books()
		per := func(b uint64) float64 { return float64(b) / people / (minutes * 60) }
		perMember := per(bytes.Sum() - control.Sum())
		perMinute := float64(n-entries) / people / minutes
		t.Logf("%d of %d pairs that should hear each other do not, %d of %d that should not do; %d came near, the slowest was heard after %v; %.0f bytes of control per member and second, %.2f entries per member and minute",
			x.deaf, x.should, x.nosy, x.shouldNot, x.heard, x.slowest, perMember, perMinute)
		if 100*x.deaf > x.should || 100*x.nosy > x.shouldNot || x.should == 0 || x.heard == 0 {
			t.Error("not who should is heard")
		}
		if 20*x.late > x.heard {
			t.Errorf("%d of %d were heard later than after %v", x.late, x.heard, soon)
		}
		t.Logf("control: %s", apart(control, bytes, per))
		if perMember > 4000 || perMinute > entriesPerMinute {
			t.Error("it costs too much")
		}
	})
}

// An examiner compares whom walkers hear with where they are.
type examiner struct {
	walkers                                    []*walker
	near, far, came                            map[[2]int]time.Time
	should, deaf, shouldNot, nosy, heard, late int
	slowest                                    time.Duration
}

func (x *examiner) reset() {
	x.should, x.deaf, x.shouldNot, x.nosy, x.heard, x.late, x.slowest = 0, 0, 0, 0, 0, 0, 0
}

func (x *examiner) examine() {
	now := time.Now()
	places := make([]region.Place, len(x.walkers))
	for i, v := range x.walkers {
		places[i] = v.presence.Place()
	}
	for i, v := range x.walkers {
		var rivals int
		for j := range x.walkers {
			if j != i && places[i].Distance(places[j]) <= nearby.Radius*region.LeaveFactor {
				rivals++
			}
		}
		for j, o := range x.walkers {
			if i == j {
				continue
			}
			pair := [2]int{i, j}
			d, hears := places[i].Distance(places[j]), v.hears(o)
			within := d <= nearby.Radius && rivals <= nearby.Max
			if _, was := x.near[pair]; within && !was && !hears {
				x.came[pair] = now
			}
			if at, waits := x.came[pair]; waits && (hears || !within) {
				delete(x.came, pair)
				if hears {
					x.heard++
					x.slowest = max(x.slowest, now.Sub(at))
					if now.Sub(at) > soon {
						x.late++
					}
				}
			}
			stay(x.near, pair, within, now)
			stay(x.far, pair, d > nearby.Radius*region.LeaveFactor, now)
			if at, ok := x.near[pair]; ok && now.Sub(at) > soon {
				if x.should++; !hears {
					x.deaf++
				}
			}
			if at, ok := x.far[pair]; ok && now.Sub(at) > quiet {
				if x.shouldNot++; hears {
					x.nosy++
				}
			}
		}
	}
}

func stay(since map[[2]int]time.Time, pair [2]int, holds bool, now time.Time) {
	if _, known := since[pair]; !holds {
		delete(since, pair)
	} else if !known {
		since[pair] = now
	}
}
