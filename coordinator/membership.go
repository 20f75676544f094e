package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// maxRequestID bounds a request id, in bytes.
	maxRequestID = 64
	// gossipSeeds is how many members a newcomer is told to join the pool at.
	gossipSeeds = 5
)

// membership serves skein.v1.Membership. Who calls is who the certificate says;
// no message can claim otherwise.
type membership struct {
	skeinv1.UnimplementedMembershipServer
	server *Server
	// workspaces are memory for views, of which many are made at the same time.
	workspaces sync.Pool
}

// lend lets r have a workspace for as long as use takes.
func (m *membership) lend(r *region.Region, use func()) {
	work, ok := m.workspaces.Get().(*region.Workspace)
	if !ok {
		work = new(region.Workspace)
	}
	defer m.workspaces.Put(work)
	r.Work = work
	use()
	r.Work = nil
}

// decided has a member's request decided by the leader and puts the answer into
// resp. The method's name keeps requests of different kinds apart.
func (l *leadership) decided(ctx context.Context, method, id string, u urgency,
	decide func(*draft) (proto.Message, error), resp proto.Message) (outcome, error) {
	o, err := l.outcome(ctx, method, id, u, decide)
	if err != nil {
		return outcome{}, err
	}
	return o, unmarshal(o.response, resp)
}

// outcome is decided that leaves the answer as it is stored.
func (l *leadership) outcome(ctx context.Context, method, id string, u urgency, decide func(*draft) (proto.Message, error)) (outcome, error) {
	if id == "" || len(id) > maxRequestID {
		return outcome{}, fmt.Errorf("request_id: %w: want 1 to %d bytes, have %d", region.ErrInvalid, maxRequestID, len(id))
	}
	return l.decider.do(ctx, &request{
		member: callerOf(ctx).ID, id: method + ":" + id, urgency: u,
		decide: func(d *draft) ([]byte, error) {
			m, err := decide(d)
			if err != nil {
				return nil, err
			}
			return marshal(m)
		},
	})
}

// begin finds the leader for a call. The stay it returns is not checked.
func (m *membership) begin(ctx context.Context, name string, lease uint64) (*leadership, stay, error) {
	s := stay{callerOf(ctx).ID, region.Lease(lease)}
	who := callerOf(ctx)
	r, err := m.server.local(who, name)
	if err != nil {
		return nil, s, err
	}
	l, err := r.leader()
	if err == nil && r.group.Region().Fate().Over {
		if err = l.whereabouts(s, 0); who.Community != "" {
			err = disagreed(who.Community, name) // nor does it learn who has it now
		}
	}
	return l, s, err
}

// beginStay is begin for calls that only the caller's present stay may make.
func (m *membership) beginStay(ctx context.Context, name string, lease uint64) (*leadership, stay, error) {
	l, s, err := m.begin(ctx, name, lease)
	if err == nil {
		_, err = l.check(s)
	}
	return l, s, err
}

func (m *membership) Join(ctx context.Context, req *skeinv1.JoinRequest) (*skeinv1.JoinResponse, error) {
	l, s, err := m.begin(ctx, req.Region, req.Lease)
	if err != nil {
		return nil, err
	}
	who := callerOf(ctx)
	home, err := l.homeOf(s, who.Community, req.Commission, time.Now())
	if err == nil && home == "" {
		err = l.movedAway(s, 0)
	}
	if err == nil {
		err = m.server.accesses.mayBeCalled(who, req.Name)
	}
	if err != nil {
		return nil, err
	}
	newcomer, err := skeinv1.ToMember(&skeinv1.Member{
		Id: string(s.member), Lease: req.Lease, Name: req.Name, UplinkKbps: req.UplinkKbps, Endpoint: req.Endpoint, Home: string(home),
	})
	if err != nil {
		return nil, err
	}
	resp := &skeinv1.JoinResponse{}
	o, err := l.decided(ctx, "join", req.RequestId, forJoins, func(d *draft) (proto.Message, error) {
		if home != "" {
			if err := d.visitable(newcomer); err != nil {
				return nil, err
			}
			return d.visit(newcomer)
		}
		return d.join(newcomer)
	}, resp)
	if err != nil {
		return nil, err
	}
	l.leases.renew(s.member, region.Lease(resp.Lease), l.cfg.Now())
	if resp.Lease != req.Lease {
		l.faults.forgive(s.member)
	}
	state := l.replica.group.State()
	resp.Revision = uint64(o.revision)
	resp.Generation = uint64(state.Region.Generation())
	resp.GrantKey = l.signer.public()
	if home == "" { // visitors do not gossip
		resp.GossipKeys = l.gossipKeys
		resp.GossipSeeds = seeds(state.Region, s.member)
	}
	resp.LeaseTtlMs = l.cfg.LeaseTTL.Milliseconds()
	resp.Coordinators = l.replica.coordinators()
	if who.Community == "" {
		resp.Pass = l.pass(stay{s.member, region.Lease(resp.Lease)})
		resp.Refuges = l.refuges()
	}
	resp.IceServers = l.replica.iceServers(s.member, time.Now())
	return resp, nil
}

