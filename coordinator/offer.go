package coordinator

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/skein-mesh/skein/coordinator/directory"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

const (
	// knockTimeout bounds opening a connection to a volunteer.
	knockTimeout = 2 * time.Second
	// maxAddress bounds an address that is passed on, in bytes.
	maxAddress = 256
)

// Offer hears a volunteer and says what is thought of it.
func (a *atlas) Offer(ctx context.Context, req *skeinv1.OfferRequest) (*skeinv1.OfferResponse, error) {
	l, err := a.server.leader(req.Region)
	if err != nil {
		return nil, err
	}
	o, err := readOffer(callerOf(ctx).ID, req)
	if err != nil {
		return nil, err
	}
	o.heard = time.Now()
	// The way to the volunteer is as far as the way from it.
	o.RTT, o.Known = o.farthest(l.livingReplicas())
	knock, err := l.volunteers.take(o)
	if err != nil {
		return nil, err
	}
	if knock {
		l.volunteers.found(o.ID, a.server.knock(ctx, o.Host))
	}
	lacks, invited, news := l.volunteers.verdict(o.ID, l.judge(), time.Now())
	if news {
		kind := "volunteer.suited"
		if lacks != (shortfall{}) {
			kind = "volunteer.unsuited"
		}
		l.replica.history.note(&skeinv1.Event{Kind: kind, Member: string(o.ID), Detail: lacks.why})
	}
	living := l.livingReplicas()
	dismissed, news := l.volunteers.appraise(o.ID, func(o *offer) bool { return l.cfg.Healing.Volunteers.fails(o, living) }, time.Now())
	if news {
		l.replica.history.note(&skeinv1.Event{Kind: "volunteer.dismissed", Member: string(o.ID), Detail: lacks.why})
	}
	resp := &skeinv1.OfferResponse{Invited: invited, Reason: lacks.why, Dismissed: dismissed}
	for _, p := range l.replica.members() {
		resp.Replicas = append(resp.Replicas, &skeinv1.ReplicaHost{Id: string(p.ID), Grpc: p.GRPC, Raft: p.Raft})
	}
	return resp, nil
}

// readOffer makes sense of an offer.
func readOffer(id region.MemberID, req *skeinv1.OfferRequest) (*offer, error) {
	member, err := skeinv1.ToMemberID(req.Member)
	if err != nil {
		return nil, fmt.Errorf("member: %w", err)
	}
	at := region.Host{ID: id, GRPC: req.GetHost().GetGrpc(), Raft: req.GetHost().GetRaft()}
	for _, address := range []string{at.GRPC, at.Raft} {
		if _, _, err := net.SplitHostPort(address); err != nil || len(address) > maxAddress {
			return nil, fmt.Errorf("host %.80q: %w: want host:port of at most %d bytes", address, region.ErrInvalid, maxAddress)
		}
	}
	switch {
	case len(req.Site) > region.MaxName || len(req.Operator) > region.MaxName:
		return nil, fmt.Errorf("site, operator: %w: longer than %d bytes", region.ErrInvalid, region.MaxName)
	case req.WriteP99Us < 0:
		return nil, fmt.Errorf("write_p99_us: %w: %d is negative", region.ErrInvalid, req.WriteP99Us)
	case len(req.Rtts) > maxRTTsOffered:
		return nil, fmt.Errorf("rtts: %w: %d, want at most %d", region.ErrInvalid, len(req.Rtts), maxRTTsOffered)
	}
	o := &offer{
		Coordinator: directory.Coordinator{
			Host: at, MaxGroups: MaxVolunteered, Site: req.Site, Operator: req.Operator, Volunteer: true,
		},
		member: member, writes: int(req.Writes), write: time.Duration(req.WriteP99Us) * time.Microsecond,
		rtts: map[region.MemberID]time.Duration{}, serving: req.Serving,
	}
	for _, x := range req.Rtts {
		peer, err := skeinv1.ToMemberID(x.Id)
		if err != nil || x.RttUs < 0 {
			return nil, fmt.Errorf("rtts: %w: %.80q at %d us", region.ErrInvalid, x.Id, x.RttUs)
		}
		o.rtts[peer] = time.Duration(x.RttUs) * time.Microsecond
	}
	return o, nil
}

// maxRTTsOffered bounds the distances in an offer: groups have fewer replicas.
const maxRTTsOffered = 16

// judge judges offers by what is so now.
func (l *leadership) judge() func(*offer) shortfall {
	r, living, now := l.hub.current(), l.livingReplicas(), l.cfg.Now()
	return func(o *offer) shortfall {
		up := time.Duration(-1)
		if m, ok := r.Member(o.member); ok && m.Home == "" {
			up = max(0, now.Sub(m.Joined))
		}
		return l.cfg.Healing.Volunteers.judge(o, up, living, time.Now())
	}
}

// livingReplicas are the group's replicas with a vote that answer.
func (l *leadership) livingReplicas() (list []region.MemberID) {
	for _, r := range l.replica.group.Status().Replicas {
		heard := r.Heard
		if heard < 0 {
			heard = time.Since(l.since)
		}
		if r.Voter && (r.Node == l.replica.self || heard < l.cfg.Healing.ReplaceAfter) {
			list = append(list, r.Node)
		}
	}
	return list
}

// countVolunteers tells the meters how many there are.
func (l *leadership) countVolunteers() {
	list, suited, judge := l.volunteers.list(time.Now()), 0, l.judge()
	for i := range list {
		if judge(&list[i]) == (shortfall{}) {
			suited++
		}
	}
	l.replica.meter.volunteers.Set(float64(len(list)))
	l.replica.meter.suited.Set(float64(suited))
}

// volunteerStatus lists the offers for people.
func (l *leadership) volunteerStatus() (list []*skeinv1.VolunteerStatus) {
	r, judge, living := l.hub.current(), l.judge(), l.livingReplicas()
	for _, o := range l.volunteers.list(time.Now()) {
		v := &skeinv1.VolunteerStatus{
			Coordinator: &skeinv1.Coordinator{Id: string(o.ID), Address: o.GRPC}, Member: string(o.member),
			Site: o.Site, Operator: o.Operator, WriteP99Us: o.write.Microseconds(),
			RttUs: rttMessage(o.farthest(living)), Serving: o.serving, Reason: judge(&o).why,
		}
		if m, ok := r.Member(o.member); ok {
			v.UptimeMs = l.cfg.Now().Sub(m.Joined).Milliseconds()
		}
		list = append(list, v)
	}
	return list
}

// knock tries whether others can reach a volunteer at both of its addresses, and
// whether it is itself that answers there.
func (s *Server) knock(ctx context.Context, at region.Host) error {
	for _, address := range []string{at.GRPC, at.Raft} {
		if err := s.knockAt(ctx, address, at.ID); err != nil {
			return fmt.Errorf("%s: %w", address, err)
		}
	}
	return nil
}

func (s *Server) knockAt(ctx context.Context, address string, id region.MemberID) error {
	ctx, cancel := context.WithTimeout(ctx, knockTimeout)
	defer cancel()
	raw, err := s.cfg.Network.Dial(ctx, address)
	if err != nil {
		return err
	}
	defer raw.Close()
	conn := tls.Client(raw, s.cfg.Credentials.ClientTLS())
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	peer, err := trust.PeerIdentity(conn.ConnectionState())
	if err == nil && peer.ID != id {
		err = fmt.Errorf("%w: coordinator %s answers there", trust.ErrPeer, peer.ID)
	}
	return err
}
