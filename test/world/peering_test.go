package world

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/member"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// visitTTL is how long grants of visitors from another community are valid.
const visitTTL = 90 * time.Second

// A neighbour is another community: a CA, coordinators and members of its own, and a
// region of the same name as that at home.
type neighbour struct {
	w       *world
	ca      *trust.Authority
	seats   []*seat
	members []*participant
}

// neighbour founds another community. Nobody knows the other one.
func (w *world) neighbour(coordinators int, uplinks ...region.Rate) *neighbour {
	w.t.Helper()
	n := &neighbour{w: w, ca: must(trust.NewAuthority(time.Now()))}
	ours := w.ca
	w.ca = n.ca
	defer func() { w.ca = ours }()
	var peers []coordinator.Peer
	for range coordinators {
		s := w.seat(len(w.coordinators) + len(w.elsewhere))
		s.unjudged = true
		w.elsewhere, n.seats = append(w.elsewhere, s), append(n.seats, s)
		peers = append(peers, coordinator.Peer{ID: s.cfg.Credentials.ID(), Raft: s.cfg.Raft, GRPC: s.cfg.GRPC})
	}
	for _, s := range n.seats {
		s.cfg.Groups = []coordinator.Group{{Region: home, Peers: peers}}
		s.start()
	}
	w.until("somebody leads the neighbours", func() bool { return n.leader() != nil })
	for _, u := range uplinks {
		p := w.participant(u)
		p.cfg.Coordinators = nil
		for _, s := range n.seats {
			p.cfg.Coordinators = append(p.cfg.Coordinators, s.cfg.GRPC)
		}
		p.join()
		n.members = append(n.members, p)
	}
	return n
}

func (n *neighbour) leader() *seat {
	for _, s := range n.seats {
		if s.server != nil && s.server.Leading(home) {
			return s
		}
	}
	return nil
}

// credentials are new ones of that community.
func (n *neighbour) credentials(role trust.Role) *trust.Credentials {
	return must(n.ca.Issue(must(trust.NewIdentity()), role, trust.CertificateTTL, time.Now()))
}

// orders has an operator of a community say something to who leads its region.
func (w *world) orders(at *seat, creds *trust.Credentials, say func(context.Context, skeinv1.InspectionClient) error) error {
	return w.calls(at, creds.ClientTLS, func(ctx context.Context, conn *grpc.ClientConn) error {
		return say(ctx, skeinv1.NewInspectionClient(conn))
	})
}

// agree has both communities agree that the neighbours may draw some streams.
func (n *neighbour) agree(draw ...string) (ours, theirs error) {
	w := n.w
	ours = w.orders(w.leader(), w.issue(trust.RoleOperator), func(ctx context.Context, c skeinv1.InspectionClient) error {
		_, err := c.Agree(ctx, &skeinv1.AgreeRequest{Region: string(home), Agreement: &skeinv1.Agreement{
			Community: n.ca.Hash(), Name: "east", Draw: draw, Visitors: 4,
		}})
		return err
	})
	theirs = w.orders(n.leader(), n.credentials(trust.RoleOperator), func(ctx context.Context, c skeinv1.InspectionClient) error {
		_, err := c.Agree(ctx, &skeinv1.AgreeRequest{Region: string(home), Agreement: &skeinv1.Agreement{
			Community: w.ca.Hash(), Name: "west", Seeds: []string{w.coordinators[0].cfg.GRPC},
		}})
		return err
	})
	return ours, theirs
}

// end ends the agreement on one side.
func (w *world) endAgreement(at *seat, creds *trust.Credentials, name string) {
	w.t.Helper()
	w.must(w.orders(at, creds, func(ctx context.Context, c skeinv1.InspectionClient) error {
		_, err := c.Agree(ctx, &skeinv1.AgreeRequest{Region: string(home), Agreement: &skeinv1.Agreement{Name: name}, End: true})
		return err
	}))
}

// views are those of the neighbours.
func (n *neighbour) views(id region.StreamID) (list []*viewer) {
	for _, p := range n.members {
		if v := p.views[id]; v != nil && p.node != nil {
			list = append(list, v)
		}
	}
	return list
}

