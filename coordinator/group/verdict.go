package group

import (
	"fmt"
	"slices"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// A Verdict is what the log says of a region that asked to be merged into this one. Once
// given it stays: a region that was refused may go on by itself, and so can never be
// taken in as it was then.
type Verdict struct {
	Region region.ID
	// Attempt tells mergers of one region apart, see region.Fate.
	Attempt  region.Revision
	Absorbed bool
}

// Verdict finds what the log says of an attempt of a region.
func (s *State) Verdict(id region.ID, attempt region.Revision) (Verdict, bool) {
	for _, v := range s.Verdicts {
		if v.Region == id && v.Attempt == attempt {
			return v, true
		}
	}
	return Verdict{}, false
}

// judgeable refuses a second verdict on one attempt.
func (s *State) judgeable(e entry) error {
	v, ok := e.verdict()
	if !ok {
		return nil
	}
	if _, given := s.Verdict(v.Region, v.Attempt); given {
		return fmt.Errorf("region %s, attempt %d, has its answer already: %w", v.Region, v.Attempt, region.ErrExists)
	}
	return nil
}

// judge remembers what an entry says of other regions, and when the boundary moved.
func (s *State) judge(e entry) {
	if v, ok := e.verdict(); ok {
		kept := s.Verdicts[max(0, len(s.Verdicts)+1-MaxVerdicts):]
		s.Verdicts = append(slices.Clone(kept), v)
	}
	for _, x := range e.change.Edits {
		switch x.(type) {
		case region.Divide, region.Absorb:
			s.Bounded = e.change.Time
		}
	}
}

// verdict is the one that an entry gives, if it gives one.
func (e entry) verdict() (Verdict, bool) {
	for _, x := range e.change.Edits {
		if a, ok := x.(region.Absorb); ok {
			return Verdict{Region: a.Region.ID, Attempt: a.Region.Fate.Attempt, Absorbed: true}, true
		}
	}
	if e.refused != nil {
		return *e.refused, true
	}
	return Verdict{}, false
}

func toVerdict(m *skeinv1.Verdict) (Verdict, error) {
	id, err := skeinv1.ToRegionID(m.GetRegion())
	if err != nil {
		return Verdict{}, fmt.Errorf("entry: verdict: %w", err)
	}
	return Verdict{Region: id, Attempt: region.Revision(m.GetAttempt()), Absorbed: m.GetAbsorbed()}, nil
}

func fromVerdict(v Verdict) *skeinv1.Verdict {
	return &skeinv1.Verdict{Region: string(v.Region), Attempt: uint64(v.Attempt), Absorbed: v.Absorbed}
}
