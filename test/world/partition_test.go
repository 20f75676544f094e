package world

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

// forgiven bounds for how long a parent that could not be reached is avoided.
const forgiven = 15 * time.Second

// stays are those that the coordinators hold.
func (w *world) stays() map[region.MemberID]region.Lease {
	w.t.Helper()
	held := map[region.MemberID]region.Lease{}
	w.until("somebody leads", func() bool { return w.leader() != nil })
	for m := range w.leader().server.Region(home).Members() {
		held[m.ID] = m.Lease
	}
	return held
}

// nobodyForgotten checks that all stays went on but those that ended in truth.
func (w *world) nobodyForgotten(before map[region.MemberID]region.Lease, ended ...*participant) {
	w.t.Helper()
	for _, p := range ended {
		delete(before, p.cfg.Credentials.ID())
	}
	now := w.stays()
	maps.DeleteFunc(now, func(id region.MemberID, _ region.Lease) bool { _, was := before[id]; return !was })
	if !maps.Equal(before, now) {
		w.fault("stays ended: %v before, %v now", before, now)
	}
}

// acquainted waits until everybody knows everybody by gossip.
func (w *world) acquainted(limit time.Duration) {
	w.t.Helper()
	w.within(limit, "everybody knows everybody by gossip", func() error {
		all := w.present()
		for _, p := range all {
			if n := p.node.Stats().Peers; n != len(all)-1 {
				return fmt.Errorf("%s knows %d of %d", p, n, len(all)-1)
			}
		}
		return nil
	})
}

// one newcomer watches the stage.
func (w *world) newcomer() *viewer {
	p := w.participant(1000)
	p.enterAndWatch()
	return p.views["stage"]
}

// Gossip is advice: without it nobody is held for dead who is not, members come,
// relays are replaced, and streams go on. Afterwards the pool is whole again.
func TestOnlyGossipIsCut(t *testing.T) {
	inTheatre(t, 10, func(w *world, _ []*viewer) {
		before := w.stays()
		w.cut("gossip", onPort(7402))
		time.Sleep(40 * time.Second)
		w.seen([]*viewer{w.newcomer()}, 1)
		dead := w.relays("stage")[0]
		list := w.audience("stage")
		mark(list)
		dead.kill()
		time.Sleep(40 * time.Second)
		list = w.audience("stage")
		w.unbroken(list, rescue)
		w.nobodyForgotten(before, dead)
		w.heal()
		w.acquainted(2 * time.Minute)
		w.settled()
		w.unbroken(list, rescue)
	})
}

// While coordinators cannot be reached members go on by themselves: a relay that
// dies costs no packet, gossip knows of it, and who wants to join waits. Afterwards
// the coordinators have forgotten nobody else, and let the newcomer in.
func TestOnlyGRPCIsCut(t *testing.T) {
	inTheatre(t, 10, func(w *world, list []*viewer) {
		before := w.stays()
		w.cut("gRPC", onPort(7400))
		time.Sleep(20 * time.Second)
		dead := w.relays("stage")[0]
		dead.kill()
		var late *viewer
		waits := make(chan struct{})
		go func() {
			defer close(waits)
			late = w.newcomer()
		}()
		time.Sleep(30 * time.Second)
		select {
		case <-waits:
			t.Error("somebody joined without coordinators")
		default:
		}
		list = slices.DeleteFunc(list, func(v *viewer) bool { return v.p == dead })
		w.unbroken(list, rescue)
		for _, v := range list {
			if n := v.p.node.Stats().Peers; n != len(list) {
				t.Errorf("%s knows %d others by gossip, want %d", v.p, n, len(list))
			}
		}
		w.heal()
		<-waits
		w.seen([]*viewer{late}, 1)
		w.settled()
		w.nobodyForgotten(before, dead)
		w.unbroken(list, rescue)
	})
}

// Without media links there are no streams, but everybody stays a member and
// keeps the place. Afterwards all have the stream again.
func TestOnlyMediaIsCut(t *testing.T) {
	inTheatre(t, 10, func(w *world, list []*viewer) {
		before := w.stays()
		w.cut("media", onPort(7500))
		time.Sleep(40 * time.Second)
		for _, v := range list {
			if s := v.sight(); s.gap < 30*time.Second {
				t.Errorf("%s had the stream %v ago", v.p, s.gap)
			}
		}
		w.nobodyForgotten(before)
		w.heal()
		// Parents that nobody could reach are set aside for a while.
		w.back(list, forgiven)
		w.settled()
		w.nobodyForgotten(before)
		w.acquainted(time.Minute)
		mark(list)
		time.Sleep(5 * time.Second)
		w.unbroken(list, steady)
	})
}

// Two halves: on the side of most coordinators and of the origin everything goes
// on, newcomers included; on the other side nothing is decided. Afterwards they
// are one region again, in one structure.
func TestTwoHalves(t *testing.T) {
	inTheatre(t, 12, func(w *world, list []*viewer) {
		leader := w.leader()
		// One coordinator that does not lead and every other member, not the origin.
		away := map[netip.Addr]bool{}
		for _, s := range w.coordinators {
			if s != leader && len(away) == 0 {
				away[s.host.Addr()] = true
			}
		}
		var here, there []*viewer
		for i, v := range list {
			if i%2 == 0 {
				away[v.p.host.Addr()] = true
				there = append(there, v)
			} else {
				here = append(here, v)
			}
		}
		w.cut("half from half", between(func(a netip.Addr) bool { return away[a] }))
		time.Sleep(10 * time.Second)
		// Whoever hung below the other side, standbys and all, had to ask for a place.
		mark(here)
		late := w.newcomer()
		w.seen([]*viewer{late}, 1)
		time.Sleep(40 * time.Second)
		here = append(here, late)
		w.unbroken(here, rescue)
		for _, s := range w.coordinators {
			if away[s.host.Addr()] && s.server.Leading(home) {
				t.Errorf("%s leads without a majority", s.name)
			}
		}
		w.heal()
		all := append(slices.Clone(here), there...)
		w.back(all, comeback)
		w.acquainted(2 * time.Minute)
		w.settled()
		mark(all)
		time.Sleep(5 * time.Second)
		w.unbroken(all, steady)
	})
}
