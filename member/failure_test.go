package member_test

import (
	"testing"
	"time"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// chain is an origin with room for one child, and fans that relay.
func (c *cluster) chain(fans int) (cam *camera, list []*participant, views []*viewer) {
	cam = c.film(c.join(2000), "stage")
	for range fans {
		p := c.join(2000)
		list = append(list, p)
		views = append(views, c.watch(p, "stage"))
	}
	for _, v := range views {
		c.see(v, 20)
	}
	return cam, list, views
}

// parent of a participant, as it feels it.
func parent(p *participant) region.MemberID {
	for _, s := range p.Stats().Streams {
		if s.Stream == "stage" {
			return s.Parent
		}
	}
	return ""
}

// relay finds somebody with children.
func (c *cluster) relay(list []*participant) int {
	for i, p := range list {
		for _, s := range p.Stats().Streams {
			if len(s.Children) > 0 {
				return i
			}
		}
	}
	c.t.Fatal("nobody relays")
	return -1
}

func (c *cluster) agree(list []*participant) {
	c.t.Helper()
	c.until("the coordinators' tree is the one that stands", func() bool {
		r := c.region()
		for _, p := range list {
			n, ok := r.Node("stage", p.ID())
			if !ok || n.Parent != parent(p) || n.State != region.Standing {
				return false
			}
		}
		return r.NodeCount("stage") == len(list)+1
	})
	if err := c.region().Check(); err != nil {
		c.t.Error(err)
	}
}

// smooth checks that nobody missed the stream for longer than the loss of a
// relay may cost: 400 ms and the way to the standby and back.
func (c *cluster) smooth(list []*participant) {
	c.t.Helper()
	for _, p := range list {
		for _, s := range p.Stats().Streams {
			if s.GapMax > 400*time.Millisecond+2*oneWay {
				c.t.Errorf("%s had nothing of %s for %v", p.ID(), s.Stream, s.GapMax)
			}
		}
	}
}

func without[T any](list []T, i int) []T {
	return append(append([]T(nil), list[:i]...), list[i+1:]...)
}

func TestKilledRelayIsNotMissed(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *cluster) {
		_, list, views := c.chain(6)
		c.agree(list)
		dead := c.relay(list)
		list[dead].host.PowerOff()
		list, views = without(list, dead), without(views, dead)
		for _, v := range views {
			c.see(v, 200)
		}
		c.agree(list)
		c.smooth(list)
	})
}

func TestChangeOfLeaderIsNotSeen(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *cluster) {
		_, list, views := c.chain(4)
		dead := c.leader()
		dead.kill(t)
		for _, v := range views {
			c.see(v, 500)
		}
		c.smooth(list)
		c.until("all are connected to the new leader", func() bool {
			for _, p := range list {
				if s := p.Stats(); !s.Connected || s.Leader == dead.cfg.GRPC {
					return false
				}
			}
			return c.leader() != nil
		})
		c.see(c.watch(c.join(1000), "stage"), 50)
	})
}

func TestCoordinatorsAllGoneAndBack(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *cluster) {
		_, list, views := c.chain(6)
		c.agree(list)
		leases := map[region.MemberID]region.Lease{}
		for _, p := range list {
			leases[p.ID()] = p.Lease()
		}
		for _, co := range c.coord {
			co.kill(t)
		}
		time.Sleep(5 * time.Second)
		dead := c.relay(list)
		list[dead].host.PowerOff()
		list, views = without(list, dead), without(views, dead)
		time.Sleep(15 * time.Second)
		for _, co := range c.coord {
			co.start(t)
		}
		for _, v := range views {
			c.see(v, 1500)
		}
		c.agree(list)
		c.smooth(list)
		for _, p := range list {
			if p.Lease() != leases[p.ID()] {
				t.Errorf("%s began a new stay, though the coordinators kept the old one", p.ID())
			}
		}
	})
}

func TestForgottenMemberComesBackByItself(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *cluster) {
		origin := c.join(4000)
		c.film(origin, "stage")
		fan := c.join(2000)
		v := c.watch(fan, "stage")
		c.see(v, 20)
		// Cut off from the coordinators, not from each other, until leases end.
		lease := origin.Lease()
		c.isolate(c.coord[0].host, true)
		c.until("the coordinators have forgotten both", func() bool { return c.region().MemberCount() == 0 })
		c.isolate(c.coord[0].host, false)
		c.until("both are back", func() bool {
			return origin.Lease() > lease && c.region().NodeCount("stage") == 2
		})
		for len(v.seen) > 0 { // from before, and a gap
			<-v.seen
		}
		c.see(v, 50)
		if got := kinds(origin); !got[member.Disconnected] || !got[member.Rejoined] {
			t.Errorf("events of the origin: %v", got)
		}
	})
}

func TestLeavingRelayTakesNobodyWithIt(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *cluster) {
		_, list, views := c.chain(5)
		c.agree(list)
		leaver := c.relay(list)
		if err := list[leaver].Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, views = without(list, leaver), without(views, leaver)
		for _, v := range views {
			c.see(v, 100)
		}
		c.agree(list)
		for _, p := range list {
			if kinds(p)[member.Switched] {
				t.Errorf("%s had to use a standby, though the leaver said farewell", p.ID())
			}
		}
	})
}

// kinds drains the events of a participant.
func kinds(p *participant) map[member.EventKind]bool {
	got := map[member.EventKind]bool{}
	for {
		select {
		case e := <-p.Events():
			got[e.Kind] = true
		default:
			return got
		}
	}
}
