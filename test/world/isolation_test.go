package world

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// alone matches what reaches or leaves a participant's media socket.
func (p *participant) alone() func(src, dst netip.AddrPort) bool {
	self := netip.AddrPortFrom(p.host.Addr(), 7500)
	return func(src, dst netip.AddrPort) bool { return src == self || dst == self }
}

// back waits until every viewer has had one more packet, at most for limit.
func (w *world) back(list []*viewer, limit time.Duration) {
	w.t.Helper()
	mark(list)
	w.within(limit, "everybody has the stream again", func() error {
		for _, v := range list {
			if v.sight().received == 0 {
				return fmt.Errorf("%s has not", v.p)
			}
		}
		return nil
	})
}

// A member was out of reach of its only possible parent, or of everybody, even for
// so long that its stay ended. What it holds against the parent then must not
// keep it from the stream.
func TestTheOnlyParentIsForgiven(t *testing.T) {
	for _, outage := range []time.Duration{2 * time.Second, 8 * time.Second, 30 * time.Second} {
		for _, whole := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, whole %v", outage, whole), func(t *testing.T) {
				inWorld(t, 1, 3, func(w *world) {
					w.populate(1000, 0)
					list := w.stage("stage")
					w.settled()
					blocked := w.members[1].alone()
					if whole {
						blocked = between(func(a netip.Addr) bool { return a == w.members[1].host.Addr() })
					}
					w.cut("the viewer", blocked)
					time.Sleep(outage)
					w.heal()
					w.back(list, 15*time.Second)
					w.settled()
				})
			})
		}
	}
}

func TestSomebodyIsOutOfReach(t *testing.T) {
	long(t)
	for _, outage := range []time.Duration{2 * time.Second, 20 * time.Second} {
		for who, name := range []string{"origin", "relay", "any"} {
			t.Run(fmt.Sprintf("%s for %v", name, outage), func(t *testing.T) {
				inTheatre(t, 12, func(w *world, list []*viewer) {
					p := []*participant{w.members[0], w.relays("stage")[0], w.members[3]}[who]
					w.cut(p.name, p.alone())
					time.Sleep(outage)
					w.heal()
					w.back(list, 10*time.Second)
					w.settled()
					// By then, what the outage cost is found or given up.
					time.Sleep(2 * time.Second)
					mark(list)
					time.Sleep(5 * time.Second)
					w.unbroken(list, steady)
				})
			})
		}
	}
}

// Who stops watching while no coordinator can be reached gives the place back
// when one can be again.
func TestPlaceIsGivenBackLate(t *testing.T) {
	inTheatre(t, 6, func(w *world, _ []*viewer) {
		p := w.relays("stage")[0]
		v := p.views["stage"]
		delete(p.views, "stage")
		for _, s := range w.coordinators {
			s.kill()
		}
		v.leave()
		time.Sleep(15 * time.Second)
		for _, s := range w.coordinators {
			s.start()
		}
		w.settled()
	})
}
