package world

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// edges lists the members, and who draws what from whom.
func edges(r *region.Region) (list []string) {
	for s := range r.Streams() {
		list = append(list, fmt.Sprintf("%s of %.6s from %q, standby %.6s", s.ID, s.Origin, s.From, s.Standby))
		for n := range r.Nodes(s.ID) {
			list = append(list, fmt.Sprintf("%s: %.6s draws from %.6s", s.ID, n.Member, n.Parent))
		}
	}
	for m := range r.Members() {
		list = append(list, fmt.Sprintf("%.6s in lease %d lends %d, home %q", m.ID, m.Lease, m.Uplink, m.Home))
	}
	return list
}

// standbys lists who stands by for whom: those that members know of.
func standbys(r *region.Region) (list []string) {
	for s := range r.Streams() {
		for n := range r.Nodes(s.ID) {
			list = append(list, fmt.Sprintf("%s: for %.6s stand by %.6s", s.ID, n.Member, n.Standbys[:min(len(n.Standbys), 2)]))
		}
	}
	return list
}

// ruin ends all coordinators of the home region for good. From then on the others
// are those that may lead it.
func (w *world) ruin() (lost []*seat) {
	for _, s := range w.coordinators {
		s.ruin()
	}
	lost = w.coordinators
	w.coordinators, w.elsewhere = w.elsewhere, w.coordinators
	return lost
}

// quiet is the structure at a moment when members have been told all of it.
func (w *world) quiet() *region.Region {
	w.t.Helper()
	now, since := w.leader().server.Region(home), time.Now()
	w.until("nothing has changed for a moment", func() bool {
		if is := w.leader().server.Region(home); is.Revision() != now.Revision() {
			now, since = is, time.Now()
		}
		return time.Since(since) > 100*time.Millisecond
	})
	return now
}

// acquaint lets all coordinators hear of one another.
func (w *world) acquaint() {
	w.t.Helper()
	time.Sleep(2 * time.Minute)
	for _, v := range w.audience("stage") {
		v.mark()
	}
}

// agreed waits until every member at home is in touch with its coordinators, and
// draws from where they say.
func (w *world) agreed() {
	w.t.Helper()
	w.within(patience, "members and coordinators agree", func() error {
		if w.leader() == nil {
			return fmt.Errorf("nobody leads")
		}
		r := w.leader().server.Region(home)
		for _, p := range w.present() {
			if p.cfg.Region == away {
				continue
			}
			if !p.node.Stats().Connected {
				return fmt.Errorf("%s has no coordinator", p)
			}
			for _, s := range p.node.Stats().Streams {
				if n, _ := r.Node(s.Stream, p.node.ID()); n.Parent != s.Parent {
					return fmt.Errorf("%s draws %s from %.6s, not %.6s", p, s.Stream, s.Parent, n.Parent)
				}
			}
		}
		return nil
	})
}

// All coordinators of a region end for good, and their data with them. Out of what
// its members hold the region is formed anew, on those of another one, and media
// never stop.
func TestALostRegionIsFormedAnew(t *testing.T) {
	inTwoRegions(t, 8, 6, func(w *world, abroad []*participant) {
		w.agreed()
		w.acquaint()
		before := w.quiet()
		mark(w.audience("stage"))
		lost := w.ruin()
		began := time.Now()
		w.within(30*time.Second, "the region is formed anew", func() error {
			if w.leader() == nil {
				return fmt.Errorf("nobody leads it")
			}
			return nil
		})
		t.Logf("formed anew after %v", time.Since(began).Round(time.Millisecond))
		anew := w.leader().server.Region(home)
		w.equal(edges(before), edges(anew))
		w.equal(standbys(before), standbys(anew))
		if anew.Generation() < before.Generation()+region.ReformJump {
			w.fault("generation %d after %d", anew.Generation(), before.Generation())
		}
		w.agreed()
		time.Sleep(20 * time.Second) // its leader may make better trees by now
		w.agreed()
		w.unbroken(w.audience("stage"), steady)

		newcomer := w.populate(5000)[0]
		w.seen([]*viewer{newcomer.watch("stage")}, 50)
		w.agreed()

		// The old ones come back with nothing, as their configuration says.
		leader := w.leader()
		for _, s := range lost {
			s.start()
		}
		w.until("the old coordinators give the region up", func() bool {
			return !slices.ContainsFunc(lost, func(s *seat) bool { return slices.Contains(s.server.Regions(), home) })
		})
		w.agreed()
		time.Sleep(20 * time.Second)
		if w.leader() != leader {
			w.fault("somebody else leads the region")
		}
		w.unbroken(w.audience("stage"), steady)
	})
}