// A member of another community, with a CA of its own, watches what was agreed on,
// through gateways and without a missing packet; nothing else is there for it; and
// when either side has had enough of it that ends.
func TestTwoCommunitiesShareAStream(t *testing.T) {
	inWorldOf(t, 1, 3, []region.ID{"hidden"}, func(w *world) {
		w.populate(mixed(3)...)
		publisher := w.members[0]
		for _, id := range []region.StreamID{"west/stage", "west/secret"} {
			w.must(publisher.film(w.camera(id)))
		}
		w.seen([]*viewer{w.members[1].watch("west/stage"), w.members[2].watch("west/stage")}, 25)
		east := w.neighbour(3, mixed(4)...)
		unknown := func(id region.StreamID) {
			t.Helper()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if _, err := east.members[0].node.Subscribe(ctx, id); !errors.Is(err, region.ErrUnknownStream) {
				t.Errorf("subscribe to %s: %v, want that there is no such stream", id, err)
			}
		}
		unknown("west/stage")
		ours, theirs := east.agree("west/stage")
		w.must(errors.Join(ours, theirs))
		for _, p := range east.members {
			p.watch("west/stage")
		}
		w.seen(east.views("west/stage"), 100)
		mark(w.audience("west/stage"))
		time.Sleep(2 * visitTTL) // grants are renewed
		w.unbroken(w.audience("west/stage"), steady)
		if visitors := w.visitors(); len(visitors) != 2 {
			t.Errorf("visitors: %v", visitors)
		}
		for _, s := range []*seat{w.leader(), east.leader()} {
			if err := s.server.Region(home).Check(); err != nil {
				t.Errorf("at %s: %v", s.name, err)
			}
		}
		unknown("west/secret")
		unknown("west/nothing")
		east.denied()

		stream, _ := east.leader().server.Region(home).Stream("west/stage")
		if stream.From != home.Of(w.ca.Hash()) {
			t.Errorf("drawn from %s", stream.From)
		}
		gateway := slices.IndexFunc(east.members, func(p *participant) bool { return p.cfg.Credentials.ID() == stream.Origin })
		east.members[gateway].kill()
		time.Sleep(20 * time.Second)
		w.unbroken(w.audience("west/stage"), rescue)

		over := func() bool {
			_, drawn := east.leader().server.Region(home).Stream("west/stage")
			return len(w.visitors()) == 0 && !drawn
		}
		began := time.Now()
		w.endAgreement(w.leader(), w.issue(trust.RoleOperator), "east")
		w.until("the agreement is over", over)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("that took %v", took)
		}
		ours, _ = east.agree("west/*")
		w.must(ours)
		mark(east.views("west/stage"))
		w.seen(east.views("west/stage"), 50)
		w.endAgreement(east.leader(), east.credentials(trust.RoleOperator), "west")
		w.until("the other side has ended it", over)
		if w.unbroken([]*viewer{w.members[1].views["west/stage"]}, rescue); len(w.visitors()) != 0 {
			t.Errorf("visitors: %v", w.visitors())
		}
	})
}

// Visitors that hear of nothing, or heed nobody, are fed no longer than their grants
// count, and those last for a minute and a half.
func TestAVisitorThatHeedsNobodyIsLetGo(t *testing.T) {
	inWorld(t, 1, 1, func(w *world) {
		w.populate(5000, 3000)
		w.must(w.members[0].film(w.camera("west/stage")))
		ours := w.members[1].watch("west/stage")
		east := w.neighbour(1, 5000, 3000)
		w.must(errors.Join(east.agree("west/*")))
		for _, p := range east.members {
			p.watch("west/stage")
		}
		w.seen(w.audience("west/stage"), 50)
		for _, s := range slices.Concat(w.coordinators, east.seats) {
			for _, p := range east.members {
				at, member := s.host.Addr(), p.host.Addr()
				w.cut(fmt.Sprintf("%s from %s", p, s.name), func(a, b netip.AddrPort) bool {
					return a.Addr() == at && b.Addr() == member || a.Addr() == member && b.Addr() == at
				})
			}
		}
		w.endAgreement(w.leader(), w.issue(trust.RoleOperator), "east")
		time.Sleep(visitTTL + 10*time.Second)
		mark(w.audience("west/stage"))
		time.Sleep(10 * time.Second)
		for _, v := range east.views("west/stage") {
			if s := v.sight(); s.received > 0 {
				w.fault("%s is fed still, %d packets", v.p, s.received)
			}
		}
		w.unbroken([]*viewer{ours}, steady)
	})
}

// A region that shares its streams is divided: the part that was split off shares them
// as well, and the neighbours follow without missing a packet.
func TestASharedRegionIsDivided(t *testing.T) {
	repeatable(t, 1)
	Bubble(t, standstill, func(t *testing.T) {
		w := newWorld(t, 1)
		w.tune = bounded(0)
		w.open(8, 0)
		for i, id := range []region.StreamID{"west/a", "west/b", "west/c", "west/d"} {
			w.must(w.members[2*i].film(w.camera(id)))
		}
		east := w.neighbour(3, 9000, 9000, 5000)
		w.must(errors.Join(east.agree("west/*")))
		for id := range w.cameras {
			for _, p := range east.members {
				p.watch(id)
			}
		}
		w.seen(w.everybody(), 50)
		time.Sleep(20 * time.Second)
		mark(w.everybody())
		w.must(w.orders(w.leader(), w.issue(trust.RoleOperator), func(ctx context.Context, c skeinv1.InspectionClient) error {
			_, err := c.Boundary(ctx, &skeinv1.BoundaryRequest{Region: string(home), Order: &skeinv1.BoundaryRequest_Split{Split: &skeinv1.SplitOrder{}}})
			return err
		}))
		w.within(patience, "streams are drawn from both parts", func() error {
			from := map[region.ID]bool{}
			for s := range east.leader().server.Region(home).Streams() {
				from[s.From] = true
			}
			if len(from) != 2 {
				return fmt.Errorf("from %v", from)
			}
			return nil
		})
		time.Sleep(time.Minute)
		w.unbroken(w.everybody(), across)
	})
}