// seeds picks members to join the gossip pool at: the oldest, who are likely to
// stay.
func seeds(r *region.Region, self region.MemberID) []string {
	oldest := r.Oldest(gossipSeeds, func(m *region.Member) bool { return m.ID != self && m.Endpoint.Gossip.IsValid() })
	var list []string
	for _, m := range oldest {
		list = append(list, m.Endpoint.Gossip.String())
	}
	return list
}

func (m *membership) Leave(ctx context.Context, req *skeinv1.LeaveRequest) (*skeinv1.LeaveResponse, error) {
	// The stay is not checked here: a repeated request finds it ended.
	l, s, err := m.begin(ctx, req.Region, req.Lease)
	if err != nil {
		return nil, err
	}
	if s.lease == 0 {
		return nil, fmt.Errorf("lease: %w: want that of the stay which is to end", region.ErrInvalid)
	}
	resp := &skeinv1.LeaveResponse{}
	o, err := l.decided(ctx, "leave", req.RequestId, urgent, func(d *draft) (proto.Message, error) {
		return resp, d.leave(s, false)
	}, resp)
	resp.Revision = uint64(o.revision)
	return resp, err
}

func (m *membership) Publish(ctx context.Context, req *skeinv1.PublishRequest) (*skeinv1.PublishResponse, error) {
	l, s, err := m.beginStay(ctx, req.Region, req.Lease)
	if err != nil {
		return nil, err
	}
	for _, a := range l.replica.group.State().Agreements {
		if a.Publishes(region.StreamID(req.Stream)) {
			return nil, fmt.Errorf("stream %.64q: %w: names that begin with %s/ are those of another community", req.Stream, region.ErrForbidden, a.Name)
		}
	}
	stream, err := skeinv1.ToStream(&skeinv1.Stream{
		Id: req.Stream, Origin: string(s.member), Kind: req.Kind, LayerKbps: req.LayerKbps, Codec: req.Codec, Scalable: req.Scalable,
	})
	if err == nil {
		err = m.server.accesses.mayPublish(s.member, stream.ID)
	}
	if err != nil {
		return nil, err
	}
	resp := &skeinv1.PublishResponse{}
	o, err := l.decided(ctx, "publish", req.RequestId, forJoins, func(d *draft) (proto.Message, error) {
		return d.publish(stream, s.lease)
	}, resp)
	resp.Revision = uint64(o.revision)
	return resp, err
}

func (m *membership) Unpublish(ctx context.Context, req *skeinv1.UnpublishRequest) (*skeinv1.UnpublishResponse, error) {
	l, s, err := m.beginStay(ctx, req.Region, req.Lease)
	if err != nil {
		return nil, err
	}
	id, err := skeinv1.ToStreamID(req.Stream)
	if err != nil {
		return nil, err
	}
	l.lookups.forget(id)
	resp := &skeinv1.UnpublishResponse{}
	o, err := l.decided(ctx, "unpublish", req.RequestId, urgent, func(d *draft) (proto.Message, error) {
		return resp, d.unpublish(id, s)
	}, resp)
	resp.Revision = uint64(o.revision)
	return resp, err
}

