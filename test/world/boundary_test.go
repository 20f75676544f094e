package world

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/world/simnet"
)

// across is the longest gap where a stream comes another way of another length, along
// a road of 100 ms, or those who feed it leave while a boundary is moved.
const across = 500 * time.Millisecond

// regions are those that are led by somebody and not over, by name, with the structure
// that their leader holds.
func (w *world) regions() map[region.ID]*region.Region {
	led := map[region.ID]*region.Region{}
	for _, s := range slices.Concat(w.coordinators, w.elsewhere) {
		if s.server == nil {
			continue
		}
		for _, id := range s.server.Regions() {
			if r := s.server.Region(id); r != nil && s.server.Leading(id) && !r.Fate().Over {
				led[id] = r
			}
		}
	}
	return led
}

// oneHome checks that everybody who takes part is at home in one region, in the stay
// that the member itself believes in.
func (w *world) oneHome() error {
	homes := map[region.MemberID][]string{}
	for id, r := range w.regions() {
		if err := r.Check(); err != nil {
			return fmt.Errorf("region %s: %w", id, err)
		}
		for m := range r.Members() {
			if m.Home == "" {
				homes[m.ID] = append(homes[m.ID], fmt.Sprintf("%s in lease %d", id, m.Lease))
			}
		}
	}
	for _, p := range w.present() {
		id := p.cfg.Credentials.ID()
		want := fmt.Sprintf("%s in lease %d", p.node.Region(), p.node.Lease())
		if list := homes[id]; len(list) != 1 || list[0] != want {
			return fmt.Errorf("%s is at home in %v, and believes %s", p, list, want)
		}
		delete(homes, id)
	}
	for id, list := range homes {
		return fmt.Errorf("%s is at home in %v, and is not there", id, list)
	}
	return nil
}

// direct checks that regions draw streams from where they are published.
func (w *world) direct() error {
	regions := w.regions()
	for id, r := range regions {
		for s := range r.Streams() {
			if s.From == "" {
				continue
			}
			from := regions[s.From]
			if from == nil {
				return fmt.Errorf("region %s draws %s from %s, which nobody leads", id, s.ID, s.From)
			}
			if there, ok := from.Stream(s.ID); !ok || there.From != "" {
				return fmt.Errorf("region %s draws %s from %s, which has it from %q", id, s.ID, s.From, there.From)
			}
		}
	}
	return nil
}

// show lets a member publish a stream that all others watch.
func (w *world) show(by *participant, id region.StreamID) {
	w.t.Helper()
	if err := by.film(w.camera(id)); err != nil {
		w.t.Fatal(err)
	}
	for _, p := range w.present() {
		if p != by {
			p.watch(id)
		}
	}
	w.seen(w.audience(id), 25)
}

// everybody lists all viewers of all streams.
func (w *world) everybody() []*viewer {
	var list []*viewer
	for id := range w.cameras {
		list = append(list, w.audience(id)...)
	}
	return list
}

// bounded are the settings of regions that are divided at so many members, soon.
func bounded(most int) func(*coordinator.Config) {
	return func(c *coordinator.Config) {
		c.Boundary.SplitAt, c.Boundary.Quiet, c.Boundary.Retry = most, 30*time.Second, 5*time.Second
		c.Boundary.MergeUpTo = 1
		c.Reorganise.AfterElection = 5 * time.Second
	}
}

// open founds a region of members along a road, of whom the first ones publish.
func (w *world) open(members, streams int) {
	w.t.Helper()
	w.net.Profile(func(a, b netip.Addr) simnet.Link { return simnet.Link{Latency: along(a, b)} })
	w.found(3)
	for range members {
		w.populate(9000)
	}
	for i := range streams {
		w.show(w.members[i], region.StreamID(fmt.Sprintf("stage-%d", i)))
	}
}

// inOneRegion runs a story of members along a road, of whom the first ones publish.
func inOneRegion(t *testing.T, seed uint64, most, members, streams int, story func(w *world)) {
	t.Helper()
	repeatable(t, seed)
	Bubble(t, standstill, func(t *testing.T) {
		w := newWorld(t, seed)
		w.tune = bounded(most)
		w.open(members, streams)
		story(w)
	})
}

func TestARegionIsDividedByItself(t *testing.T) {
	inOneRegion(t, 1, 12, 11, 2, func(w *world) {
		time.Sleep(20 * time.Second)
		mark(w.everybody())
		late := w.populate(9000)[0]
		for id := range w.cameras {
			late.watch(id)
		}
		w.within(3*time.Minute, "the region is divided", func() error {
			if n := len(w.regions()); n != 2 {
				return fmt.Errorf("%d regions", n)
			}
			return w.oneHome()
		})
		time.Sleep(time.Minute)
		w.unbroken(w.everybody(), across)
		if err := w.oneHome(); err != nil {
			t.Error(err)
		}
		w.frugal()
	})
}

// Members come, one after the other, until there are several regions, and go again
// until there is one.
func TestRegionsGrowAndShrink(t *testing.T) {
	inOneRegion(t, 2, 10, 6, 2, func(w *world) {
		mark(w.everybody())
		for range 22 {
			p := w.populate(9000)[0]
			for id := range w.cameras {
				p.watch(id)
			}
			time.Sleep(3 * time.Second)
		}
		w.within(5*time.Minute, "there are three regions or more", func() error {
			if n := len(w.regions()); n < 3 {
				return fmt.Errorf("%d regions", n)
			}
			return w.oneHome()
		})
		w.within(patience, "all draw streams from where they are published", w.direct)
		w.seen(w.everybody(), 25)
		w.unbroken(w.everybody(), across)
		w.frugal()
		mark(w.everybody())
		for _, p := range slices.Backward(w.members[2:]) {
			if len(w.present()) > 5 {
				p.leave()
				time.Sleep(2 * time.Second)
			}
		}
		w.within(10*time.Minute, "there is one region", func() error {
			if n := len(w.regions()); n != 1 {
				return fmt.Errorf("%d regions", n)
			}
			return w.oneHome()
		})
		time.Sleep(30 * time.Second)
		w.unbroken(w.everybody(), across)
		if err := w.oneHome(); err != nil {
			t.Error(err)
		}
		w.frugal()
	})
}
