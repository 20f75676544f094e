package coordinator

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// Admit decides where the caller hangs in the tree of a stream.
func (m *membership) Admit(ctx context.Context, req *skeinv1.AdmitRequest) (*skeinv1.AdmitResponse, error) {
	l, s, err := m.beginStay(ctx, req.Region, req.Lease)
	if err != nil {
		return nil, err
	}
	a, err := toAdmission(req, s)
	if err != nil {
		return nil, err
	}
	if err := l.replica.mayDraw(callerOf(ctx), a.Stream); err != nil {
		return nil, err
	}
	now := time.Now()
	l.faulted(s.member, req.Reports, now)
	a.Avoid = l.faults.avoid(s.member, l.originOf(a.Stream), now)
	if a.Cause == region.Orphaned {
		// It draws from what it proposes already, whatever was held against it.
		a.Avoid = slices.DeleteFunc(a.Avoid, func(m region.MemberID) bool { return proposes(a, m) })
	}
	if a.Cause == region.Joining && l.decider.crowded() {
		// A view would be out of date before it arrived.
		a.Place = true
	}
	foreign, err := l.foreign(ctx, s, a.Stream)
	if err != nil {
		return nil, err
	}
	var resp *skeinv1.AdmitResponse // of this call; nil if the request was known already
	o, err := l.outcome(ctx, "admit", req.RequestId, urgencyOf(a.Cause), func(d *draft) (_ proto.Message, err error) {
		if foreign != nil {
			if err := d.fetch(*foreign, s.member); err != nil {
				return nil, err
			}
		}
		a.Apart = l.boundary.apart(d.region, s.member)
		resp, err = d.admit(a)
		return resp, err
	})
	if err == nil && resp == nil {
		resp = &skeinv1.AdmitResponse{}
		err = unmarshal(o.response, resp)
	}
	if err != nil {
		return nil, err
	}
	if !o.repeated {
		l.replica.meter.admission.Observe(time.Since(now).Seconds())
		l.count(a, resp)
	}
	resp.Revision = uint64(o.revision)
	if accepted, ok := resp.Outcome.(*skeinv1.AdmitResponse_Accepted); ok {
		accepted.Accepted = l.complete(accepted.Accepted, a.Stream, s.member)
	}
	return resp, nil
}

func toAdmission(req *skeinv1.AdmitRequest, s stay) (a region.Admission, err error) {
	a = region.Admission{Child: s.member, Lease: s.lease, Place: req.Place}
	if a.Stream, err = skeinv1.ToStreamID(req.Stream); err != nil {
		return a, err
	}
	if a.Layers, err = skeinv1.ToLayers(req.Layers); err != nil {
		return a, err
	}
	if a.Cause, err = skeinv1.ToCause(req.Cause); err != nil {
		return a, err
	}
	a.Proposals, err = skeinv1.ToProposals(req.Proposals)
	return a, err
}

// originOf returns the origin of a stream, "" if there is none.
func (l *leadership) originOf(id region.StreamID) region.MemberID {
	s, _ := l.replica.group.Region().Stream(id)
	return s.Origin
}

// proposes reports whether m is among the parents that are proposed.
func proposes(a region.Admission, m region.MemberID) bool {
	return slices.ContainsFunc(a.Proposals, func(p region.Proposal) bool { return p.Parent == m })
}

// complete is the member's present role, with addresses and grants, in place of the
// one that is stored with an answer, which names the parent only. If its place has
// been taken away since, the stored role stays, with the parent it was given, and
// the session tells the rest.
func (l *leadership) complete(stored *skeinv1.Role, id region.StreamID, m region.MemberID) *skeinv1.Role {
	if role := l.role(l.replica.group.Region(), id, m, l.cfg.Now()); role != nil {
		return role
	}
	return stored
}

// count notes the outcome of an admission.
func (l *leadership) count(a region.Admission, resp *skeinv1.AdmitResponse) {
	c := &l.replica.counts
	var outcome string
	if accepted := resp.GetAccepted(); accepted != nil {
		outcome = "accepted"
		c.accepted.Add(1)
		parent := region.MemberID(accepted.GetParent().GetPeer().GetId())
		if !proposes(a, parent) {
			outcome = "placed"
			c.placed.Add(1)
		}
	} else {
		outcome = l.countRefused(a, resp.GetRefused())
		if a.Place { // nobody in the tree has room
			l.hub.spare(time.Now())
		}
	}
	l.replica.meter.admissions.WithLabelValues(outcome).Inc()
}

func (l *leadership) countRefused(a region.Admission, refused *skeinv1.Refused) string {
	c, outcome := &l.replica.counts, "refused_other"
	reason := skeinv1.Reason_REASON_UNSPECIFIED
	parent := ""
	if len(refused.GetRefusals()) > 0 {
		first := refused.Refusals[0]
		reason, parent = first.Reason, first.Proposal.GetParent()
	}
	switch reason {
	case skeinv1.Reason_REASON_STALE:
		outcome = "refused_stale"
		c.refusedStale.Add(1)
	case skeinv1.Reason_REASON_FULL:
		outcome = "refused_full"
		c.refusedFull.Add(1)
	default:
		c.refusedOther.Add(1)
	}
	l.replica.history.note(&skeinv1.Event{
		Kind: "admission.refused", Member: string(a.Child), Stream: string(a.Stream), Parent: parent, Detail: reason.String(),
	})
	return outcome
}
