package group

import (
	"fmt"

	"github.com/skein-mesh/skein/region"
)

// An entry is a log entry in the model's terms.
type entry struct {
	change     region.Change
	hasChange  bool
	answers    []memberAnswer
	tokens     []TokenUse
	secrets    Secrets
	hasSecrets bool
}

type memberAnswer struct {
	member region.MemberID
	answer Answer
}

// A staleError is the ErrRevision of an entry that was overtaken.
type staleError struct{ base, present region.Revision }

func (e *staleError) Error() string {
	return fmt.Sprintf("decided on revision %d, but the present one is %d", e.base, e.present)
}

func (e *staleError) Unwrap() error { return region.ErrRevision }
