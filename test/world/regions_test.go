package world

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/world/simnet"
)

const away = region.ID("r2")

// colonise starts the coordinators of another region, which know those at home.
func (w *world) colonise(count int) {
	w.t.Helper()
	var peers []coordinator.Peer
	for i := range count {
		s := w.seat(len(w.coordinators) + i)
		w.elsewhere = append(w.elsewhere, s)
		peers = append(peers, coordinator.Peer{ID: s.cfg.Credentials.ID(), Raft: s.cfg.Raft, GRPC: s.cfg.GRPC})
	}
	for _, s := range w.elsewhere {
		s.cfg.Groups = []coordinator.Group{{Region: away, Peers: peers}}
		s.cfg.Seeds = w.coordinators[0].cfg.Groups[0].Peers
		s.start()
	}
	w.until("somebody leads abroad", func() bool { return w.leaderAbroad() != nil })
}

func (w *world) leaderAbroad() *seat {
	for _, s := range w.elsewhere {
		if s.server != nil && s.server.Leading(away) {
			return s
		}
	}
	return nil
}

// settle lets members join the other region.
func (w *world) settle(uplinks ...region.Rate) []*participant {
	w.t.Helper()
	var list []*participant
	for _, u := range uplinks {
		p := w.participant(u)
		p.cfg.Region, p.cfg.Coordinators = away, nil
		for _, s := range w.elsewhere {
			p.cfg.Coordinators = append(p.cfg.Coordinators, s.cfg.GRPC)
		}
		p.join()
		list = append(list, p)
	}
	return list
}

// inTwoRegions runs a story in which a member at home publishes "stage", and all
// others there and abroad watch it.
func inTwoRegions(t *testing.T, here, there int, story func(w *world, abroad []*participant)) {
	t.Helper()
	inWorld(t, 1, 3, func(w *world) {
		w.populate(mixed(here)...)
		w.colonise(3)
		abroad := w.settle(mixed(there)...)
		w.stage("stage")
		time.Sleep(20 * time.Second)
		for _, v := range w.audience("stage") {
			v.mark()
		}
		story(w, abroad)
	})
}

// gateways are those who draw a stream for the region abroad.
func (w *world) gateways(id region.StreamID) (active, standby *participant) {
	s, _ := w.leaderAbroad().server.Region(away).Stream(id)
	for _, p := range w.members {
		switch p.cfg.Credentials.ID() {
		case s.Origin:
			active = p
		case s.Standby:
			standby = p
		}
	}
	return active, standby
}

// visitors are those that the home region knows.
func (w *world) visitors() (list []string) {
	for m := range w.leader().server.Region(home).Members() {
		if m.Home != "" {
			list = append(list, fmt.Sprintf("%s of %s", m.Name, m.Home))
		}
	}
	return list
}

func TestAStreamReachesAnotherRegion(t *testing.T) {
	inTwoRegions(t, 6, 8, func(w *world, _ []*participant) {
		time.Sleep(time.Minute)
		w.unbroken(w.audience("stage"), steady)
		active, standby := w.gateways("stage")
		if active == nil || standby == nil {
			t.Fatalf("gateways %v and %v", active, standby)
		}
		if visitors := w.visitors(); len(visitors) != 2 {
			t.Errorf("one stream takes %d visitors: %v", len(visitors), visitors)
		}
		for _, s := range slices.Concat(w.coordinators, w.elsewhere) {
			for _, id := range s.server.Regions() {
				if err := s.server.Region(id).Check(); err != nil {
					t.Errorf("region %s at %s: %v", id, s.name, err)
				}
			}
		}
	})
}

func TestAKilledGatewayCostsNoPacket(t *testing.T) {
	for name, end := range map[string]func(*participant){
		"killed":    (*participant).kill,
		"power cut": (*participant).powerOff,
		"leaves":    (*participant).leave,
	} {
		t.Run(name, func(t *testing.T) {
			inTwoRegions(t, 4, 9, func(w *world, _ []*participant) {
				for range 2 {
					active, standby := w.gateways("stage")
					if active == nil || standby == nil {
						t.Fatalf("gateways %v and %v", active, standby)
					}
					end(active)
					time.Sleep(20 * time.Second)
					w.unbroken(w.audience("stage"), rescue)
					if now, _ := w.gateways("stage"); now != standby {
						t.Errorf("%v draws the stream, and not %v, who stood by", now, standby)
					}
					for _, v := range w.audience("stage") {
						v.mark()
					}
				}
			})
		})
	}
}

// A region with one who wants a stream uses that one as its gateway, and nothing
// stays behind when nobody wants it any more.
func TestTheOnlySubscriberIsItsOwnGateway(t *testing.T) {
	inTwoRegions(t, 2, 1, func(w *world, abroad []*participant) {
		if active, standby := w.gateways("stage"); active != abroad[0] || standby != nil {
			t.Errorf("gateways %v and %v", active, standby)
		}
		abroad[0].views["stage"].leave()
		delete(abroad[0].views, "stage")
		w.until("nothing is left of it", func() bool {
			_, drawn := w.leaderAbroad().server.Region(away).Stream("stage")
			return !drawn && len(w.visitors()) == 0
		})
	})
}

