package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// A boundary has a region divided when it is too large, and merged when it is too
// small, while its replica leads. Its goroutine, run, is the only one that does. What
// it intends is forgotten with the office; what has begun is in the log, and the next
// leader finishes it.
type boundary struct {
	*leadership
	cfg    *Boundary
	orders chan boundaryOrder
	// moved is told when the world should hear of the region at once.
	moved chan struct{}
	// sides are those of the division that is being prepared, if one is: nobody else moves
	// members then, and who wants a place is given one on its side.
	sides atomic.Pointer[region.Sides]

	// Of run.
	streak    int       // looks in a row with the same wish
	rest      time.Time // until when nothing is tried after a failure
	measured  time.Time // since when decided counts
	decided   int64     // what the decider had been busy then
	busyShare float64
}

// A boundaryOrder is an operator's, or that of the region from which this one was split
// off.
type boundaryOrder struct {
	ctx   context.Context
	split bool
	into  region.ID // of a merger; empty = the nearest with room
	cause string
	done  chan boundaryOutcome
}

type boundaryOutcome struct {
	other region.ID
	err   error
}

func newBoundary(l *leadership) *boundary {
	return &boundary{
		leadership: l, cfg: &l.cfg.Boundary, orders: make(chan boundaryOrder), moved: make(chan struct{}, 1), measured: l.since,
	}
}

// run looks after the boundary until ctx ends.
func (b *boundary) run(ctx context.Context) {
	ticker := time.NewTicker(max(b.cfg.Every, time.Second/10))
	defer ticker.Stop()
	for {
		if fate := b.replica.group.Region().Fate(); fate.Into != "" && !fate.Over {
			_ = b.conclude(ctx, fate)
		}
		select {
		case <-ctx.Done():
			return
		case o := <-b.orders:
			other, err := b.obey(ctx, o)
			o.done <- boundaryOutcome{other, err}
		case <-ticker.C:
			b.look(ctx)
		}
	}
}

// bySize is the cause of what a region's size asks for.
const bySize = "size"

// obey carries out an order.
func (b *boundary) obey(ctx context.Context, o boundaryOrder) (region.ID, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(o.ctx, cancel)()
	if o.split {
		return b.split(ctx, o.cause)
	}
	return b.merge(ctx, o.into, o.cause)
}

// await has an order carried out and waits for that.
func (b *boundary) await(ctx context.Context, o boundaryOrder) (region.ID, error) {
	select {
	case b.orders <- o:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case <-time.After(consultTimeout):
		return "", &region.OverloadError{What: "the boundary of " + string(b.replica.region) + " is being moved", RetryAfter: consultTimeout}
	}
	select {
	case done := <-o.done:
		if errors.Is(done.err, context.Canceled) && ctx.Err() == nil {
			return "", b.replica.notLeader()
		}
		return done.other, done.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case <-b.replica.life.Done():
		return "", region.ErrClosed
	}
}

// look does what the size asks for, if it has asked long enough.
func (b *boundary) look(ctx context.Context) {
	now := time.Now()
	state := b.replica.group.State()
	b.weigh(now)
	large, small := b.wants(state.Region)
	quiet := b.leadership.cfg.Now().Sub(state.Bounded) < b.cfg.Quiet
	if state.Bounded.IsZero() {
		// It was founded as it is, and is small because it has only begun, if it is.
		quiet = now.Sub(b.since) < b.cfg.Quiet
		small = small && !quiet
	} else if quiet {
		large, small = false, false
	}
	if now.Before(b.rest) || state.Region.Fate().Into != "" {
		b.streak = 0
		return
	}
	if !large && !small {
		b.streak = 0
		if to, members := b.longing(state.Region); to != "" && !quiet && b.cede(ctx, to, members) != nil && ctx.Err() == nil {
			b.rest = time.Now().Add(b.cfg.Quiet)
		}
		return
	}
	if b.streak++; b.streak < b.cfg.Looks {
		return
	}
	b.streak = 0
	var err error
	if large {
		_, err = b.split(ctx, bySize)
	} else {
		_, err = b.merge(ctx, "", bySize)
	}
	if err != nil && ctx.Err() == nil {
		b.rest = time.Now().Add(b.cfg.Retry)
	}
}

