package coordinator

import (
	"fmt"
	"slices"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// Who does not agree to a move before a division is asked again after shyFor, which
	// doubles each time up to shyMost. That is short: everybody else waits.
	shyFor  = time.Second
	shyMost = 8 * time.Second
	// insistAfter is how often a member may object to being moved itself: who objects to
	// everything would keep a region from being divided. If it does not move then, the
	// move is reversed like any other.
	insistAfter = 3
)

// A reluctance remembers who did not agree to moves before a division, how often, and until
// when that is heeded. The zero value is empty.
type reluctance struct {
	count map[region.MemberID]int
	pairs map[pair]refusal
	alone map[region.MemberID]refusal
	last  *objection
}

// remember heeds an objection for a while: one that somebody cannot be reached concerns
// both, any other one whoever raised it.
func (s *reluctance) remember(x objection, now time.Time) {
	if s.pairs == nil {
		s.count, s.pairs, s.alone = map[region.MemberID]int{}, map[pair]refusal{}, map[region.MemberID]refusal{}
	}
	s.last = &x
	s.count[x.member]++
	if x.about != "" && x.reason == skeinv1.Objection_OBJECTION_UNREACHABLE {
		p := pairOf(x.member, x.about)
		s.pairs[p] = s.pairs[p].again(shyFor, shyMost, now)
		return
	}
	s.alone[x.member] = s.alone[x.member].again(shyFor, shyMost, now)
}

// heed says whether one of two is not to be asked again yet.
func (s *reluctance) heed(a, b region.MemberID, now time.Time) bool {
	return now.Before(s.alone[a].until) || now.Before(s.alone[b].until) || now.Before(s.pairs[pairOf(a, b)].until)
}

// overruled says whether a member has objected too often for its word to count against
// its own move; as a parent it may object for ever.
func (s *reluctance) overruled(m region.MemberID, steps []region.Step) bool {
	return s.unmoved(m) && slices.ContainsFunc(steps, func(x region.Step) bool { return x.Member == m })
}

// unmoved says whether a member has not moved, or objected to it, too often to count on it.
func (s *reluctance) unmoved(m region.MemberID) bool { return s.count[m] >= insistAfter }

// said is the last objection, in words.
func (s *reluctance) said() string {
	if s.last == nil {
		return ""
	}
	return fmt.Sprintf(", or agrees to (%s: %s)", s.last.member, s.last)
}
