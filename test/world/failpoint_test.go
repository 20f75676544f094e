package world

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/region"
)

// roundsVariable says how often a coordinator is killed at each failpoint; once if it is
// not set.
const roundsVariable = "SKEIN_ROUNDS"

func rounds(t *testing.T) uint64 {
	text := os.Getenv(roundsVariable)
	if text == "" {
		return 1
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		t.Fatalf("%s=%s: want 1 or more", roundsVariable, text)
	}
	return n
}

// A mine kills the coordinator that first passes a failpoint, once it is armed.
type mine struct {
	w     *world
	at    string
	armed atomic.Bool
	// struck receives the coordinator that has passed; it is held there until its
	// sockets are gone.
	struck chan *seat
	gone   chan struct{}
}

// lay puts a mine under all coordinators that are founded later.
func (w *world) lay(at string) *mine {
	m := &mine{w: w, at: at, struck: make(chan *seat, 1), gone: make(chan struct{})}
	tune := w.tune
	w.tune = func(c *coordinator.Config) {
		tune(c)
		name := c.Name
		c.Failpoint = func(passed string) {
			if passed != m.at || !m.armed.CompareAndSwap(true, false) {
				return
			}
			for _, s := range w.coordinators {
				if s.name == name {
					s.host.Kill() // nothing of what follows reaches anybody
					m.struck <- s
				}
			}
			<-m.gone
		}
	}
	return m
}

// clear waits until the mine has struck, and brings the coordinator back.
func (m *mine) clear() error {
	select {
	case s := <-m.struck:
		m.w.note("%s dies at %s", s.name, m.at)
		close(m.gone)
		s.kill()
		time.Sleep(3 * time.Second)
		s.start()
		return nil
	case <-time.After(5 * time.Minute):
		close(m.gone)
		return fmt.Errorf("nobody has passed %s in 5 minutes", m.at)
	}
}

// whole checks that in the end everybody has one home, sees all streams, and that the
// replicas of every region agree.
func (w *world) whole(wanted func(int) bool) {
	w.t.Helper()
	w.within(6*time.Minute, "all is well again", func() error {
		if n := len(w.regions()); !wanted(n) {
			return fmt.Errorf("%d regions", n)
		}
		for id, r := range w.regions() {
			if r.Fate().Into != "" {
				return fmt.Errorf("region %s is frozen", id)
			}
		}
		return w.oneHome()
	})
	time.Sleep(15 * time.Second)
	for _, v := range w.everybody() {
		if s := v.sight(); s.lost > 0 {
			w.fault("%s: %d packets of %s lost", v.p, s.lost, v.id)
		}
		v.mark()
	}
	w.seen(w.everybody(), 25)
	w.within(patience, "all replicas hold the same", w.forked)
	if err := w.oneHome(); err != nil {
		w.fault("%v", err)
	}
}

// behind is how far a replica may lag: it learns of an entry with the next one.
const behind = 4

// forked says whether replicas of a region differ at the same revision, or one of them
// is left behind.
func (w *world) forked() error {
	for id, led := range w.regions() {
		for _, s := range w.coordinators {
			if s.server == nil {
				continue
			}
			r := s.server.Region(id)
			switch {
			case r == nil:
				return fmt.Errorf("%s does not host %s", s.name, id)
			case r.Revision()+behind < led.Revision():
				return fmt.Errorf("%s holds revision %d of %s, its leader %d", s.name, r.Revision(), id, led.Revision())
			case r.Revision() == led.Revision() && r.Hash() != led.Hash():
				w.fault("%s and the leader of %s differ at revision %d", s.name, id, r.Revision())
			}
		}
	}
	return nil
}

func failpoints(prefixes ...string) []string {
	return slices.DeleteFunc(slices.Clone(coordinator.Failpoints), func(name string) bool {
		return !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	})
}

// A coordinator dies at each step of a division: it is finished, or has never begun,
// everybody has one home, and nobody misses a packet.
func TestADivisionSurvivesDeathAtEveryStep(t *testing.T) {
	long(t)
	for _, at := range failpoints("split.", "child.") {
		for seed := range rounds(t) {
			t.Run(fmt.Sprintf("%s/%d", at, seed+1), func(t *testing.T) {
				inMinedRegion(t, seed+1, at, 9, func(w *world, m *mine) {
					time.Sleep(10 * time.Second)
					mark(w.everybody())
					m.armed.Store(true)
					late := w.populate(9000)[0]
					for id := range w.cameras {
						late.watch(id)
					}
					if err := m.clear(); err != nil {
						w.fault("%v", err)
					}
					w.whole(func(n int) bool { return n == 2 })
				})
			})
		}
	}
}

// The same of a merger.
func TestAMergerSurvivesDeathAtEveryStep(t *testing.T) {
	long(t)
	for _, at := range failpoints("merge.", "absorb.", "refuse.") {
		for seed := range rounds(t) {
			t.Run(fmt.Sprintf("%s/%d", at, seed+1), func(t *testing.T) {
				inMinedRegion(t, seed+1, at, 10, func(w *world, m *mine) {
					w.within(3*time.Minute, "the region is divided", func() error {
						if n := len(w.regions()); n != 2 {
							return fmt.Errorf("%d regions", n)
						}
						return w.oneHome()
					})
					time.Sleep(10 * time.Second)
					mark(w.everybody())
					if slices.Contains(failpoints("refuse.", "merge.unfrozen"), at) {
						w.quarrel()
					}
					m.armed.Store(true)
					w.desert()
					if err := m.clear(); err != nil {
						w.fault("%v", err)
					}
					w.reconcile()
					w.whole(func(n int) bool { return n == 1 })
				})
			})
		}
	}
}

// quarrel lets two regions publish a stream of one name, so that they cannot be one.
func (w *world) quarrel() {
	w.t.Helper()
	for id := range w.regions() {
		for _, p := range w.present() {
			if p.node.Region() != id || p.publishes("stage-0") {
				continue
			}
			c := &camera{w: w, id: "quarrel", kind: region.Video, rate: streamRate}
			if err := p.film(c); err != nil {
				w.t.Fatal(err)
			}
			w.cameras["quarrel in "+region.StreamID(id)] = c
			break
		}
	}
}

// reconcile ends a quarrel, if there is one: one of the two leaves.
func (w *world) reconcile() {
	for id, c := range w.cameras {
		if p := c.at.Load(); c.id == "quarrel" && p != nil {
			delete(w.cameras, id)
			w.cameras["left"] = c
			p.leave()
			return
		}
	}
}

// desert has members of the smaller region leave until it is too small.
func (w *world) desert() {
	smaller, least := region.ID(""), 1000
	for id, r := range w.regions() {
		if n := r.HomedCount(); n < least || n == least && id < smaller {
			smaller, least = id, n
		}
	}
	for _, p := range w.present() {
		if p.node.Region() == smaller && len(p.w.publishing(p)) == 0 && least > 2 {
			p.leave()
			least--
		}
	}
}

// publishing lists what p publishes.
func (w *world) publishing(p *participant) (list []region.StreamID) {
	for id := range w.cameras {
		if p.publishes(id) {
			list = append(list, id)
		}
	}
	return list
}

// inMinedRegion is inOneRegion with a mine under the coordinators.
func inMinedRegion(t *testing.T, seed uint64, at string, members int, story func(*world, *mine)) {
	t.Helper()
	repeatable(t, seed)
	Bubble(t, standstill, func(t *testing.T) {
		w := newWorld(t, seed)
		w.tune = bounded(10)
		m := w.lay(at)
		w.open(members, 1)
		story(w, m)
	})
}