// The old group comes back with its data after the region was formed anew: it gives
// the region up, and no member goes back to it.
func TestTheLostGroupDoesNotComeBack(t *testing.T) {
	inTwoRegions(t, 6, 4, func(w *world, _ []*participant) {
		w.acquaint()
		mark(w.audience("stage"))
		for _, s := range w.coordinators {
			s.kill()
			s.unjudged = true
		}
		w.coordinators, w.elsewhere = w.elsewhere, w.coordinators
		w.until("the region is formed anew", func() bool { return w.leader() != nil })
		w.agreed()
		anew := w.leads().server.Region(home).Generation()
		for _, s := range w.elsewhere {
			s.start()
		}
		w.until("the old coordinators give the region up", func() bool {
			return !slices.ContainsFunc(w.elsewhere, func(s *seat) bool { // the new group may take them in
				r := s.server.Region(home)
				return r != nil && r.Generation() < anew
			})
		})
		w.agreed()
		time.Sleep(20 * time.Second)
		w.unbroken(w.audience("stage"), steady)
	})
}

// Without a majority of its members a region is formed anew only at an operator's
// word, which does nothing as long as the region is there.
func TestAnOperatorRecoversARegion(t *testing.T) {
	inTwoRegions(t, 6, 4, func(w *world, _ []*participant) {
		w.acquaint()
		if _, err := w.recover(w.elsewhere[0]); !errors.Is(err, region.ErrExists) {
			w.fault("a region that is there is recovered: %v", err)
		}
		lost := w.ruin()
		for _, p := range w.members[2:] { // a member at home and all abroad are left
			if p.cfg.Region == home {
				p.powerOff()
			}
		}
		time.Sleep(time.Minute)
		if w.leader() != nil {
			w.fault("a minority has the region formed anew")
		}
		mark(w.audience("stage"))
		w.until("the region is formed anew", func() bool {
			_, err := w.recover(w.coordinators[0])
			return w.leader() != nil || err != nil && !errors.Is(err, region.ErrUnreachable)
		})
		w.agreed()
		time.Sleep(10 * time.Second)
		w.unbroken(w.audience("stage"), steady)
		if at := lost[0]; at.server != nil {
			w.fault("%s runs", at.name)
		}
	})
}

// recover asks a coordinator to form the home region anew.
func (w *world) recover(at *seat) (*skeinv1.RecoverResponse, error) {
	conn := must(grpc.NewClient("passthrough:///"+at.cfg.GRPC,
		grpc.WithTransportCredentials(credentials.NewTLS(w.issue(trust.RoleOperator).ClientTLS())),
		grpc.WithContextDialer(w.net.Host("10.3.0.1").Dial)))
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	resp, err := skeinv1.NewDirectoryClient(conn).Recover(ctx, &skeinv1.RecoverRequest{Region: string(home)})
	return resp, skeinv1.FromStatus(err)
}

// A group of which a majority lives is never replaced, whatever its members say.
func TestWhoeverIsCutOffDoesNotFormTheRegionAnew(t *testing.T) {
	inTwoRegions(t, 6, 4, func(w *world, _ []*participant) {
		w.acquaint()
		generation := w.leader().server.Region(home).Generation()
		mark(w.audience("stage"))
		for _, s := range w.coordinators {
			at := s.host.Addr()
			for _, p := range w.members {
				if p.cfg.Region == away {
					continue
				}
				member := p.host.Addr()
				w.cut(fmt.Sprintf("%s from %s", p, s.name), func(a, b netip.AddrPort) bool {
					return a.Addr() == at && b.Addr() == member || a.Addr() == member && b.Addr() == at
				})
			}
		}
		time.Sleep(time.Minute)
		w.heal()
		w.agreed()
		if now := w.leader().server.Region(home).Generation(); now != generation {
			w.fault("generation %d, was %d", now, generation)
		}
		w.unbroken(w.audience("stage"), steady)
	})
}

func (w *world) equal(was, is []string) {
	w.t.Helper()
	if !slices.Equal(was, is) {
		w.fault("it is\n  %s\nand was\n  %s", strings.Join(is, "\n  "), strings.Join(was, "\n  "))
	}
}
