package world

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/world/simnet"
)

const (
	// splitPause is the longest time in which nothing may be decided because of a split.
	splitPause = 300 * time.Millisecond
	// splitWithin is how long a split may take while members come.
	splitWithin = 5 * time.Second
)

// coordinates says whether an address is that of a coordinator.
func (w *world) coordinates(a netip.Addr) bool {
	return slices.ContainsFunc(w.coordinators, func(s *seat) bool { return s.host.Addr() == a })
}

// boundaryMoves are those that the coordinators tell of a kind, by time.
func (w *world) boundaryMoves(kinds ...string) (list []coordinator.BoundaryMove) {
	for _, s := range w.coordinators {
		for _, m := range s.server.BoundaryMoves() {
			if slices.Contains(kinds, strings.TrimPrefix(m.Kind, "region.")) {
				list = append(list, m)
			}
		}
	}
	slices.SortFunc(list, func(a, b coordinator.BoundaryMove) int { return a.At.Compare(b.At) })
	return list
}

// arrive lets so many members come, one after the other over a time, each where it is
// nearest, and watch everything.
func (w *world) arrive(count int, over time.Duration, uplinks ...region.Rate) {
	for i := range count {
		p := w.participant(uplinks[i%len(uplinks)])
		p.cfg.Region = member.NearestRegion
		p.begin(func(p *participant) {
			if err := p.enter(); err != nil {
				w.fault("%s cannot join: %v", p, err)
				return
			}
			for id := range w.cameras {
				p.watch(id)
			}
		})
		time.Sleep(over / time.Duration(count))
	}
	w.until("all have come", func() bool {
		return !slices.ContainsFunc(w.members, func(p *participant) bool { return !p.idle() })
	})
}

// depart lets members leave until so many are left, and checks that those who go had lost
// nothing until then.
func (w *world) depart(left int, over time.Duration) {
	list := slices.DeleteFunc(w.present(), func(p *participant) bool { return len(w.publishing(p)) > 0 })
	list = list[:len(w.present())-left]
	for _, p := range list {
		for _, v := range p.views {
			w.unbroken([]*viewer{v}, across)
		}
		p.leave()
		time.Sleep(over / time.Duration(len(list)))
	}
}

// A region splits again and again while members come, at least one a second, and is one
// again when most have gone: nobody misses a packet, and nobody waits long for a decision.
func TestARegionSplitsWhileMembersArrive(t *testing.T) {
	long(t)
	repeatable(t, 1)
	Bubble(t, standstill, func(t *testing.T) {
		w := newWorld(t, 1)
		w.tune = func(c *coordinator.Config) {
			bounded(24)(c)
			c.Boundary.Quiet = 10 * time.Second
		}
		w.open(6, 2)
		// The coordinators are nearer to each other: what is decided takes their round trips.
		w.net.Profile(func(a, b netip.Addr) simnet.Link {
			if a != b && w.coordinates(a) && w.coordinates(b) {
				return simnet.Link{Latency: 20 * time.Millisecond}
			}
			return simnet.Link{Latency: along(a, b)}
		})
		mark(w.everybody())
		const arriving = time.Minute
		w.arrive(60, arriving, 2500, 8000, 0, 3500, 12000, 5000)
		for _, m := range w.boundaryMoves("dividing", "divided", "undivided", "began") {
			w.note("%s %s: %s, %v", m.Region, m.Kind, m.Detail, m.Pause)
		}
		if n := len(w.boundaryMoves("divided")); n < 2 {
			t.Errorf("%d splits while members came, want 2", n)
		}
		begun := map[region.ID]time.Time{}
		for _, m := range w.boundaryMoves("dividing", "divided", "undivided", "began") {
			switch m.Kind {
			case "region.dividing":
				begun[m.Region] = m.At
			case "region.undivided":
				t.Errorf("%s was not divided: %s", m.Region, m.Detail)
			case "region.divided":
				if took := m.At.Sub(begun[m.Region]); took > splitWithin {
					t.Errorf("to divide %s took %v", m.Region, took)
				}
			}
			if m.Pause > splitPause {
				t.Errorf("nothing was decided in %s for %v when it was divided", m.Region, m.Pause)
			}
		}
		w.seen(w.everybody(), 25)
		w.unbroken(w.everybody(), across)
		if err := w.oneHome(); err != nil {
			t.Error(err)
		}
		w.depart(5, arriving)
		w.within(10*time.Minute, "there is one region", func() error {
			if n := len(w.regions()); n != 1 {
				return fmt.Errorf("%d regions", n)
			}
			return w.oneHome()
		})
		if n := len(w.boundaryMoves("merged")); n < 2 {
			t.Errorf("%d mergers, want 2", n)
		}
		time.Sleep(30 * time.Second)
		w.unbroken(w.everybody(), across)
	})
}
