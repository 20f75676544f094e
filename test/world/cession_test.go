package world

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/test/world/simnet"
)

// apart puts some members at the far end of a road of 60 ms.
func (w *world) apart(list ...*participant) {
	far := map[netip.Addr]bool{}
	for _, p := range list {
		far[p.host.Addr()] = true
	}
	w.net.Profile(func(a, b netip.Addr) simnet.Link {
		if far[a] != far[b] {
			return simnet.Link{Latency: 60 * time.Millisecond}
		}
		return simnet.Link{Latency: 4 * time.Millisecond}
	})
}

// Members that have come to be near another region live there after a while, and miss
// nothing on the way.
func TestMembersThatWanderOffAreRehomed(t *testing.T) {
	repeatable(t, 1)
	Bubble(t, standstill, func(t *testing.T) {
		w := newWorld(t, 1)
		w.tune = func(c *coordinator.Config) { c.Boundary.Quiet, c.Boundary.SplitAt = 30*time.Second, 0 }
		w.found(3)
		w.colonise(3)
		var list []*participant
		for range 8 {
			p := w.participant(9000)
			p.cfg.Region, p.cfg.LookAround = member.NearestRegion, 10*time.Second
			list = append(list, p)
		}
		strangers := []*participant{w.participant(9000), w.participant(9000)}
		w.apart(strangers...)
		for _, p := range list {
			p.join()
			if p.node.Region() != home {
				t.Fatalf("%s begins in %s", p, p.node.Region())
			}
		}
		for _, p := range strangers {
			p.cfg.Region, p.cfg.Coordinators = away, nil
			for _, s := range w.elsewhere {
				p.cfg.Coordinators = append(p.cfg.Coordinators, s.cfg.GRPC)
			}
			p.join()
		}
		w.show(list[0], "stage")
		time.Sleep(30 * time.Second)
		mark(w.everybody())
		wanderers := append(strangers, list[5:]...)
		w.apart(wanderers...)
		w.within(5*time.Minute, "they live where they are", func() error {
			for i, p := range w.members {
				if want := i >= 5; (p.node.Region() == away) != want {
					return fmt.Errorf("%s lives in %s", p, p.node.Region())
				}
			}
			return w.oneHome()
		})
		time.Sleep(30 * time.Second)
		w.unbroken(w.everybody(), across)
	})
}
