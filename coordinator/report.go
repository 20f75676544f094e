package coordinator

import (
	"errors"
	"fmt"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// maxSamples bounds the round-trip times, and the rumours, of one report.
const maxSamples = region.DefaultMembers

// maxMismatches bounds the disagreements of one report.
const maxMismatches = 64

// hear takes what a member reports, at the rate it is allowed.
func (l *leadership) hear(stream sessionStream, s *session) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := s.limiter.Wait(stream.Context()); err != nil {
			return err
		}
		if err := l.heard(s, m); err != nil {
			return err
		}
	}
}

// heard takes one report. Only what cannot be understood ends the session.
func (l *leadership) heard(s *session, m *skeinv1.SessionRequest) error {
	if err := bounded(m); err != nil {
		return err
	}
	if s.visits {
		onlyOfItself(m)
	}
	now := time.Now()
	l.leases.renew(s.stay.member, s.stay.lease, l.cfg.Now())
	if m.Heartbeat != nil {
		if m.Heartbeat.StreamsAsBefore {
			m.Heartbeat.Streams = s.health.Load().GetStreams()
		}
		s.health.Store(m.Heartbeat)
	}
	if len(m.Confirmations) > 0 {
		if err := l.confirmed(s, m.Confirmations); err != nil {
			return err
		}
	}
	if m.Vote != nil {
		s.regret.Store(m.Vote.RegretPermille)
		if nearer, err := skeinv1.ToRegionID(m.Vote.Nearer); err == nil || m.Vote.Nearer == "" {
			s.longing.Store(&nearer)
		}
	}
	if m.Leaf != nil {
		if err := l.delegated(s, m.Leaf); err != nil {
			return err
		}
	}
	l.hint(s, m, now)
	if err := l.replied(s, m.Answers, now); err != nil {
		return err
	}
	l.faulted(s.stay.member, m.Reports, now)
	l.mismatched(s, m.Mismatches)
	if err := l.stood(s.stay, m, now); err != nil {
		return err
	}
	if m.Digest != nil {
		return l.compare(s, m.Digest, now)
	}
	return nil
}

// bounded refuses a report that is longer than one about every stream and every
// member: what it costs the leader is shared by the whole region.
func bounded(m *skeinv1.SessionRequest) error {
	for _, list := range []struct {
		name         string
		length, most int
	}{
		{"heartbeat", len(m.Heartbeat.GetStreams()), region.MaxStreams},
		{"confirmations", len(m.Confirmations), region.MaxStreams},
		{"digest", len(m.Digest.GetEdges()), region.MaxStreams},
		{"reports", len(m.Reports), maxFaults},
		{"rtts", len(m.Rtts), maxSamples},
		{"rumours", len(m.Rumours), maxSamples},
		{"answers", len(m.Answers), maxProposals},
		{"mismatches", len(m.Mismatches), maxMismatches},
		{"presences", len(m.Presences), region.MaxPresences},
		{"departures", len(m.Departures), region.MaxPresences},
	} {
		if list.length > list.most {
			return fmt.Errorf("%s: %w: want at most %d, have %d", list.name, region.ErrInvalid, list.most, list.length)
		}
	}
	for _, h := range m.Heartbeat.GetStreams() {
		// It is shown to people.
		if _, err := skeinv1.ToStreamID(h.Stream); err != nil {
			return fmt.Errorf("heartbeat: %w", err)
		}
	}
	return nil
}

// confirmed has the reservations of reported edges ended. That sets uplink free where
// somebody has moved; otherwise it can wait.
func (l *leadership) confirmed(s *session, list []*skeinv1.Confirmation) error {
	reports := make([]edgeReport, 0, len(list))
	for _, c := range list {
		r, err := toEdgeReport(c.Stream, c.Parent)
		if err != nil {
			return fmt.Errorf("confirmations: %w", err)
		}
		reports = append(reports, r)
		l.faults.reached(s.stay.member, r.parent)
	}
	how := patient
	present := l.hub.current()
	for _, r := range reports {
		if n, ok := present.Node(r.stream, s.stay.member); ok && n.Old != "" {
			how = urgent
		}
	}
	return l.submit(how, func(d *draft) error { return d.confirm(s.stay, reports) })
}

// order has something urgent decided that nobody waits for. If the decider is
// overloaded it is dropped: whatever matters is reported again.
func (l *leadership) order(decide func(*draft) error) error { return l.submit(urgent, decide) }

// submit is order for what is less urgent.
func (l *leadership) submit(how urgency, decide func(*draft) error) error {
	err := l.decider.submit(&request{urgency: how, decide: func(d *draft) ([]byte, error) {
		return nil, decide(d)
	}})
	if errors.Is(err, region.ErrOverloaded) {
		return nil
	}
	return err
}

// hint takes measurements and rumours, of members only.
func (l *leadership) hint(s *session, m *skeinv1.SessionRequest, now time.Time) {
	if len(m.Rtts) == 0 && len(m.Rumours) == 0 {
		return
	}
	r := l.hub.current()
	l.measured(r, s.stay.member, m.Rtts, now)
	for _, sample := range m.Rtts {
		l.rtts.lose(s.stay.member, region.MemberID(sample.Peer), sample.LossPerMille)
	}
	for _, rumour := range m.Rumours {
		over := stay{region.MemberID(rumour.Member), region.Lease(rumour.Lease)}
		if peer, ok := r.Member(over.member); ok && peer.Lease == over.lease {
			l.leases.rumour(over, s.stay.member)
		}
	}
}

// measured takes samples of a member.
func (l *leadership) measured(r *region.Region, m region.MemberID, samples []*skeinv1.RttSample, now time.Time) {
	for _, sample := range samples {
		peer := region.MemberID(sample.Peer)
		if _, ok := r.Member(peer); ok {
			l.rtts.observe(m, peer, time.Duration(sample.RttUs)*time.Microsecond, now)
		} else {
			l.sources.observe(m, peer, time.Duration(sample.RttUs)*time.Microsecond)
		}
	}
}

// replied takes answers to proposals, with what was measured for them.
func (l *leadership) replied(s *session, list []*skeinv1.MoveAnswer, now time.Time) error {
	for _, a := range list {
		l.measured(l.hub.current(), s.stay.member, a.Rtts[:min(len(a.Rtts), maxProbes)], now)
		if err := l.inquiries.answered(s.stay.member, a); err != nil {
			return err
		}
	}
	return nil
}

// faulted takes what a member has against peers.
func (l *leadership) faulted(child region.MemberID, reports []*skeinv1.PeerReport, now time.Time) {
	if len(reports) == 0 {
		return
	}
	r := l.hub.current()
	for _, report := range reports[:min(len(reports), maxFaults)] {
		peer := region.MemberID(report.Peer)
		if _, ok := r.Member(peer); !ok {
			continue
		}
		refused := report.Fault != skeinv1.PeerFault_PEER_FAULT_UNREACHABLE && report.Fault != skeinv1.PeerFault_PEER_FAULT_SILENT
		if refused {
			l.replica.counts.refusedByPeer.Add(1)
			l.replica.meter.admissions.WithLabelValues("refused_by_peer").Inc()
		}
		l.faults.report(child, peer, refused, r.MemberCount(), now)
	}
}

func toEdgeReport(stream, parent string) (edgeReport, error) {
	id, err := skeinv1.ToStreamID(stream)
	if err != nil {
		return edgeReport{}, err
	}
	if parent == "" {
		return edgeReport{stream: id}, nil
	}
	p, err := skeinv1.ToMemberID(parent)
	return edgeReport{id, p}, err
}