// denied checks what members and coordinators of the neighbours may not do here.
func (n *neighbour) denied() {
	w, t := n.w, n.w.t
	t.Helper()
	someone, clerk := n.credentials(trust.RoleMember), n.credentials(trust.RoleCoordinator)
	for what, c := range map[string]struct {
		creds *trust.Credentials
		call  func(context.Context, *grpc.ClientConn) error
	}{
		"live here": {someone, func(ctx context.Context, c *grpc.ClientConn) error {
			_, err := skeinv1.NewMembershipClient(c).Join(ctx, &skeinv1.JoinRequest{Region: string(home), RequestId: "1"})
			return err
		}},
		"find a region that has agreed on nothing": {someone, func(ctx context.Context, c *grpc.ClientConn) error {
			_, err := skeinv1.NewMembershipClient(c).Locate(ctx, &skeinv1.LocateRequest{Region: "hidden", Stream: "west/stage", Lease: 1})
			return err
		}},
		"publish": {someone, func(ctx context.Context, c *grpc.ClientConn) error {
			_, err := skeinv1.NewMembershipClient(c).Publish(ctx, &skeinv1.PublishRequest{Region: string(home), RequestId: "1", Lease: 1, Stream: "x"})
			return err
		}},
		"list the regions": {clerk, func(ctx context.Context, c *grpc.ClientConn) error {
			_, err := skeinv1.NewDirectoryClient(c).Regions(ctx, &skeinv1.RegionsRequest{})
			return err
		}},
		"have its certificate renewed": {clerk, func(ctx context.Context, c *grpc.ClientConn) error {
			_, err := skeinv1.NewEnrolmentClient(c).Renew(ctx, &skeinv1.RenewRequest{})
			return err
		}},
		"look at trees": {n.credentials(trust.RoleOperator), func(ctx context.Context, c *grpc.ClientConn) error {
			_, err := skeinv1.NewInspectionClient(c).Trees(ctx, &skeinv1.TreesRequest{Region: string(home)})
			return err
		}},
		"find what is not shared": {clerk, func(ctx context.Context, c *grpc.ClientConn) error {
			_, err := skeinv1.NewPeeringClient(c).Find(ctx, &skeinv1.FindRequest{Stream: "west/secret"})
			return err
		}},
		"speak for coordinators": {someone, func(ctx context.Context, c *grpc.ClientConn) error {
			_, err := skeinv1.NewPeeringClient(c).Find(ctx, &skeinv1.FindRequest{Stream: "west/stage"})
			return err
		}},
	} {
		err := w.calls(w.leader(), func() *tls.Config { return c.creds.CommunityTLS(w.ca.Hash()) }, c.call)
		if !errors.Is(err, region.ErrForbidden) {
			t.Errorf("one of another community wants to %s: %v", what, err)
		}
	}
	if _, err := n.members[0].node.Publish(context.Background(), member.Stream{Name: "west/mine", Kind: region.Data, Layers: []region.Rate{10}}); !errors.Is(err, region.ErrForbidden) {
		t.Errorf("one publishes under the name of another community: %v", err)
	}
	w.must(w.orders(n.leader(), n.credentials(trust.RoleOperator), func(ctx context.Context, c skeinv1.InspectionClient) error {
		known, err := c.Agreements(ctx, &skeinv1.AgreementsRequest{Region: string(home)})
		if want := []string{string(home.Of(w.ca.Hash()))}; !slices.Equal(known.GetRegions(), want) {
			t.Errorf("the neighbours know of %v, want %v", known.GetRegions(), want)
		}
		return err
	}))
}

// calls makes a call to a coordinator.
func (w *world) calls(at *seat, trusted func() *tls.Config, call func(context.Context, *grpc.ClientConn) error) error {
	conn := must(grpc.NewClient("passthrough:///"+at.cfg.GRPC,
		grpc.WithTransportCredentials(credentials.NewTLS(trusted())), grpc.WithContextDialer(w.net.Host("10.3.0.1").Dial)))
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return skeinv1.FromStatus(call(ctx, conn))
}
