package region

import (
	"errors"
	"fmt"
)

// The errors of the domain. Nowhere else is one declared; the gRPC border
// translates them once in each direction.
var (
	// ErrInvalid: an argument is malformed; the text names field and limit.
	ErrInvalid = errors.New("invalid")
	// ErrLimit: a named limit would be exceeded.
	ErrLimit = errors.New("limit reached")
	// ErrUnknownMember: no such member in this region.
	ErrUnknownMember = errors.New("unknown member")
	// ErrUnknownStream: no such stream in this region.
	ErrUnknownStream = errors.New("unknown stream")
	// ErrExists: the name is taken by somebody else.
	ErrExists = errors.New("exists already")
	// ErrLease: the lease is older than the one held, or not the present one.
	ErrLease = errors.New("lease is out of date")
	// ErrGeneration: the caller's generation of the region is not the present one.
	ErrGeneration = errors.New("generation is out of date")
	// ErrNotOrigin: only the origin of a stream may do this.
	ErrNotOrigin = errors.New("not the origin of the stream")
)

// An InvariantError says which invariant (DESIGN section 4) a structure or a
// change would break.
type InvariantError struct {
	Rule   string // e.g. "tree", "uplink", "standby"
	Detail string
}

func (e *InvariantError) Error() string {
	return fmt.Sprintf("invariant %s broken: %s", e.Rule, e.Detail)
}