// wants says whether the region is too large or too small.
func (b *boundary) wants(r *region.Region) (large, small bool) {
	if r.Fate().Into != "" {
		return false, false
	}
	homed := r.HomedCount()
	if b.cfg.SplitAt == 0 {
		return false, false
	}
	large = homed >= b.cfg.SplitAt || b.busyShare > b.cfg.SplitBusy && homed >= leastSplit
	return large, float64(homed) < b.cfg.MergeBelow*float64(b.cfg.SplitAt)
}

// weigh measures how busy the decider is.
func (b *boundary) weigh(now time.Time) {
	passed := now.Sub(b.measured)
	if passed < b.cfg.BusyWindow {
		return
	}
	busy := b.decider.busy.Load()
	b.busyShare = float64(busy-b.decided) / float64(passed)
	b.measured, b.decided = now, busy
}

// decideAlone has something decided that is an entry of its own, and waits for it.
func (b *boundary) decideAlone(ctx context.Context, decide func(*draft) error) error {
	_, err := b.decider.do(ctx, &request{urgency: urgent, alone: true, decide: func(d *draft) ([]byte, error) {
		return nil, decide(d)
	}})
	return err
}

// tell notes what becomes of the boundary, for people.
func (b *boundary) tell(kind, cause, detail string, pause time.Duration) {
	b.replica.server.noteMove(BoundaryMove{time.Now(), b.replica.region, kind, detail, pause})
	b.replica.history.note(&skeinv1.Event{Kind: kind, Cause: cause, Detail: detail, PauseUs: pause.Microseconds()})
	b.replica.logger.Info("boundary", "what", kind, "cause", cause, "detail", detail, "pause", pause)
}

// maxMoves bounds what a server remembers of boundaries.
const maxMoves = 256

// A BoundaryMove is what became of a region's boundary, as its leader tells it. Kind is
// that of the event, region.divided, region.began and so on; Pause is how long nothing
// could be decided in the region.
type BoundaryMove struct {
	At     time.Time
	Region region.ID
	Kind   string
	Detail string
	Pause  time.Duration
}

// BoundaryMoves lists what this coordinator has done with boundaries as a leader, oldest
// first, the last 256.
func (s *Server) BoundaryMoves() []BoundaryMove {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.moves)
}

func (s *Server) noteMove(m BoundaryMove) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moves = append(s.moves[max(0, len(s.moves)+1-maxMoves):], m)
}

// announceNow has the world told at once.
func (b *boundary) announceNow() {
	select {
	case b.moved <- struct{}{}:
	default:
	}
}

// unwell says why a group should not begin anything: most of its replicas must have
// been heard lately, for a replica that is away learns of a division much later.
func unwell(s group.Status) error {
	voters, well := 0, 0
	for _, p := range s.Replicas {
		if !p.Voter {
			continue
		}
		voters++
		if p.Node == s.Leader || p.Heard >= 0 && p.Heard < healthyContact {
			well++
		}
	}
	if 2*well <= voters {
		return fmt.Errorf("%d of %d replicas were heard lately: %w", well, voters, region.ErrOverloaded)
	}
	return nil
}

// healthyContact is how lately a replica must have answered to count as well.
const healthyContact = 5 * time.Second

// Boundary carries out an operator's order.
func (i *inspection) Boundary(ctx context.Context, req *skeinv1.BoundaryRequest) (*skeinv1.BoundaryResponse, error) {
	l, err := i.server.leader(req.Region)
	if err != nil {
		return nil, err
	}
	o := boundaryOrder{ctx: ctx, cause: byOperator, done: make(chan boundaryOutcome, 1)}
	switch x := req.Order.(type) {
	case *skeinv1.BoundaryRequest_Split:
		o.split = true
	case *skeinv1.BoundaryRequest_Merge:
		o.into = region.ID(x.Merge.GetInto())
	default:
		return nil, fmt.Errorf("order: %w: want split or merge", region.ErrInvalid)
	}
	other, err := l.boundary.await(ctx, o)
	if err != nil {
		return nil, err
	}
	return &skeinv1.BoundaryResponse{Other: string(other), Generation: uint64(l.replica.group.Region().Generation())}, nil
}
