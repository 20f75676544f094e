package coordinator

import (
	"fmt"
	"slices"
	"sync"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// objectionPause is how long an objection is heeded at first; it doubles with
	// each further one, up to maxObjectionPause.
	objectionPause    = 30 * time.Second
	maxObjectionPause = 10 * time.Minute
	// slowerPause is the first one where a way takes longer than was known: soon the
	// planner knows what it takes.
	slowerPause = 10 * time.Second
)

// unanswered is the objection of a member that does not answer in time. It is
// no value of the protocol.
const unanswered skeinv1.Objection = -1

// objections are what members lately had against moves. A planner heeds them: to
// it the ways that were objected to do not exist. The edges that stand are not
// touched by that, so who objects to everything stays where it is, keeps the
// children it has, and is not asked again for a while; others do not wait for it.
type objections struct {
	mu    sync.Mutex
	pairs map[pair]refusal
	alone map[region.MemberID]refusal
}

// A pair is two members, the smaller id first.
type pair struct{ a, b region.MemberID }

func pairOf(a, b region.MemberID) pair {
	if b < a {
		a, b = b, a
	}
	return pair{a, b}
}

// A refusal is an objection that is heeded until a time.
type refusal struct {
	count int
	until time.Time
}

func newObjections() *objections {
	return &objections{pairs: map[pair]refusal{}, alone: map[region.MemberID]refusal{}}
}

// An objection is what a member says against a move.
type objection struct {
	member, about region.MemberID
	reason        skeinv1.Objection
	detail        string
}

// remember heeds an objection: one about another member concerns the two, any
// other one whoever raised it.
func (o *objections) remember(x objection, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if x.about != "" && (x.reason == skeinv1.Objection_OBJECTION_UNREACHABLE || x.reason == skeinv1.Objection_OBJECTION_SLOWER) {
		p, first := pairOf(x.member, x.about), objectionPause
		if x.reason == skeinv1.Objection_OBJECTION_SLOWER {
			first = slowerPause
		}
		o.pairs[p] = o.pairs[p].again(first, maxObjectionPause, now)
		return
	}
	o.alone[x.member] = o.alone[x.member].again(objectionPause, maxObjectionPause, now)
}

// again is heeded for first, and each further time for twice as long, up to most.
func (r refusal) again(first, most time.Duration, now time.Time) refusal {
	return refusal{r.count + 1, now.Add(min(first<<min(r.count, 10), most))}
}

// sweep forgets what is long over, and members that are gone.
func (o *objections) sweep(now time.Time, gone func(region.MemberID) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p, r := range o.pairs {
		if gone(p.a) || gone(p.b) || now.Sub(r.until) > maxObjectionPause {
			delete(o.pairs, p)
		}
	}
	for m, r := range o.alone {
		if gone(m) || now.Sub(r.until) > maxObjectionPause {
			delete(o.alone, m)
		}
	}
}

// bar says whether a step is one that was objected to. To planners a way that an edge
// of another tree takes exists in any case.
func (o *objections) bar(steps []region.Step, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(steps, func(s region.Step) bool {
		return now.Before(o.alone[s.Member].until) || now.Before(o.alone[s.To].until) ||
			now.Before(o.pairs[pairOf(s.Member, s.To)].until)
	})
}

// forget drops all objections: an operator asks again.
func (o *objections) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.pairs)
	clear(o.alone)
}

// heed hides from a planner the ways that were objected to. The result is for
// the calling goroutine and this moment only.
func (o *objections) heed(rtt region.RTT, now time.Time) region.RTT {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := heeding{rtt: rtt, pairs: map[pair]bool{}, alone: map[region.MemberID]bool{}}
	for p, r := range o.pairs {
		if now.Before(r.until) {
			v.pairs[p] = true
		}
	}
	for m, r := range o.alone {
		if now.Before(r.until) {
			v.alone[m] = true
		}
	}
	return v
}

// A heeding is what is known of round-trip times, less what was objected to.
type heeding struct {
	rtt   region.RTT
	pairs map[pair]bool
	alone map[region.MemberID]bool
}

func (h heeding) RTT(a, b region.MemberID) (time.Duration, bool) {
	d, known := h.rtt.RTT(a, b)
	if known && (len(h.alone) > 0 && (h.alone[a] || h.alone[b]) || len(h.pairs) > 0 && h.pairs[pairOf(a, b)]) {
		return d, false
	}
	return d, known
}

func (x objection) String() string {
	s := reasonOf(x.reason)
	if x.about != "" {
		s += " " + string(x.about)
	}
	if x.detail != "" {
		s += fmt.Sprintf(" (%s)", x.detail)
	}
	return s
}

// reasonOf is an objection in words.
func reasonOf(o skeinv1.Objection) string {
	switch o {
	case unanswered:
		return "no answer"
	case skeinv1.Objection_OBJECTION_UNREACHABLE:
		return "cannot reach"
	case skeinv1.Objection_OBJECTION_SLOWER:
		return "farther than planned"
	case skeinv1.Objection_OBJECTION_OVERLOADED:
		return "overloaded"
	case skeinv1.Objection_OBJECTION_LEAVING:
		return "leaving"
	case skeinv1.Objection_OBJECTION_BUSY:
		return "busy"
	}
	return "not its place"
}
