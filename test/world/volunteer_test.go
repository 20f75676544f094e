package world

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/coordinator/volunteer"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// A helper is a member whose node coordinates when it is needed.
type helper struct {
	*participant
	*volunteer.Volunteer
	id region.MemberID // of its coordinator
	// write is how long its disk takes, in nanoseconds.
	write atomic.Int64
}

// volunteer lets a member offer its node.
func (p *participant) volunteer(site string) *helper {
	p.w.t.Helper()
	h := &helper{participant: p}
	cfg := coordinator.DefaultConfig()
	cfg.Name, cfg.Site, cfg.DataDir = p.name, site, p.w.folder()
	cfg.Credentials = p.w.issue(trust.RoleCoordinator)
	cfg.GRPC, cfg.Raft = p.host.Addr().String()+":7400", p.host.Addr().String()+":7401"
	cfg.Advertise = coordinator.Peer{GRPC: cfg.GRPC, Raft: cfg.Raft}
	cfg.Network, cfg.Logger = p.host, p.cfg.Logger
	cfg.Disk = func(_ region.ID, write func() error) error {
		time.Sleep(time.Duration(h.write.Load()))
		return write()
	}
	p.w.tune(&cfg)
	h.id = cfg.Credentials.ID()
	node := p.node
	v, err := volunteer.Start(context.Background(), volunteer.Config{Coordinator: cfg, Home: func() volunteer.Home {
		return volunteer.Home{Region: node.Region(), Member: node.ID(), Coordinators: node.Coordinators()}
	}})
	p.w.must(err)
	h.Volunteer = v
	p.ends = append(p.ends, func() {
		if err := v.Close(); err != nil {
			p.w.note("the volunteer at %s closes: %v", p, err)
		}
	})
	return h
}

// inStaffedWorld is inWorld with three coordinators, the first of them in the north, and
// standards for members that have not been there for long.
func inStaffedWorld(t *testing.T, story func(*world)) {
	t.Helper()
	repeatable(t, 3)
	Bubble(t, standstill, func(t *testing.T) {
		w := newWorld(t, 3)
		w.tune = func(cfg *coordinator.Config) {
			cfg.Healing.Volunteers.Uptime = 30 * time.Second
			if cfg.Name == "c1" {
				cfg.Site = "north"
			}
		}
		w.found(3)
		story(w)
	})
}

// votes are the replicas that have a vote, by the word of who leads.
func (w *world) votes(helpers ...*helper) []region.MemberID {
	for _, s := range w.serving(helpers...) {
		if s.Leading(home) {
			return s.Replicas(home)
		}
	}
	return nil
}

// serving lists all coordinators that run.
func (w *world) serving(helpers ...*helper) (list []*coordinator.Server) {
	for _, s := range slices.Concat(w.coordinators, w.elsewhere) {
		if s.server != nil {
			list = append(list, s.server)
		}
	}
	for _, h := range helpers {
		if s := h.Server(); s != nil {
			list = append(list, s)
		}
	}
	return list
}

// staffed waits until the home region's group has three votes, one of them that of who, if
// that is set, and all of coordinators that run. Never on the way may it have fewer.
func (w *world) staffed(who region.MemberID, helpers ...*helper) {
	w.t.Helper()
	w.within(4*time.Minute, "the group is whole", func() error {
		votes := w.votes(helpers...)
		if len(votes) > 0 && len(votes) < 3 {
			w.fault("%d votes", len(votes))
		}
		var run []region.MemberID
		for _, s := range w.serving(helpers...) {
			run = append(run, s.ID())
		}
		missing := slices.ContainsFunc(votes, func(id region.MemberID) bool { return !slices.Contains(run, id) })
		if len(votes) != 3 || missing || who != "" && !slices.Contains(votes, who) {
			return fmt.Errorf("%d votes, missing %v", len(votes), missing)
		}
		return nil
	})
}

// standing is what the leader thinks of a volunteer: why it is not suited, "" if it is.
func (w *world) standing(h *helper) (string, error) {
	for _, s := range w.serving(h) {
		if !s.Leading(home) {
			continue
		}
		conn := w.operator(s)
		defer conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		resp, err := skeinv1.NewInspectionClient(conn).Status(ctx, &skeinv1.StatusRequest{})
		for _, g := range resp.GetGroups() {
			for _, v := range g.Volunteers {
				if v.Coordinator.GetId() == string(h.id) {
					return v.Reason, nil
				}
			}
		}
		return "", errors.Join(err, fmt.Errorf("nothing is known of it"))
	}
	return "", fmt.Errorf("nobody leads")
}

// judged waits until the leader thinks of a volunteer what is expected: a part of the
// reason why it is not suited, "" if it is.
func (w *world) judged(h *helper, why string) {
	w.t.Helper()
	w.within(3*time.Minute, h.String()+" is judged", func() error {
		reason, err := w.standing(h)
		if err == nil && (reason != "") != (why != "") || !strings.Contains(reason, why) {
			err = fmt.Errorf("it is judged %q, want %q", reason, why)
		}
		return err
	})
}

