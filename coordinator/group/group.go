package group

import (
	"context"
	"log/slog"
	"sync"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// A Group is one replica of a region's group. It is safe for concurrent use.
type Group struct {
	cfg  Config
	log  *slog.Logger
	feed *feed
	wg   sync.WaitGroup
}

// An Applied is an entry that every replica has applied, or is about to.
type Applied struct {
	// Revision is the Raft index of the entry.
	Revision region.Revision
	// Time the entry carried; zero if it had no change.
	Time time.Time
	// Change is empty if the entry only held answers, secrets or token uses.
	Change region.Change
	// Region after the entry. It belongs to the receiver.
	Region *region.Region
	// Gap says that entries are missing before this one, which stands for all of
	// them: Change is empty, Region is the whole present structure.
	Gap bool
}

// A Leadership says whether this replica may decide.
type Leadership struct {
	// Leading is true from the moment this replica's state holds everything that
	// was committed before its term.
	Leading bool
	// Term of the leadership. Leading in two different terms means that it was
	// lost in between.
	Term uint64
}

// Open starts a replica on cfg.Dir/cfg.Region, where it takes up what it finds.
// It returns before the group has a leader.
func Open(cfg Config) (*Group, error) { panic("") }

// Propose puts e into the log and blocks until this replica has applied it.
//
// Errors: ErrNotLeader (a NotLeaderError with the leader's ID), ErrInvalid,
// ErrLimit, ErrRevision (decided on another revision than the present one),
// ErrOverloaded, and whatever region.Apply reports; in all of these nothing has
// happened. ErrOutcomeUnknown: the entry may yet be applied; also if ctx ends.
func (g *Group) Propose(ctx context.Context, e *skeinv1.Entry) (Applied, error) { panic("") }

// State is the newest state this replica has applied. It does not block and
// never goes back.
func (g *Group) State() *State { panic("") }

// Answer finds the stored answer to a request without copying the state.
func (g *Group) Answer(member region.MemberID, requestID string, now time.Time) (Answer, bool) {
	panic("")
}

// Subscribe follows the entries applied after revision after. If these are not
// held any more, the first thing read is a gap.
func (g *Group) Subscribe(after region.Revision) *Feed { panic("") }

// Leadership delivers the newest leadership; a value not yet received is
// replaced. It is meant for one reader. It is closed by Close.
func (g *Group) Leadership() <-chan Leadership { panic("") }

// Leader is the node that leads as far as this replica knows.
func (g *Group) Leader() (region.MemberID, bool) { panic("") }

// ReadIndex blocks until State holds everything that was committed when it was
// called: a linearizable read. Only the leader can (ErrNotLeader otherwise).
func (g *Group) ReadIndex(ctx context.Context) (region.Revision, error) { panic("") }

// Status describes the replica. It does not block.
func (g *Group) Status() Status { panic("") }

// AddReplica adds p to the group: first without a vote, with one when it has
// caught up. Leader only. It blocks until then; if ctx ends before, the replica
// stays without a vote and the call may be repeated.
func (g *Group) AddReplica(ctx context.Context, p Peer) error { panic("") }

// RemoveReplica takes a node out of the group. Leader only.
func (g *Group) RemoveReplica(ctx context.Context, node region.MemberID) error { panic("") }

// Transfer hands leadership to a voter that has caught up.
func (g *Group) Transfer(ctx context.Context, node region.MemberID) error { panic("") }

// Snapshot writes a snapshot now.
func (g *Group) Snapshot() error { panic("") }

// Close stops the replica and waits for everything it started. Proposals in
// flight end with ErrOutcomeUnknown.
func (g *Group) Close() error { panic("") }
