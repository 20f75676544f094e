package region

import (
	"errors"
	"fmt"
	"time"
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
	// ErrUncut: a tree still has other edges between the parts of a region than
	// those to gateways.
	ErrUncut = errors.New("tree is not ready to be cut")
	// ErrFrozen: the region is being merged into another one; nothing may change
	// in it until that has come to an end.
	ErrFrozen = errors.New("region is being merged")
	// ErrElsewhere: the region is not here, or not any more; see ElsewhereError.
	// Nothing has happened.
	ErrElsewhere = errors.New("region is elsewhere")
	// ErrNotOrigin: only the origin of a stream may do this.
	ErrNotOrigin = errors.New("not the origin of the stream")
	// ErrNotLeader: only the leader of the region's group may do this; see
	// NotLeaderError. Nothing has happened.
	ErrNotLeader = errors.New("not the leader")
	// ErrOutcomeUnknown: it may or may not have been done. Ask again with the
	// same request id.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrOverloaded: a queue is full or something does not keep up. Nothing has
	// happened; try again later.
	ErrOverloaded = errors.New("overloaded")
	// ErrUnreachable: nobody who could answer was reached in the time given.
	ErrUnreachable = errors.New("unreachable")
	// ErrRevision: a change was decided on another revision than the present one.
	ErrRevision = errors.New("revision is out of date")
	// ErrUnauthenticated: the caller did not prove who it is.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrForbidden: the caller may not do this.
	ErrForbidden = errors.New("not allowed")
	// ErrLost: messages of a reliable stream were lost for good; those that come after
	// are whole.
	ErrLost = errors.New("messages were lost")
	// ErrClosed: the node is stopping, or has stopped.
	ErrClosed = errors.New("closed")
)

// A NotLeaderError is an ErrNotLeader that says who leads.
type NotLeaderError struct {
	// Leader of the region's group; empty if none is known.
	Leader MemberID
	// Address at which clients reach it, host:port; empty if not known.
	Address string
}

func (e *NotLeaderError) Error() string {
	switch {
	case e.Leader == "":
		return fmt.Sprintf("%v; no leader is known", ErrNotLeader)
	case e.Address == "":
		return fmt.Sprintf("%v; the leader is %s", ErrNotLeader, e.Leader)
	}
	return fmt.Sprintf("%v; the leader is %s at %s", ErrNotLeader, e.Leader, e.Address)
}

// Is makes the error an ErrNotLeader.
func (e *NotLeaderError) Is(target error) bool { return target == ErrNotLeader }

// An ElsewhereError is an ErrElsewhere or an ErrGeneration that says what the
// region is now.
type ElsewhereError struct {
	Region ID
	// Cause is ErrElsewhere or ErrGeneration.
	Cause error
	// Now is the region as the world knows it, and after it, if it is over, the one
	// it was merged into; at most two.
	Now []Descriptor
}

func (e *ElsewhereError) Error() string { return fmt.Sprintf("region %s: %v", e.Region, e.Cause) }

// Unwrap makes the error what caused it.
func (e *ElsewhereError) Unwrap() error { return e.Cause }

// An OverloadError is an ErrOverloaded that says when to try again.
type OverloadError struct {
	What       string // what is full, e.g. "admissions"
	RetryAfter time.Duration
}

func (e *OverloadError) Error() string {
	return fmt.Sprintf("%v: %s; retry in %v", ErrOverloaded, e.What, e.RetryAfter)
}

// Is makes the error an ErrOverloaded.
func (e *OverloadError) Is(target error) bool { return target == ErrOverloaded }

// An InvariantError says which invariant (DESIGN section 4) a structure or a
// change would break.
type InvariantError struct {
	Rule   string // e.g. "tree", "uplink", "standby"
	Detail string
}

func (e *InvariantError) Error() string {
	return fmt.Sprintf("invariant %s broken: %s", e.Rule, e.Detail)
}