// A coordinator is gone for good, and no other is left to take its place: a member does,
// one at a site where no coordinator stands, until an ordinary coordinator is there again.
// Nobody is ever removed before another has taken its place.
func TestAMemberCoordinatesWhileItIsNeeded(t *testing.T) {
	inStaffedWorld(t, func(w *world) {
		w.populate(mixed(6)...)
		w.stage("stage")
		near, apart := w.members[2].volunteer("north"), w.members[3].volunteer("south")
		w.judged(near, "")
		w.judged(apart, "")
		time.Sleep(time.Minute)
		if near.Server() != nil || apart.Server() != nil {
			w.fault("a member coordinates, and nobody is lacking")
		}
		mark(w.audience("stage"))
		lost := w.coordinators[1]
		lost.ruin()
		w.staffed(apart.id, near, apart)
		if near.Server() != nil {
			w.fault("%s coordinates as well", near)
		}
		w.note("an ordinary one comes")
		w.recruit(1)
		w.staffed(w.elsewhere[0].server.ID(), near, apart)
		w.until("nobody needs the member any more", func() bool { return apart.Server() == nil })
		w.unbroken(w.audience("stage"), steady)
		w.judged(apart, "")
	})
}

// The node of a member that coordinates does worse than it should: another one takes its
// place. The last one stays although it does.
func TestAVolunteerThatDoesBadlyIsRelieved(t *testing.T) {
	inStaffedWorld(t, func(w *world) {
		w.populate(mixed(6)...)
		first := w.members[2].volunteer("")
		w.judged(first, "")
		w.coordinators[1].ruin()
		w.staffed(first.id, first)
		first.write.Store(int64(250 * time.Millisecond))
		time.Sleep(3 * time.Minute)
		if first.Server() == nil || !slices.Contains(w.votes(first), first.id) {
			w.fault("%s was let go, and there is nobody else", first)
		}
		second := w.members[3].volunteer("")
		w.staffed(second.id, first, second)
		w.until("the first one is let go", func() bool { return !slices.Contains(w.votes(first, second), first.id) })
		w.until("and stops", func() bool { return first.Server() == nil })
	})
}

// Who is not suited is told why, and is not invited even if there is nobody else.
func TestUnsuitedMembersAreNotInvited(t *testing.T) {
	inStaffedWorld(t, func(w *world) {
		w.populate(mixed(6)...)
		slow, hidden := w.members[2].volunteer(""), w.members[3].volunteer("")
		slow.write.Store(int64(150 * time.Millisecond))
		at := hidden.host.Addr()
		w.cut("a firewall", func(_, dst netip.AddrPort) bool {
			return dst == netip.AddrPortFrom(at, 7400) || dst == netip.AddrPortFrom(at, 7401)
		})
		late := w.populate(5000)[0].volunteer("")
		w.judged(late, "has been here for")
		w.judged(slow, "writes to its disk takes 150ms")
		w.judged(hidden, "cannot be reached")
		late.leave()
		w.coordinators[1].ruin()
		time.Sleep(5 * time.Minute)
		if slow.Server() != nil || hidden.Server() != nil {
			w.fault("somebody who is not suited coordinates")
		}
		if n := len(w.votes()); n != 3 {
			w.fault("%d votes: who is gone was removed, and nobody had come", n)
		}
	})
}

// divide has an operator split the home region, through who leads it.
func (w *world) divide(helpers ...*helper) error {
	for _, s := range w.serving(helpers...) {
		if !s.Leading(home) {
			continue
		}
		conn := w.operator(s)
		defer conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, err := skeinv1.NewInspectionClient(conn).Boundary(ctx, &skeinv1.BoundaryRequest{
			Region: string(home), Order: &skeinv1.BoundaryRequest_Split{Split: &skeinv1.SplitOrder{}},
		})
		return skeinv1.FromStatus(err)
	}
	return fmt.Errorf("nobody leads")
}

// operator is an operator's connection to a coordinator.
func (w *world) operator(s *coordinator.Server) *grpc.ClientConn {
	return must(grpc.NewClient("passthrough:///"+s.GRPCAddr().String(),
		grpc.WithTransportCredentials(credentials.NewTLS(w.issue(trust.RoleOperator).ClientTLS())),
		grpc.WithContextDialer(w.net.Host("10.3.0.1").Dial)))
}

// A region of which most replicas are run by members is not divided in such a way that
// one side would have too few nodes to coordinate it; with coordinators enough it is.
func TestNeitherSideLacksCoordinators(t *testing.T) {
	Bubble(t, standstill, func(t *testing.T) {
		w := newWorld(t, 4)
		w.tune = func(cfg *coordinator.Config) { cfg.Healing.Volunteers.Uptime = 30 * time.Second }
		w.found(1)
		for range 8 {
			w.populate(9000)
		}
		w.stage("stage")
		one, two := w.members[2].volunteer("one"), w.members[3].volunteer("two")
		w.until("both coordinate", func() bool { return len(w.votes(one, two)) == 3 })
		if err := w.divide(one, two); !errors.Is(err, region.ErrLimit) || !strings.Contains(err.Error(), "nodes that can coordinate") {
			w.fault("divided with three nodes that can coordinate, two of them members: %v", err)
		}
		w.recruit(2)
		w.within(6*time.Minute, "coordinators take over", func() error {
			if one.Server() != nil || two.Server() != nil {
				return fmt.Errorf("members coordinate still")
			}
			return nil
		})
		mark(w.audience("stage"))
		w.must(w.divide())
		w.unbroken(w.audience("stage"), across)
	})
}
