package skeinv1

import (
	"fmt"

	"github.com/skein-mesh/skein/region"
)

// FromCandidate converts a candidate.
func FromCandidate(c region.Candidate) *Candidate { return fromCandidate(c, FromEndpoint(c.Endpoint)) }

func fromCandidate(c region.Candidate, endpoint *Endpoint) *Candidate {
	return &Candidate{
		Member:         string(c.Member),
		Endpoint:       endpoint,
		Parent:         string(c.Parent),
		DelayUs:        min(c.Delay, region.MaxDelay).Microseconds(), // a sum of many
		ForwardUs:      c.Forward.Microseconds(),
		Hazard:         c.Hazard,
		FreeKbps:       uint32(c.Free),
		Subtree:        uint32(c.Subtree),
		RttUs:          c.RTT.Microseconds(),
		Weakest:        string(c.Weakest),
		WeakestSubtree: uint32(c.WeakestSubtree),
		WeakestHopUs:   c.WeakestHop.Microseconds(),
		WeakestRttUs:   c.WeakestRTT.Microseconds(),
	}
}

// ToCandidate converts and judges a candidate.
func ToCandidate(m *Candidate) (region.Candidate, error) {
	var c checker
	return done(&c, region.Candidate{
		Member:         c.member("member", m.GetMember()),
		Endpoint:       within(&c, "endpoint", m.GetEndpoint(), ToEndpoint),
		Parent:         c.memberOrNone("parent", m.GetParent()),
		Delay:          c.duration("delay_us", m.GetDelayUs()),
		Forward:        c.duration("forward_us", m.GetForwardUs()),
		Hazard:         c.hazard("hazard", m.GetHazard()),
		Free:           c.rate("free_kbps", m.GetFreeKbps()),
		Subtree:        c.count("subtree", m.GetSubtree(), 0, region.MaxMembers),
		RTT:            c.duration("rtt_us", m.GetRttUs()),
		Weakest:        c.memberOrNone("weakest", m.GetWeakest()),
		WeakestSubtree: c.count("weakest_subtree", m.GetWeakestSubtree(), 0, region.MaxMembers),
		WeakestHop:     c.duration("weakest_hop_us", m.GetWeakestHopUs()),
		WeakestRTT:     c.duration("weakest_rtt_us", m.GetWeakestRttUs()),
	})
}

// FromView converts a view.
func FromView(v region.View) *View {
	return FromViewWith(v, func(_ region.MemberID, e region.Endpoint) *Endpoint { return FromEndpoint(e) })
}

// FromViewWith is FromView for who has messages of members' endpoints already.
func FromViewWith(v region.View, endpoint func(region.MemberID, region.Endpoint) *Endpoint) *View {
	return &View{
		Region:     string(v.Region),
		Generation: uint64(v.Generation),
		Revision:   uint64(v.Revision),
		Stream:     FromStream(v.Stream),
		Candidates: all(v.Candidates, func(c region.Candidate) *Candidate { return fromCandidate(c, endpoint(c.Member, c.Endpoint)) }),
	}
}

// ToView converts and judges a view.
func ToView(v *View) (region.View, error) {
	var c checker
	return done(&c, region.View{
		Region:     c.region("region", v.GetRegion()),
		Generation: region.Generation(v.GetGeneration()),
		Revision:   region.Revision(v.GetRevision()),
		Stream:     within(&c, "stream", v.GetStream(), ToStream),
		Candidates: each(&c, "candidates", v.GetCandidates(), region.MaxCandidates, ToCandidate),
	})
}

// FromProposal converts a proposal.
func FromProposal(p region.Proposal) *Proposal {
	return &Proposal{
		Parent:        string(p.Parent),
		Displaced:     string(p.Displaced),
		ParentDelayUs: p.ParentDelay.Microseconds(),
		RttUs:         p.RTT.Microseconds(),
	}
}

// ToProposal converts and judges a proposal.
func ToProposal(p *Proposal) (region.Proposal, error) {
	var c checker
	return done(&c, region.Proposal{
		Parent:      c.member("parent", p.GetParent()),
		Displaced:   c.memberOrNone("displaced", p.GetDisplaced()),
		ParentDelay: c.duration("parent_delay_us", p.GetParentDelayUs()),
		RTT:         c.duration("rtt_us", p.GetRttUs()),
	})
}

// FromProposals converts proposals.
func FromProposals(ps []region.Proposal) []*Proposal { return all(ps, FromProposal) }

// ToProposals converts and judges the proposals of an admission.
func ToProposals(ps []*Proposal) ([]region.Proposal, error) {
	var c checker
	return done(&c, each(&c, "proposals", ps, region.MaxProposals, ToProposal))
}

// FromRefusal converts a refusal.
func FromRefusal(r region.Refusal) *Refusal {
	return &Refusal{Proposal: FromProposal(r.Proposal), Reason: FromReason(r.Reason)}
}

// ToRefusal converts and judges a refusal.
func ToRefusal(r *Refusal) (region.Refusal, error) {
	var c checker
	return done(&c, region.Refusal{
		Proposal: within(&c, "proposal", r.GetProposal(), ToProposal),
		Reason:   within(&c, "reason", r.GetReason(), ToReason),
	})
}

// FromRefusals converts refusals.
func FromRefusals(rs []region.Refusal) []*Refusal { return all(rs, FromRefusal) }

// ToRefusals converts and judges the refusals of an admission.
func ToRefusals(rs []*Refusal) ([]region.Refusal, error) {
	var c checker
	return done(&c, each(&c, "refusals", rs, region.MaxProposals, ToRefusal))
}

// The enums below have the same numbers on both sides; a test keeps it so.

// FromKind converts what a stream carries.
func FromKind(k region.Kind) Kind { return Kind(k) }

// ToKind converts and judges what a stream carries.
func ToKind(k Kind) (region.Kind, error) {
	return toEnum(k, region.Video, region.Data)
}

// FromState converts how far an edge has come.
func FromState(s region.State) State { return State(s) }

// ToState converts and judges how far an edge has come.
func ToState(s State) (region.State, error) {
	return toEnum(s, region.Reserved, region.Standing)
}

// FromCause converts a cause.
func FromCause(c region.Cause) Cause { return Cause(c) }

// ToCause converts and judges a cause.
func ToCause(c Cause) (region.Cause, error) {
	return toEnum(c, region.Orphaned, region.Improving)
}

// FromReason converts a reason.
func FromReason(r region.Reason) Reason { return Reason(r) }

// ToReason converts and judges a reason.
func ToReason(r Reason) (region.Reason, error) {
	return toEnum(r, region.Full, region.Avoided)
}

func toEnum[W ~int32, R ~uint8](w W, first, last R) (R, error) {
	if int64(w) < int64(first) || int64(w) > int64(last) {
		return 0, fmt.Errorf("%w: unknown value %d", region.ErrInvalid, w)
	}
	return R(w), nil
}
