package inspect

import (
	"context"
	"time"

	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// planTimeout bounds the making of a plan: members have 2 s to say what they
// think of it, and a round may be under way.
const planTimeout = 20 * time.Second

// PlanOptions say what plan is wanted.
type PlanOptions struct {
	// Stream limits it to one tree; empty = all.
	Stream region.StreamID
	// Apply has it carried out.
	Apply bool
	// Revision, unless 0, is the one the region must be at.
	Revision uint64
}

// A Plan says how trees could become better.
type Plan struct {
	Revision uint64 `json:"revision"`
	// Costs are sums over all members and streams of delay and the price of
	// their ancestors' leaving.
	CostBeforeMs float64      `json:"cost_before_ms"`
	CostAfterMs  float64      `json:"cost_after_ms"`
	Moves        []Move       `json:"moves"`
	Streams      []PlanStream `json:"streams"`
	// Round is the one that was begun; 0 for a dry run.
	Round uint64 `json:"round,omitempty"`
}

// A PlanStream is the delay of a stream as it is, and as it would be with the
// moves that nobody objects to.
type PlanStream struct {
	Stream          string  `json:"stream"`
	AverageBeforeMs float64 `json:"average_before_ms"`
	AverageAfterMs  float64 `json:"average_after_ms"`
	WorstBeforeMs   float64 `json:"worst_before_ms"`
	WorstAfterMs    float64 `json:"worst_after_ms"`
}

// A Move is a set of steps that are carried out together.
type Move struct {
	Kind   string  `json:"kind"`
	Steps  []Step  `json:"steps"`
	GainMs float64 `json:"gain_ms"`
	// Needs are earlier moves without which this one is not possible.
	Needs      []uint32    `json:"needs,omitempty"`
	Objections []Objection `json:"objections,omitempty"`
	// State is planned, agreed, objected, refused, moving, confirmed or reversed.
	State  string `json:"state"`
	Detail string `json:"detail,omitempty"`
}

// A Step gives a member another parent.
type Step struct {
	Stream string `json:"stream"`
	Member string `json:"member"`
	From   string `json:"from"`
	To     string `json:"to"`
}

// An Objection is why a member does not agree to a move.
type Objection struct {
	Member string `json:"member"`
	Reason string `json:"reason"`
	About  string `json:"about,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// A Round is a round of reorganisation.
type Round struct {
	ID uint64 `json:"id"`
	// Cause is votes, estimate, news, membership or operator.
	Cause string    `json:"cause"`
	Begun time.Time `json:"begun"`
	// Ended is nil while it lasts.
	Ended        *time.Time `json:"ended,omitempty"`
	Revision     uint64     `json:"revision"`
	CostBeforeMs float64    `json:"cost_before_ms"`
	CostAfterMs  float64    `json:"cost_after_ms"`
	Moves        []Move     `json:"moves"`
	Outcome      string     `json:"outcome,omitempty"`
}

// Plan asks the leader for a plan, and has it carried out if o says so; the
// caller must be an operator. region.ErrRevision if the region is at another
// revision than o wants.
func (c *Client) Plan(ctx context.Context, r region.ID, o PlanOptions) (Plan, error) {
	var answer *skeinv1.PlanResponse
	err := c.within(ctx, planTimeout, func(ctx context.Context, i skeinv1.InspectionClient) (err error) {
		answer, err = i.Plan(ctx, &skeinv1.PlanRequest{
			Region: string(r), Stream: string(o.Stream), Apply: o.Apply, Revision: o.Revision,
		})
		return err
	})
	if err != nil {
		return Plan{}, err
	}
	return Plan{
		Revision: answer.GetRevision(), CostBeforeMs: ms(answer.GetBeforeUs()), CostAfterMs: ms(answer.GetAfterUs()),
		Moves: mapped(answer.GetMoves(), moveFrom), Streams: mapped(answer.GetStreams(), planStreamFrom), Round: answer.GetRound(),
	}, nil
}

// Rounds lists the leader's latest rounds of reorganisation, oldest first.
func (c *Client) Rounds(ctx context.Context, r region.ID) ([]Round, error) {
	var answer *skeinv1.RoundsResponse
	err := c.any(ctx, func(ctx context.Context, i skeinv1.InspectionClient) (err error) {
		answer, err = i.Rounds(ctx, &skeinv1.RoundsRequest{Region: string(r)})
		return err
	})
	if err != nil {
		return nil, err
	}
	return mapped(answer.GetRounds(), roundFrom), nil
}

func planStreamFrom(s *skeinv1.PlanStream) PlanStream {
	return PlanStream{
		Stream:          s.GetStream(),
		AverageBeforeMs: ms(s.GetAverageBeforeUs()), AverageAfterMs: ms(s.GetAverageAfterUs()),
		WorstBeforeMs: ms(s.GetWorstBeforeUs()), WorstAfterMs: ms(s.GetWorstAfterUs()),
	}
}

func moveFrom(m *skeinv1.PlanMove) Move {
	return Move{
		Kind: m.GetKind(), GainMs: ms(m.GetGainUs()), Needs: m.GetNeeds(), State: m.GetState(), Detail: m.GetDetail(),
		Steps: mapped(m.GetSteps(), func(s *skeinv1.PlanStep) Step {
			return Step{Stream: s.GetStream(), Member: s.GetMember(), From: s.GetFrom(), To: s.GetTo()}
		}),
		Objections: mapped(m.GetObjections(), func(o *skeinv1.PlanObjection) Objection {
			return Objection{Member: o.GetMember(), Reason: o.GetReason(), About: o.GetAbout(), Detail: o.GetDetail()}
		}),
	}
}

func roundFrom(r *skeinv1.PlanRound) Round {
	out := Round{
		ID: r.GetId(), Cause: r.GetCause(), Begun: time.UnixMilli(r.GetBegunMs()), Revision: r.GetRevision(),
		CostBeforeMs: ms(r.GetBeforeUs()), CostAfterMs: ms(r.GetAfterUs()),
		Moves: mapped(r.GetMoves(), moveFrom), Outcome: r.GetOutcome(),
	}
	if r.GetEndedMs() > 0 {
		ended := time.UnixMilli(r.GetEndedMs())
		out.Ended = &ended
	}
	return out
}