func (m *membership) Release(ctx context.Context, req *skeinv1.ReleaseRequest) (*skeinv1.ReleaseResponse, error) {
	l, s, err := m.beginStay(ctx, req.Region, req.Lease)
	if err != nil {
		return nil, err
	}
	id, err := skeinv1.ToStreamID(req.Stream)
	if err != nil {
		return nil, err
	}
	resp := &skeinv1.ReleaseResponse{}
	o, err := l.decided(ctx, "release", req.RequestId, urgent, func(d *draft) (proto.Message, error) {
		return resp, d.release(id, s)
	}, resp)
	resp.Revision = uint64(o.revision)
	return resp, err
}

// Locate is answered from what this replica has applied. On the leader the view
// holds measured round-trip times.
func (m *membership) Locate(ctx context.Context, req *skeinv1.LocateRequest) (*skeinv1.LocateResponse, error) {
	r, err := m.server.local(callerOf(ctx), req.Region)
	if err != nil {
		return nil, err
	}
	id, err := skeinv1.ToStreamID(req.Stream)
	if err != nil {
		return nil, err
	}
	layers, err := skeinv1.ToLayers(req.Layers)
	if err != nil {
		return nil, err
	}
	s := stay{callerOf(ctx).ID, region.Lease(req.Lease)}
	if err := r.mayDraw(callerOf(ctx), id); err != nil {
		return nil, err
	}
	l := r.leading.Load()
	structure := r.group.State().Region
	if self, ok := structure.Member(s.member); !ok || self.Lease != s.lease {
		if l == nil {
			// Perhaps this replica only lags behind.
			return nil, r.notLeader()
		}
		if err := l.movedAway(s, 0); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("member %s: %w: it is not in the stay %d", s.member, region.ErrLease, s.lease)
	}
	if l == nil {
		view, err := structure.View(id, s.member, layers, noRTT{})
		if errors.Is(err, region.ErrUnknownStream) {
			return nil, r.notLeader()
		}
		return &skeinv1.LocateResponse{View: skeinv1.FromView(view)}, err
	}
	now := time.Now()
	l.leases.renew(s.member, s.lease, l.cfg.Now())
	var view region.View
	apart := l.boundary.apart(structure, s.member)
	m.lend(structure, func() {
		l.rtts.use(now, func(rtt region.RTT) { view, err = structure.ViewFrom(id, s.member, layers, apart, rtt) })
	})
	if errors.Is(err, region.ErrUnknownStream) {
		view, err = l.viewAbroad(ctx, structure, s, id)
	}
	if err != nil {
		return nil, err
	}
	return &skeinv1.LocateResponse{View: l.signer.contacts.view(view)}, nil
}

// Session serves the stream of a stay.
func (m *membership) Session(stream sessionStream) error {
	ctx := stream.Context()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := first.Hello
	if hello == nil {
		return fmt.Errorf("%w: the first message of a session must hold hello", region.ErrInvalid)
	}
	l, s, err := m.begin(ctx, hello.Region, hello.Lease)
	if err != nil {
		return err
	}
	since, err := l.check(s)
	if err != nil {
		return err
	}
	if g := l.hub.current().Generation(); hello.Generation != uint64(g) {
		if err := l.movedAway(s, region.Generation(hello.Generation)); err != nil {
			return err
		}
		if err := m.server.elsewhere(l.replica.region, region.ErrGeneration); err != nil {
			return fmt.Errorf("it is %d, not %d: %w", g, hello.Generation, err)
		}
		return fmt.Errorf("region %s: %w: it is %d, not %d", hello.Region, region.ErrGeneration, g, hello.Generation)
	}
	l.replica.meter.sessions.Inc()
	defer l.replica.meter.sessions.Dec()
	session := newSession(s, since, callerOf(ctx).limiter)
	session.visits = callerOf(ctx).Community != ""
	if err := l.heard(session, first); err != nil {
		return err
	}
	return l.serve(stream, session)
}
