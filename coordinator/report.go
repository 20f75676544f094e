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
	now := time.Now()
	l.leases.renew(s.stay.member, s.stay.lease, now)
	if m.Heartbeat != nil {
		s.health.Store(m.Heartbeat)
	}
	if len(m.Confirmations) > 0 {
		if err := l.confirmed(s, m.Confirmations); err != nil {
			return err
		}
	}
	l.hint(s, m, now)
	l.faulted(s.stay.member, m.Reports, now)
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

// confirmed has the reservations of reported edges ended.
func (l *leadership) confirmed(s *session, list []*skeinv1.Confirmation) error {
	reports := make([]edgeReport, 0, len(list))
	for _, c := range list {
		r, err := toEdgeReport(c.Stream, c.Parent)
		if err != nil {
			return fmt.Errorf("confirmations: %w", err)
		}
		reports = append(reports, r)
	}
	return l.order(func(d *draft) error { return d.confirm(s.stay, reports) })
}

// order has something urgent decided that nobody waits for. If the decider is
// overloaded it is dropped: whatever matters is reported again.
func (l *leadership) order(decide func(*draft) error) error {
	err := l.decider.submit(&request{urgency: urgent, decide: func(d *draft) ([]byte, error) {
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
	for _, sample := range m.Rtts {
		peer := region.MemberID(sample.Peer)
		if _, ok := r.Member(peer); ok {
			l.rtts.observe(s.stay.member, peer, time.Duration(sample.RttUs)*time.Microsecond, now)
		}
	}
	for _, rumour := range m.Rumours {
		over := stay{region.MemberID(rumour.Member), region.Lease(rumour.Lease)}
		if peer, ok := r.Member(over.member); ok && peer.Lease == over.lease {
			l.leases.rumour(over, s.stay.member)
		}
	}
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
		switch report.Fault {
		case skeinv1.PeerFault_PEER_FAULT_UNREACHABLE, skeinv1.PeerFault_PEER_FAULT_SILENT:
		default:
			l.replica.counts.refusedByPeer.Add(1)
			l.replica.meter.admissions.WithLabelValues("refused_by_peer").Inc()
		}
		l.faults.report(child, peer, r.MemberCount(), now)
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
