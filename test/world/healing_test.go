package world

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/region"
)

// recruit starts coordinators that host nothing yet.
func (w *world) recruit(count int) (list []*seat) {
	w.t.Helper()
	for range count {
		s := w.seat(len(w.coordinators) + len(w.elsewhere))
		s.cfg.Seeds = w.coordinators[0].cfg.Groups[0].Peers
		s.cfg.Advertise = coordinator.Peer{ID: s.cfg.Credentials.ID(), Raft: s.cfg.Raft, GRPC: s.cfg.GRPC}
		s.cfg.Groups = nil
		s.unjudged = true
		w.elsewhere = append(w.elsewhere, s)
		s.start()
		list = append(list, s)
	}
	return list
}

// hosts lists the coordinators on which a region has a replica that has a leader.
func (w *world) hosts(id region.ID) (names []string) {
	for _, s := range slices.Concat(w.coordinators, w.elsewhere) {
		if s.server != nil && slices.Contains(s.server.Regions(), id) {
			names = append(names, s.name)
		}
	}
	return names
}

// replaced waits until the home region's group has three replicas that run, and
// none that does not.
func (w *world) replaced() {
	w.t.Helper()
	w.within(3*time.Minute, "another one takes the place of who is gone", func() error {
		leader := w.leads()
		if leader == nil {
			return fmt.Errorf("nobody leads")
		}
		var run []region.MemberID
		for _, s := range slices.Concat(w.coordinators, w.elsewhere) {
			if s.server != nil {
				run = append(run, s.server.ID())
			}
		}
		voters := leader.server.Replicas(home)
		if len(voters) != 3 || slices.ContainsFunc(voters, func(id region.MemberID) bool { return !slices.Contains(run, id) }) {
			return fmt.Errorf("%d replicas", len(voters))
		}
		return nil
	})
}

// leads is who leads the home region, wherever.
func (w *world) leads() *seat {
	for _, s := range slices.Concat(w.coordinators, w.elsewhere) {
		if s.server != nil && s.server.Leading(home) {
			return s
		}
	}
	return nil
}

// Coordinators end for good, one after the other, until none of the first is left:
// others take their places, and nobody is removed before.
func TestReplicasAreReplaced(t *testing.T) {
	inWorld(t, 1, 3, func(w *world) {
		w.populate(mixed(6)...)
		w.stage("stage")
		w.recruit(3)
		time.Sleep(time.Minute)
		if hosts := w.hosts(home); len(hosts) != 3 {
			w.fault("the group was changed without need: %v", hosts)
		}
		mark(w.audience("stage"))
		for i, s := range slices.Clone(w.coordinators) {
			s.ruin()
			w.replaced()
			w.note("%d: hosted by %v", i+1, w.hosts(home))
		}
		if g := w.leads().server.Region(home).Generation(); g != 1 {
			w.fault("it is generation %d", g)
		}
		w.unbroken(w.audience("stage"), steady)
		w.until("all hold the same", func() bool {
			is := w.leads().server.Region(home).Hash()
			return !slices.ContainsFunc(w.elsewhere, func(s *seat) bool { return s.server.Region(home).Hash() != is })
		})
		// Members know the new ones: a newcomer among them is let in by them only.
		p := w.participant(5000)
		p.cfg.Coordinators = []string{w.elsewhere[0].cfg.GRPC}
		p.join()
		w.seen([]*viewer{p.watch("stage")}, 50)
	})
}

// A coordinator that was replaced while it was away comes back with its data: it is
// let in no more, and forgets the group.
func TestWhoeverWasReplacedGivesUp(t *testing.T) {
	inWorld(t, 1, 3, func(w *world) {
		w.populate(mixed(3)...)
		w.recruit(1)
		away := w.coordinators[2]
		away.powerOff()
		w.replaced()
		away.unjudged = true
		away.start()
		w.until("it forgets the group", func() bool { return len(away.server.Regions()) == 0 })
		if n := len(w.leads().server.Replicas(home)); n != 3 {
			w.fault("%d replicas", n)
		}
	})
}

// A coordinator that is back in time keeps its place, and one that retires hands its
// replica over first.
func TestOneRetiresInGoodOrder(t *testing.T) {
	inWorld(t, 1, 3, func(w *world) {
		w.populate(mixed(4)...)
		w.stage("stage")
		w.recruit(1)
		away := w.coordinators[2]
		away.powerOff()
		time.Sleep(40 * time.Second)
		away.start()
		time.Sleep(2 * time.Minute)
		if hosts := w.hosts(home); len(hosts) != 3 || slices.Contains(hosts, w.elsewhere[0].name) {
			w.fault("hosted by %v", hosts)
		}
		mark(w.audience("stage"))
		leader := w.leads() // even the leader
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		w.must(leader.server.Retire(ctx))
		if hosts := w.hosts(home); len(hosts) != 3 || slices.Contains(hosts, leader.name) {
			w.fault("hosted by %v", hosts)
		}
		w.unbroken(w.audience("stage"), steady)
	})
}
