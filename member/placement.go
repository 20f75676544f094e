package member

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

const (
	// maxFaults bounds what a placement remembers of peers that failed it.
	maxFaults = 8
	// endGrace is how long a stream may be unknown to the coordinators before
	// its subscriptions end: its publisher may be about to join anew.
	endGrace = 10 * time.Second
	// endRetry is the longest wait between two questions meanwhile.
	endRetry = time.Second
	// fullRetry is how long to wait, at first, when no member has room.
	fullRetry = 500 * time.Millisecond
	// maxFullRetry bounds its doubling.
	maxFullRetry = 5 * time.Second
)

// errNoRoom: nobody in the tree has room for one more.
var errNoRoom = fmt.Errorf("no member of the tree has room, try again later or raise somebody's uplink: %w", region.ErrLimit)

// A placement is this member's place in the tree of one stream, wanted for as
// long as there are subscriptions to it. Its goroutine, run, is the only one
// that asks the coordinators about it, one request at a time, the most urgent
// first; everybody else just leaves a note of what happened.
type placement struct {
	node   *Node
	at     *residence
	stream region.StreamID
	layers region.LayerMask
	wake   chan struct{} // capacity 1
	over   chan struct{} // closed when run has ended; err says why

	// ended is told why run has; nil: nobody asks.
	ended func(region.StreamID, error)

	mu      sync.Mutex
	kept    bool          // wanted by a gateway's duty
	placed  chan struct{} // closed when there is a place
	sinks   map[*Subscription]bool
	cause   region.Cause    // why a place is wanted; 0 = it is not
	using   region.MemberID // a standby drawn from that the coordinators do not know of
	faults  []fault
	parent  region.MemberID // that carried the stream last
	unknown time.Time       // since when the coordinators do not know the stream
	had     bool            // placed is closed
	cramped bool            // the neighbour that feeds it has no room for what is wanted
	local   bool            // a neighbour feeds it by itself, or did
	idle    time.Time       // since when nobody wants it; zero: somebody does
	rests   bool            // nothing is drawn meanwhile
	spare   bool            // the coordinators would rather have it back
	err     error
}

// A fault is what a peer did to this member in one stream.
type fault struct {
	peer region.MemberID
	what link.Fault
}

// A wish is what run has to ask for.
type wish struct {
	cause   region.Cause // 0: nobody wants the stream any more
	using   region.MemberID
	faults  []fault
	release bool
}

func newPlacement(n *Node, at *residence, id region.StreamID) *placement {
	return &placement{
		node: n, at: at, stream: id, layers: region.AllLayers, cause: region.Joining,
		wake: make(chan struct{}, 1), placed: make(chan struct{}), over: make(chan struct{}),
		sinks: make(map[*Subscription]bool),
	}
}

// wanted is called with mu held.
func (p *placement) wanted() bool {
	return p.kept || len(p.sinks) > 0 || p.at == p.node.residence && p.node.relay.Leaves(p.stream) > 0
}

// waits says whether the stream has no place yet.
func (p *placement) waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.had
}

// keepUp says whether a gateway's duty wants the place.
func (p *placement) keepUp(kept bool) {
	p.mu.Lock()
	p.kept = kept
	p.mu.Unlock()
	p.ring()
}

// want leaves the note that a place is needed. using is the standby in use, if
// any; failed are those that let the member down.
func (p *placement) want(cause region.Cause, using region.MemberID, failed ...fault) {
	p.mu.Lock()
	if p.cause == 0 || cause < p.cause {
		p.cause = cause
	}
	p.using = using
	p.addFaults(failed)
	p.mu.Unlock()
	p.ring()
}

// blame remembers a peer's fault for the next request.
func (p *placement) blame(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addFaults([]fault{f})
}

// addFaults is called with mu held. The first word on a peer counts.
func (p *placement) addFaults(list []fault) {
	for _, f := range list {
		known := false
		for _, old := range p.faults {
			known = known || old.peer == f.peer
		}
		if !known && len(p.faults) < maxFaults {
			p.faults = append(p.faults, f)
		}
	}
}

// settled notes that a parent named by the coordinators carries the stream, and
// reports whether it is another one than before.
func (p *placement) settled(parent region.MemberID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cause, p.using, p.faults = 0, "", nil
	another := p.parent != parent
	p.parent = parent
	return another
}

func (p *placement) ring() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take returns what is to be asked for now, and clears the note; without that, how
// long to wait at most.
func (p *placement) take() (w wish, any bool, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.wanted() {
		wait = p.retained(time.Now())
		return wish{release: true}, wait <= 0, wait
	}
	p.busy()
	if p.cause == 0 {
		return wish{}, false, time.Hour
	}
	w = wish{cause: p.cause, using: p.using, faults: p.faults}
	p.cause, p.using, p.faults = 0, "", nil
	return w, true, 0
}

// keep puts back a wish that was not granted; what was noted since is newer.
func (p *placement) keep(w wish) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cause == 0 || w.cause < p.cause {
		p.cause = w.cause
	}
	if p.using == "" {
		p.using = w.using
	}
	p.addFaults(w.faults)
}

