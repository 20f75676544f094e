package member

import (
	"context"
	"fmt"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

const (
	// maxConsidered bounds the proposals and probes that are looked into at a
	// time; what comes beyond is not answered, which counts as an objection.
	maxConsidered = 8
	// A way is farther than planned if it takes longer by this share and this
	// much.
	fartherShare = 0.25
	fartherLeast = 5 * time.Millisecond
	// considerAttempts is how often a way is measured for an answer: of a few
	// samples the shortest is the way, the others are queues.
	considerAttempts = 2
	// considerTimeout bounds that.
	considerTimeout = 1500 * time.Millisecond
	// overloadedPercent is the part of its uplink from which on a member takes nobody.
	overloadedPercent = 110
)

// consider finds out what this member thinks of a move, and says so. It does not
// wait.
func (s *session) consider(p *skeinv1.MoveProposal) {
	s.busily(func(ctx context.Context) {
		patience := time.Duration(p.GetPatienceMs()) * time.Millisecond
		ctx, cancel := context.WithTimeout(ctx, min(max(patience-patience/8, 0), considerTimeout))
		defer cancel()
		s.at.out.answer(s.judge(ctx, p))
	})
}

// survey measures the way to peers because the coordinators want to know it.
func (s *session) survey(peers []*skeinv1.Peer) {
	if len(peers) == 0 {
		return
	}
	s.busily(func(ctx context.Context) {
		for _, p := range peers[:min(len(peers), maxConsidered)] {
			if peer, err := toPeer(p); err == nil && len(peer.Endpoint.Media) > 0 {
				// Who does not answer stays unknown.
				_, _ = s.way(ctx, peer)
			}
		}
	})
}

// busily runs f beside the session, unless too much runs already.
func (s *session) busily(f func(context.Context)) {
	select {
	case s.considering <- struct{}{}:
	default:
		return
	}
	s.wg.Go(func() {
		defer func() { <-s.considering }()
		f(s.ctx)
	})
}

// judge answers a proposal. Both ends of an edge measure the way between them, so
// that no third party's word decides.
func (s *session) judge(ctx context.Context, p *skeinv1.MoveProposal) *skeinv1.MoveAnswer {
	answer := &skeinv1.MoveAnswer{Id: p.GetId()}
	object := func(why skeinv1.Objection, about region.MemberID, detail string) *skeinv1.MoveAnswer {
		answer.Objection, answer.About, answer.Detail = why, string(about), detail
		return answer
	}
	if s.leaving.Load() {
		return object(skeinv1.Objection_OBJECTION_LEAVING, "", "")
	}
	for _, step := range p.GetSteps() {
		if why := s.able(step); why != skeinv1.Objection_OBJECTION_UNSPECIFIED {
			return object(why, "", "")
		}
	}
	for _, step := range p.GetSteps() {
		peer, err := toPeer(step.GetPeer())
		if err != nil || len(peer.Endpoint.Media) == 0 {
			return object(skeinv1.Objection_OBJECTION_UNREACHABLE, region.MemberID(step.GetPeer().GetId()), "it has no address")
		}
		rtt, err := s.way(ctx, peer)
		if err != nil {
			return object(skeinv1.Objection_OBJECTION_UNREACHABLE, peer.ID, "")
		}
		answer.Rtts = append(answer.Rtts, &skeinv1.RttSample{Peer: string(peer.ID), RttUs: rtt.Microseconds()})
		planned := time.Duration(step.GetRttUs()) * time.Microsecond
		if rtt > planned+max(time.Duration(fartherShare*float64(planned)), fartherLeast) {
			return object(skeinv1.Objection_OBJECTION_SLOWER, peer.ID,
				fmt.Sprintf("%v there and back, planned with %v", rtt.Round(100*time.Microsecond), planned.Round(100*time.Microsecond)))
		}
	}
	return answer
}

// able says what speaks against a step from this member's own state.
func (s *session) able(step *skeinv1.MoveStep) skeinv1.Objection {
	id := region.StreamID(step.GetStream())
	held := s.at.assigned.place(id)
	if !held.placed {
		return skeinv1.Objection_OBJECTION_UNKNOWN
	}
	stats := s.relay.Stats()
	for _, st := range stats.Streams {
		if st.Stream.ID != id {
			continue
		}
		switch {
		case held.parent == "" && held.stream.From != "": // drawn from another region
		case st.Stream.Origin != s.id && (st.Parent == "" || st.Parent != held.parent):
			return skeinv1.Objection_OBJECTION_BUSY
		case step.GetParent() && uint64(stats.Sending)*100 > uint64(s.cfg.Uplink)*overloadedPercent:
			return skeinv1.Objection_OBJECTION_OVERLOADED
		}
		return skeinv1.Objection_OBJECTION_UNSPECIFIED
	}
	return skeinv1.Objection_OBJECTION_UNKNOWN
}

// way measures the round-trip time to a peer, now, at whichever of its addresses
// answers.
func (s *session) way(ctx context.Context, peer link.Peer) (best time.Duration, err error) {
	for i := range considerAttempts {
		rtt, failed := s.probe(ctx, peer.Endpoint.Media)
		if failed != nil {
			if i > 0 {
				break
			}
			return 0, failed
		}
		s.at.rtts.observe(peer.ID, rtt)
		if best == 0 || rtt < best {
			best = rtt
		}
	}
	return best, nil
}
