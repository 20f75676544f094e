package coordinator

import (
	"fmt"
	"slices"
	"sync"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg"
)

// maxRounds bounds the rounds that are remembered for people.
const maxRounds = 32

// The causes of a round.
const (
	byVotes      = "votes"      // members have it worse than they could
	byEstimate   = "estimate"   // the leader could do much better
	byNews       = "news"       // it has learnt other ways
	byMembership = "membership" // somebody came, left or moved
	byOperator   = "operator"
)

// The states of a move.
const (
	movePlanned   = "planned"
	moveAgreed    = "agreed"
	moveObjected  = "objected"
	moveRefused   = "refused"
	moveMoving    = "moving"
	moveConfirmed = "confirmed"
	moveReversed  = "reversed"
)

// rounds are the latest rounds of reorganisation, for people.
type rounds struct {
	mu   sync.Mutex
	last uint64
	list []*round // oldest first
}

// A round is what becomes of one occasion to reorganise. What is agreed to is
// decided at once and lives on in the log; the rest is forgotten with the round.
type round struct {
	id    uint64
	cause string
	begun time.Time
	base  region.Revision

	// Guarded by rounds.mu.
	ended         time.Time
	before, after time.Duration // total cost
	moves         []*roundMove
	outcome       string
}

// A roundMove is a move of a round. Its move does not change.
type roundMove struct {
	reorg.Move
	// state, objections and detail are guarded by rounds.mu.
	state      string
	objections []objection
	detail     string
}

func (r *rounds) begin(cause string, base region.Revision, before time.Duration, now time.Time) *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Ids of different leaders differ, so that people can tell rounds apart.
	r.last = max(r.last+1, uint64(now.UnixMilli()))
	x := &round{id: r.last, cause: cause, begun: now, base: base, before: before, after: before}
	r.list = append(r.list, x)
	r.list = slices.Delete(r.list, 0, max(0, len(r.list)-maxRounds))
	return x
}

func (r *rounds) add(x *round, m *roundMove) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x.moves = append(x.moves, m)
}

func (r *rounds) set(m *roundMove, state, detail string, list []objection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.state, m.detail = state, detail
	if list != nil {
		m.objections = list
	}
}

// end closes a round and tells in a line what it came to.
func (r *rounds) end(x *round, after time.Duration, now time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	count := map[string]int{}
	for _, m := range x.moves {
		count[m.state]++
	}
	x.ended, x.after = now, after
	x.outcome = fmt.Sprintf("%d moves confirmed, %d objected to, %d refused, %d reversed; cost %v, was %v",
		count[moveConfirmed], count[moveObjected], count[moveRefused], count[moveReversed],
		after.Round(time.Millisecond), x.before.Round(time.Millisecond))
	return x.outcome
}

// message lists the rounds as people see them.
func (r *rounds) message() []*skeinv1.PlanRound {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*skeinv1.PlanRound, 0, len(r.list))
	for _, x := range r.list {
		m := &skeinv1.PlanRound{
			Id: x.id, Cause: x.cause, BegunMs: x.begun.UnixMilli(), Revision: uint64(x.base),
			BeforeUs: x.before.Microseconds(), AfterUs: x.after.Microseconds(), Outcome: x.outcome,
		}
		if !x.ended.IsZero() {
			m.EndedMs = x.ended.UnixMilli()
		}
		for _, move := range x.moves {
			m.Moves = append(m.Moves, move.message())
		}
		list = append(list, m)
	}
	return list
}

func (m *roundMove) message() *skeinv1.PlanMove {
	out := &skeinv1.PlanMove{Kind: m.Kind.String(), GainUs: m.Gain.Microseconds(), State: m.state, Detail: m.detail}
	for _, s := range m.Steps {
		out.Steps = append(out.Steps, &skeinv1.PlanStep{
			Stream: string(s.Stream), Member: string(s.Member), From: string(s.From), To: string(s.To),
		})
	}
	for _, k := range m.Needs {
		out.Needs = append(out.Needs, uint32(k))
	}
	for _, x := range m.objections {
		out.Objections = append(out.Objections, &skeinv1.PlanObjection{
			Member: string(x.member), Reason: reasonOf(x.reason), About: string(x.about), Detail: x.detail,
		})
	}
	return out
}

// inTheWay says whether two sets of steps must not be under way together: they
// touch the same member, or one moves what the other hangs below.
func inTheWay(r *region.Region, a, b []region.Step) bool {
	return onPath(r, a, b) || onPath(r, b, a)
}

// onPath says whether a moves anything on the paths that b's members have or get.
func onPath(r *region.Region, a, b []region.Step) bool {
	for _, s := range b {
		var path []region.MemberID
		path = append(path, r.Path(s.Stream, s.Member)...)
		path = append(path, r.Path(s.Stream, s.To)...)
		for _, t := range a {
			if t.Member == s.Member || t.Stream == s.Stream && slices.Contains(path, t.Member) {
				return true
			}
		}
	}
	return false
}