// run asks for the place, again and again if need be, and gives it back in the
// end. It ends when nobody subscribes any more, the stream is over, or ctx ends.
func (p *placement) run(ctx context.Context) {
	defer close(p.over)
	full := fullRetry
	for {
		w, any, wait := p.take()
		if !any {
			timer := time.NewTimer(wait)
			select {
			case <-p.wake:
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				p.finish(region.ErrClosed)
				return
			}
			timer.Stop()
			continue
		}
		if w.release {
			if p.release(ctx) {
				return
			}
			continue
		}
		err := p.ask(ctx, w)
		if err == nil {
			full = fullRetry
			p.succeed()
			continue
		}
		if ctx.Err() != nil {
			err = region.ErrClosed
		}
		if p.hopeless(err) {
			p.finish(err)
			return
		}
		p.node.log.Debug("no place yet", "stream", p.stream, "err", err)
		if errors.Is(err, errNoRoom) {
			w.faults = nil // they were heard; said again they would count again
		}
		p.keep(w)
		if errors.Is(err, region.ErrUnknownStream) {
			full = min(full, endRetry) // it may come back at any moment
		}
		full = p.pause(ctx, full)
	}
}

// pause waits before the next attempt, or until the note changes.
func (p *placement) pause(ctx context.Context, wait time.Duration) time.Duration {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.wake:
	case <-ctx.Done():
	}
	return min(2*wait, maxFullRetry)
}

func (p *placement) succeed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unknown = time.Time{}
	if !p.had {
		p.had = true
		close(p.placed)
	}
}

// inherit notes that the place is there already: it was given under another name.
func (p *placement) inherit() {
	p.mu.Lock()
	p.cause = 0
	p.mu.Unlock()
	p.succeed()
}

// hopeless reports whether asking again makes no sense.
func (p *placement) hopeless(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case errors.Is(err, region.ErrClosed):
		return true
	case errors.Is(err, region.ErrUnknownStream):
		if p.unknown.IsZero() {
			p.unknown = time.Now()
		}
		return !p.had || time.Since(p.unknown) >= endGrace
	case errors.Is(err, errNoRoom), errors.Is(err, region.ErrUnreachable),
		errors.Is(err, region.ErrLease), errors.Is(err, region.ErrUnknownMember), errors.Is(err, region.ErrGeneration),
		errors.Is(err, region.ErrElsewhere):
		// Room may come up, coordinators come back, the session joins anew.
		return false
	}
	return !p.had
}

// finish ends all subscriptions.
func (p *placement) finish(err error) {
	n := p.node
	n.mu.Lock()
	delete(p.at.placements, p.stream)
	n.mu.Unlock()
	p.at.assigned.forget(p.stream)
	p.abandon()
	p.relieve()
	if p.ended != nil {
		p.ended(p.stream, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	for s := range p.sinks {
		_ = s.sink.Close()
	}
	clear(p.sinks)
	if p.had && !errors.Is(err, region.ErrClosed) {
		n.events.put(Event{Kind: Ended, Stream: p.stream, Detail: err.Error()})
	}
}

// relieve ends what this member does for the stream in another region: its own
// wants nothing of it any more.
func (p *placement) relieve() {
	if p.at == p.node.residence {
		p.node.heedDuty(p.stream, nil)
	}
}

// release gives the place back. It reports false if somebody has subscribed
// meanwhile, or the coordinators could not be reached: as long as they do not
// know, they keep the place and see to it that it is held.
func (p *placement) release(ctx context.Context) bool {
	n := p.node
	p.mu.Lock()
	if p.had {
		p.had, p.placed = false, make(chan struct{})
	}
	p.idle = time.Time{}
	p.mu.Unlock()
	err := p.giveBack(ctx)
	if err != nil {
		n.log.Debug("place not given back", "stream", p.stream, "err", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wanted() {
		p.cause = region.Joining
		return false
	}
	if errors.Is(err, region.ErrUnreachable) && n.ctx.Err() == nil {
		return false
	}
	if p.at.placements[p.stream] == p {
		delete(p.at.placements, p.stream)
	}
	p.at.assigned.forget(p.stream)
	return true
}

// giveBack ends the place: one that no tree knows at once, another one through the
// coordinators.
func (p *placement) giveBack(ctx context.Context) error {
	n := p.node
	if p.abandon() && !p.at.assigned.place(p.stream).placed {
		return nil
	}
	request := &skeinv1.ReleaseRequest{
		RequestId: requestID(), Lease: uint64(p.at.lease()), Stream: string(p.stream),
	}
	// Until the coordinators have moved them, the children are still fed.
	ctx, cancel := context.WithTimeout(ctx, 2*n.cfg.CallTimeout)
	defer cancel()
	return p.at.call(ctx, func(ctx context.Context, c client, at *address) error {
		request.Region = string(at.region)
		response, err := c.MembershipClient.Release(ctx, request)
		if err == nil {
			p.at.assigned.lose(p.stream, region.Revision(response.GetRevision()))
			p.relieve()
		}
		return err
	})
}

// abandon ends what a neighbour feeds by itself, and reports whether one did.
func (p *placement) abandon() bool {
	p.mu.Lock()
	was := p.local
	p.local = false
	p.mu.Unlock()
	if was {
		p.node.relay.Abandon(p.stream)
	}
	return was
}