// The first who wants a stream may have nothing to feed others with: then the next one
// who has draws it for the region, and the first misses no packet.
func TestAFirstSubscriberWithoutUplinkShutsNobodyOut(t *testing.T) {
	inTwoRegions(t, 2, 0, func(w *world, _ []*participant) {
		first := w.settle(0)[0].watch("stage")
		w.seen([]*viewer{first}, 100)
		for _, p := range w.settle(0, 8000, 3000, 0) {
			p.watch("stage")
		}
		w.seen(w.audience("stage"), 100)
		if active, _ := w.gateways("stage"); active == first.p {
			t.Error("who cannot feed anybody draws the stream for all")
		}
		w.unbroken([]*viewer{first}, rescue)
	})
}

// A stream that ends and begins anew is found again.
func TestAStreamBeginsAnewElsewhere(t *testing.T) {
	inTwoRegions(t, 3, 3, func(w *world, abroad []*participant) {
		c := w.camera("stage")
		publisher := c.at.Load()
		publisher.leave()
		time.Sleep(5 * time.Second)
		publisher.join()
		if err := publisher.film(c); err != nil {
			t.Fatal(err)
		}
		for _, v := range w.audience("stage") {
			v.mark()
		}
		w.seen(w.audience("stage"), 100)
		for _, v := range w.audience("stage") {
			v.mark()
		}
		time.Sleep(20 * time.Second)
		w.unbroken(w.audience("stage"), steady)
	})
}

// Whoever wanted a stream first draws it for its region, however far it is. When it
// shows that another one is nearer that one takes over, and nobody misses a packet.
func TestTheNearestDrawsAStreamForItsRegion(t *testing.T) {
	inWorld(t, 1, 3, func(w *world) {
		w.populate(5000, 3000)
		w.colonise(3)
		first := w.participant(8000)
		w.net.Profile(func(a, b netip.Addr) simnet.Link {
			if a == first.host.Addr() || b == first.host.Addr() {
				return simnet.Link{Latency: 60 * time.Millisecond}
			}
			return simnet.Link{Latency: 8 * time.Millisecond}
		})
		first.cfg.Region, first.cfg.Coordinators = away, []string{w.elsewhere[0].cfg.GRPC}
		first.join()
		time.Sleep(time.Minute) // all coordinators have met
		w.stage("stage")
		if active, _ := w.gateways("stage"); active != first {
			w.fault("%v draws the stream", active)
		}
		for _, p := range w.settle(8000, 6000, 8000, 3000, 1000) {
			p.watch("stage")
		}
		w.seen(w.audience("stage"), 50)
		mark(w.audience("stage"))
		w.within(3*time.Minute, "somebody nearer draws it", func() error {
			if active, standby := w.gateways("stage"); active == first || standby == nil {
				return fmt.Errorf("%v and %v", active, standby)
			}
			return nil
		})
		time.Sleep(30 * time.Second)
		w.unbroken(w.audience("stage"), steady)
		active, _ := w.gateways("stage")
		mark(w.audience("stage"))
		active.kill() // the far one takes over, and again not for long
		time.Sleep(time.Minute)
		w.unbroken(w.audience("stage"), 2*rescue)
		if now, _ := w.gateways("stage"); now == nil || now == first {
			w.fault("%v draws the stream", now)
		}
	})
}

// along is the way between two hosts that live along a road.
func along(a, b netip.Addr) time.Duration {
	house := func(x netip.Addr) time.Duration { return time.Duration(int(x.As4()[3])*37%100) * time.Millisecond }
	return time.Millisecond + (house(a) - house(b)).Abs()
}

// Who does not care where it lives lives where most is near, if there is room.
func TestANewcomerGoesToTheNearestRegion(t *testing.T) {
	inWorld(t, 3, 3, func(w *world) {
		w.net.Profile(func(a, b netip.Addr) simnet.Link { return simnet.Link{Latency: along(a, b)} })
		w.populate(5000)
		w.tune = func(c *coordinator.Config) { c.MaxMembers = 3 }
		w.colonise(3)
		w.settle(5000)
		lives := map[region.ID][]*participant{home: {w.members[0]}, away: {w.members[1]}}
		for range 3 {
			time.Sleep(2 * time.Minute) // every coordinator has heard of the last one
			p := w.participant(5000)
			p.cfg.Region = member.NearestRegion
			mean := func(id region.ID) (sum time.Duration) {
				for _, o := range lives[id] {
					sum += along(p.host.Addr(), o.host.Addr()) / time.Duration(len(lives[id]))
				}
				return sum
			}
			want := home
			if mean(away) < mean(home) && len(lives[away]) < 3 {
				want = away
			}
			p.join()
			for id, at := range map[region.ID]*seat{home: w.leader(), away: w.leaderAbroad()} {
				_, there := at.server.Region(id).Member(p.cfg.Credentials.ID())
				if there != (id == want) {
					t.Errorf("%s: in region %s is %v, which is %v away, and %s is %v", p, id, there, mean(id), want, mean(want))
				}
			}
			lives[want] = append(lives[want], p)
		}
		t.Logf("%d live at home, %d abroad", len(lives[home]), len(lives[away]))
	})
}
