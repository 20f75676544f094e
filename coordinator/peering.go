package coordinator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Communities that trust each other in part: the side that is asked. What each region
// has agreed on is in its log.

// visiting says which role of another community may call what. Nothing else is open to
// them, whatever their role.
var visiting = map[string]trust.Role{
	skeinv1.Membership_Join_FullMethodName:       trust.RoleMember,
	skeinv1.Membership_Leave_FullMethodName:      trust.RoleMember,
	skeinv1.Membership_Locate_FullMethodName:     trust.RoleMember,
	skeinv1.Membership_Admit_FullMethodName:      trust.RoleMember,
	skeinv1.Membership_Admissions_FullMethodName: trust.RoleMember,
	skeinv1.Membership_Release_FullMethodName:    trust.RoleMember,
	skeinv1.Membership_Session_FullMethodName:    trust.RoleMember,
	skeinv1.Peering_Greet_FullMethodName:         trust.RoleCoordinator,
	skeinv1.Peering_Find_FullMethodName:          trust.RoleCoordinator,
}

// community is the own one.
func (s *Server) community() string { return s.cfg.Credentials.CAHash() }

// trusts says whether a region that is hosted here has an agreement with a community.
func (s *Server) trusts(community string) bool { return len(s.agreed(community)) > 0 }

// agreed are the replicas here whose regions have an agreement with a community.
func (s *Server) agreed(community string) (list []*replica) {
	for _, r := range s.hosted() {
		if _, ok := r.group.State().Agreement(community); ok {
			list = append(list, r)
		}
	}
	return list
}

// disagreed is what those are told who ask for more than was agreed on. It does not say
// what there is.
func disagreed(community string, what any) error {
	return fmt.Errorf("community %.32s, %v: %w: there is no agreement on that", community, what, region.ErrForbidden)
}

// local is the region that a caller means. Those of another community name it with this
// one, and only what has an agreement with them is there for them.
func (s *Server) local(who caller, name string) (*replica, error) {
	id := region.ID(name)
	if c := id.Community(); c != "" && c == s.community() {
		name = string(id.Local())
	}
	if who.Community == "" {
		return s.replica(name)
	}
	for _, r := range s.agreed(who.Community) {
		if string(r.region) == name {
			return r, nil
		}
	}
	return nil, disagreed(who.Community, name)
}

// mayDraw says whether a caller may draw a stream of the region; ErrForbidden if not.
func (r *replica) mayDraw(who caller, s region.StreamID) error {
	if who.Community == "" {
		return r.cfg.mayDraw(who.ID, s)
	}
	if a, ok := r.group.State().Agreement(who.Community); !ok || !a.Shares(s) {
		return disagreed(who.Community, s)
	}
	return nil
}

// visitable says why a visitor from another community cannot be taken in.
func (d *draft) visitable(m region.Member) error {
	community := m.Home.Community()
	if community == "" {
		return nil
	}
	a, ok := d.state.Agreement(community)
	if !ok {
		return disagreed(community, d.region.ID())
	}
	here := 0
	for x := range d.region.Members() {
		if x.Home.Community() == community && x.ID != m.ID {
			here++
		}
	}
	if here >= a.Visitors {
		return fmt.Errorf("visitors from %s: %w: the agreement is about %d", a.Name, region.ErrLimit, a.Visitors)
	}
	return nil
}

// onlyOfItself leaves of a report what somebody of another community is heard on: how
// its own links are, and which places it has taken. What the log is corrected by, and
// what others suffer from, is for members of this one to say.
func onlyOfItself(m *skeinv1.SessionRequest) {
	m.Vote, m.Leaf, m.Digest = nil, nil, nil
	m.Rumours, m.Mismatches, m.Presences, m.Departures = nil, nil, nil, nil
}

// embassy serves skein.v1.Peering.
type embassy struct {
	skeinv1.UnimplementedPeeringServer
	server *Server
}

// Greet takes the descriptor of a region of another community, whose coordinator
// thereby vouches for it, and tells those of here that have an agreement with it.
func (e *embassy) Greet(ctx context.Context, req *skeinv1.GreetRequest) (*skeinv1.GreetResponse, error) {
	s, who := e.server, callerOf(ctx)
	if who.Community == "" {
		return nil, fmt.Errorf("%w: this is for other communities", region.ErrForbidden)
	}
	if err := s.abroad.take(who.Community, req.Region, time.Now()); err != nil {
		return nil, err
	}
	answer := &skeinv1.GreetResponse{}
	for _, r := range s.agreed(who.Community) {
		if known, ok := s.directory.Region(r.region); ok {
			answer.Regions = append(answer.Regions, known.Signed)
		}
	}
	return answer, nil
}

