package history

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A Step is one entry of a group's log. Entries without a change (their time is
// zero) are no steps.
type Step struct {
	Revision region.Revision
	Change   region.Change
}

// A Call is a request from its first attempt to the answer that ended it.
type Call struct {
	// Request is the request ID; all attempts share it.
	Request string
	// Begun is before the first attempt, Ended after the answer.
	Begun, Ended time.Time
	// Revision is the one the answer told. Calls that never got an answer, or
	// were refused, are no part of a history.
	Revision region.Revision
	// Holds says whether the region, as of Revision, is what the answer told.
	// It may be nil. It must not modify the region.
	Holds func(*region.Region) error
}

// Check replays log from the state start (an empty region, or that of a
// snapshot), and judges calls by it. It returns the last state. start is not
// modified. All faults are reported, joined.
func Check(start *region.Region, log []Step, calls []Call) (*region.Region, error) {
	end, err := Replay(start, log, func(r *region.Region) error { return kept(r, calls) })
	return end, errors.Join(err, unknown(start, log, calls), once(calls), Order(calls))
}

// Replay applies log to a copy of start and checks every invariant after each
// step; visit, if not nil, sees the region after each. It returns the region as
// far as it came.
func Replay(start *region.Region, log []Step, visit func(*region.Region) error) (*region.Region, error) {
	r := start.Clone()
	var faults []error
	for _, s := range log {
		if err := r.Apply(s.Revision, s.Change); err != nil {
			return r, errors.Join(append(faults, fmt.Errorf("revision %d: %w", s.Revision, err))...)
		}
		if err := r.Check(); err != nil {
			return r, errors.Join(append(faults, fmt.Errorf("after revision %d: %w", s.Revision, err))...)
		}
		if visit != nil {
			if err := visit(r); err != nil {
				faults = append(faults, err)
			}
		}
	}
	return r, errors.Join(faults...)
}

// kept judges the calls that took effect at the present revision of r.
func kept(r *region.Region, calls []Call) error {
	var faults []error
	for _, c := range calls {
		if c.Revision != r.Revision() || c.Holds == nil {
			continue
		}
		if err := c.Holds(r); err != nil {
			faults = append(faults, fmt.Errorf("%s at revision %d: %w", c.Request, c.Revision, err))
		}
	}
	return errors.Join(faults...)
}

// unknown finds calls that were told a revision the log does not have.
func unknown(start *region.Region, log []Step, calls []Call) error {
	var faults []error
	for _, c := range calls {
		_, found := slices.BinarySearchFunc(log, c.Revision, func(s Step, rev region.Revision) int {
			return cmp.Compare(s.Revision, rev)
		})
		if !found && c.Revision > start.Revision() {
			faults = append(faults, fmt.Errorf("%s was acknowledged at revision %d, which is not in the log", c.Request, c.Revision))
		}
	}
	return errors.Join(faults...)
}

// once finds requests that took effect more than once.
func once(calls []Call) error {
	var faults []error
	first := map[string]region.Revision{}
	for _, c := range calls {
		if rev, seen := first[c.Request]; seen && rev != c.Revision {
			faults = append(faults, fmt.Errorf("%s was acknowledged at revisions %d and %d", c.Request, rev, c.Revision))
		}
		first[c.Request] = c.Revision
	}
	return errors.Join(faults...)
}

// Order checks the order of real time: of two calls, one of which had ended
// before the other began, the later has the greater revision.
func Order(calls []Call) error {
	begun := merge(calls)
	ended := slices.Clone(begun)
	slices.SortStableFunc(begun, func(a, b Call) int { return a.Begun.Compare(b.Begun) })
	slices.SortStableFunc(ended, func(a, b Call) int { return a.Ended.Compare(b.Ended) })
	var faults []error
	var latest Call // of those that had ended, the one with the greatest revision
	next := 0
	for _, c := range begun {
		for next < len(ended) && ended[next].Ended.Before(c.Begun) {
			if ended[next].Revision > latest.Revision {
				latest = ended[next]
			}
			next++
		}
		if c.Revision <= latest.Revision {
			faults = append(faults, fmt.Errorf("%s began after %s had ended, but took effect at revision %d, not after %d",
				c.Request, latest.Request, c.Revision, latest.Revision))
		}
	}
	return errors.Join(faults...)
}

// merge makes one call of all that share a request: a late retry is told the old
// revision, and rightly so.
func merge(calls []Call) []Call {
	var merged []Call
	index := map[string]int{}
	for _, c := range calls {
		i, seen := index[c.Request]
		if !seen {
			index[c.Request] = len(merged)
			merged = append(merged, c)
			continue
		}
		m := &merged[i]
		if c.Begun.Before(m.Begun) {
			m.Begun = c.Begun
		}
		if c.Ended.Before(m.Ended) {
			m.Ended = c.Ended
		}
	}
	return merged
}