// Find tells where a stream is that the caller's community may draw.
func (e *embassy) Find(ctx context.Context, req *skeinv1.FindRequest) (*skeinv1.FindResponse, error) {
	s, who := e.server, callerOf(ctx)
	if who.Community == "" {
		return nil, fmt.Errorf("%w: this is for other communities", region.ErrForbidden)
	}
	id, err := skeinv1.ToStreamID(req.Stream)
	if err != nil {
		return nil, err
	}
	home := region.ID(req.Region).Local()
	if home == "" {
		found, err := s.resolve(ctx, id, "")
		if err != nil {
			return nil, err
		}
		home = found.From
	}
	answer, err := s.ask(ctx, home, id, who.Community)
	if err != nil {
		return nil, err
	}
	for _, peer := range []region.ID{home, region.ID(answer.Home)} {
		if peer.Community() != "" { // what is drawn from elsewhere is not passed on
			return nil, fmt.Errorf("%s: %w", id, region.ErrUnknownStream)
		}
	}
	resp := &skeinv1.FindResponse{Found: answer}
	if known, ok := s.directory.Region(region.ID(answer.Home)); ok && answer.Stream != nil {
		resp.Home = known.Signed // that region has agreed on it; a hint may lead anywhere
	}
	if answer.Home != "" {
		answer.Home = string(region.ID(answer.Home).Of(s.community()))
	}
	return resp, nil
}

// told is what this region tells a community of a stream; empty is the own one.
func (l *leadership) told(id region.StreamID, community string, now time.Time) (*skeinv1.ResolveResponse, error) {
	if community == "" {
		return l.resolved(id, now), nil
	}
	state := l.replica.group.State()
	if a, ok := state.Agreement(community); !ok || !a.Shares(id) {
		return nil, disagreed(community, id)
	}
	answer := l.resolved(id, now)
	answer.Visitors = slices.DeleteFunc(answer.Visitors, func(m string) bool {
		visitor, _ := state.Region.Member(region.MemberID(m))
		return visitor.Home.Community() != community
	})
	return answer, nil
}

// Agree carries out an operator's order.
func (i *inspection) Agree(ctx context.Context, req *skeinv1.AgreeRequest) (*skeinv1.AgreeResponse, error) {
	l, err := i.server.leader(req.Region)
	if err != nil {
		return nil, err
	}
	next := &skeinv1.Agreement{Community: req.GetAgreement().GetCommunity()}
	if !req.End {
		a, err := group.ToAgreement(req.Agreement)
		if err != nil {
			return nil, err
		}
		if a.Community == i.server.community() {
			return nil, fmt.Errorf("agreement: community: %w: %s is this one", region.ErrInvalid, a.Community)
		}
		next = group.FromAgreement(a)
	}
	name := req.GetAgreement().GetName()
	o, err := l.decider.do(ctx, &request{urgency: urgent, decide: func(d *draft) ([]byte, error) { return nil, d.agree(next, name) }})
	if err != nil {
		return nil, err
	}
	kind := "agreement.begun"
	if req.End {
		kind = "agreement.ended"
	}
	l.replica.history.note(&skeinv1.Event{Kind: kind, Cause: byOperator, Detail: strings.TrimSpace(name + " " + next.Community)})
	return &skeinv1.AgreeResponse{Revision: uint64(o.revision)}, nil
}

// agree begins or changes an agreement or, if next is the end of one, ends that with the
// community or, if that is empty, with the one of that name.
func (d *draft) agree(next *skeinv1.Agreement, name string) error {
	held := d.state.Agreements
	if i := slices.IndexFunc(held, func(a group.Agreement) bool { return a.Name == name }); next.Name == "" {
		if next.Community == "" && i >= 0 {
			next = &skeinv1.Agreement{Community: held[i].Community}
		}
		if _, ok := d.state.Agreement(next.Community); !ok {
			return fmt.Errorf("name: %w: region %s has no agreement with %.64q; 'skein peer list' lists those it has", region.ErrInvalid, d.region.ID(), name)
		}
	} else if i >= 0 && held[i].Community != next.Community {
		return fmt.Errorf("name: %w: %s is community %s", region.ErrExists, name, held[i].Community)
	}
	if _, known := d.state.Agreement(next.Community); !known && len(held) >= group.MaxAgreements {
		return fmt.Errorf("agreements: %w: at most %d", region.ErrLimit, group.MaxAgreements)
	}
	d.agreements = append(d.agreements, next)
	return nil
}

// Agreements lists what a region has agreed on.
func (i *inspection) Agreements(_ context.Context, req *skeinv1.AgreementsRequest) (*skeinv1.AgreementsResponse, error) {
	r, err := i.server.replica(req.Region)
	if err != nil {
		return nil, err
	}
	answer := &skeinv1.AgreementsResponse{Community: i.server.community()}
	for _, a := range r.group.State().Agreements {
		answer.Agreements = append(answer.Agreements, group.FromAgreement(a))
		for _, known := range i.server.abroad.regions(a.Community, time.Now()) {
			answer.Regions = append(answer.Regions, string(known.Region.Of(a.Community)))
		}
	}
	return answer, nil
}
