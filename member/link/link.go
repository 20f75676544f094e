package link

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/skein-mesh/skein/region"
)

var (
	errNoSession = errors.New("link is not up")
	errReplayed  = errors.New("seen before")
	errBusy      = errors.New("too many at the same time")
	errClosed    = errors.New("transport is closed")
)

// A Peer is the other end of a link as the coordinators describe it.
type Peer struct {
	ID       region.MemberID
	Lease    region.Lease
	Endpoint region.Endpoint
}

// A State says how a link is doing.
type State uint32

// The states of a link.
const (
	// Connecting: there is no path yet, or the peer has closed its end.
	Connecting State = iota
	// Up: the peer was heard lately.
	Up
	// Silent: the peer was heard before, but not lately. It may come back.
	Silent
)

func (s State) String() string {
	switch s {
	case Up:
		return "up"
	case Silent:
		return "silent"
	default:
		return "connecting"
	}
}

// A Status is a snapshot of one link.
type Status struct {
	Peer  region.MemberID
	Lease region.Lease
	State State
	// RTT is the smoothed round-trip time; 0 until it was measured.
	RTT time.Duration
	// Room is how much the link was found to carry towards the peer, kbit/s; 0
	// while no limit was met.
	Room region.Rate
	// Loss is the share of pings not answered, smoothed, 0 to 1.
	Loss float64
	// Heard is how long ago the peer was heard; 0 if there is no session.
	Heard time.Duration
	// PacketsSent, BytesSent, PacketsReceived, BytesReceived count media.
	PacketsSent, BytesSent, PacketsReceived, BytesReceived uint64
	// Malformed counts what the peer sent that made no sense, Replayed what had come
	// before, Flooded what was too much.
	Malformed, Replayed, Flooded uint64
}

// controlRate bounds the control messages of one peer, per second.
const controlRate = 2000

// A Link joins this member with one peer for one stay of both. It builds
// sessions, one after the other, until it is forgotten.
type Link struct {
	t    *Transport
	peer Peer
	pair *pairing

	session  atomic.Pointer[session]
	sessions atomic.Uint64 // how many there were
	state    atomic.Uint32
	epoch    atomic.Uint32
	resting  atomic.Bool // between two attempts
	knocked  atomic.Bool // the peer is at it
	// interrupt ends the present attempt, session or rest.
	interrupt atomic.Pointer[context.CancelFunc]
	cancel    context.CancelFunc // ends the link
	done      chan struct{}
	limit     *rate.Limiter

	pulse    // of the transport's pulse goroutine and the readers
	estimate estimate
	feedback feedback

	packetsSent, bytesSent         atomic.Uint64
	packetsReceived, bytesReceived atomic.Uint64
	malformed, replayed, flooded   atomic.Uint64
	offences                       offences
}

func newLink(t *Transport, p Peer, pair *pairing) *Link {
	return &Link{t: t, peer: p, pair: pair, done: make(chan struct{}), limit: rate.NewLimiter(controlRate, controlRate/4)}
}

// Peer is the other end.
func (l *Link) Peer() Peer { return l.peer }

// State is how the link is doing now.
func (l *Link) State() State { return State(l.state.Load()) }

// Session counts the sessions of the link: what was agreed in an earlier one
// has to be agreed again. 0 means that there was none yet.
func (l *Link) Session() uint64 { return l.sessions.Load() }

// run builds sessions until ctx ends.
func (l *Link) run(ctx context.Context) {
	defer close(l.done)
	for failures := 0; ctx.Err() == nil; {
		attempt, cancel := context.WithCancel(ctx)
		l.interrupt.Store(&cancel)
		epoch := l.epoch.Load()
		if l.attempt(attempt, epoch) {
			failures = 0
		} else if attempt.Err() == nil {
			failures++
			l.rest(attempt, failures)
		}
		cancel()
	}
}

// attempt builds one session, for which a process that is late has longer, and serves it to
// its end. It reports whether it
// came that far. What was begun in an epoch cannot be begun again, so the next
// attempt uses the next one; if the peer did not answer at all it uses the same,
// for the peer would not know of the other.
func (l *Link) attempt(ctx context.Context, epoch uint32) bool {
	l.resting.Store(true)
	turn := l.t.builds.enter(ctx, mayBuild(l.t.Late()), l.knocked.Swap(false))
	l.resting.Store(false)
	if !turn {
		return false
	}
	setup, cancel := context.WithTimeout(ctx, l.t.cfg.Setup+20*l.t.Late())
	s, reached, err := l.connect(setup, epoch)
	cancel()
	l.t.builds.leave(mayBuild(l.t.Late()))
	if reached {
		defer l.epoch.CompareAndSwap(epoch, epoch+1)
	}
	if err != nil {
		if ctx.Err() == nil {
			l.t.cfg.Logger.Debug("link not established", "peer", l.peer.ID, "epoch", epoch, "err", err)
		}
		return false
	}
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	defer s.close()
	l.begin(s)
	s.watch()
	l.end(s)
	return true
}

// rest waits before the next attempt: 1 s at first, twice as long each time, up
// to 16 s. A knock ends it.
func (l *Link) rest(ctx context.Context, failures int) {
	timer := time.NewTimer(time.Second << min(failures-1, 4))
	defer timer.Stop()
	l.resting.Store(true)
	defer l.resting.Store(false)
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// follow makes the link go to a later epoch, or end its rest.
func (l *Link) follow(epoch uint32) {
	for {
		now := l.epoch.Load()
		if epoch < now {
			return
		}
		if l.epoch.CompareAndSwap(now, epoch) {
			break
		}
	}
	l.knocked.Store(true)
	if cancel := l.interrupt.Load(); cancel != nil {
		(*cancel)()
	}
}

func (l *Link) begin(s *session) {
	l.pulse.reset(l.t.now())
	l.estimate.reset()
	l.sessions.Add(1)
	l.session.Store(s)
	l.t.route(s)
	l.state.Store(uint32(Up))
	l.stir()
	l.t.cfg.Logger.Debug("link up", "peer", l.peer.ID)
	l.t.hand().Changed(l)
}

func (l *Link) end(s *session) {
	l.session.Store(nil)
	l.t.unroute(s)
	l.state.Store(uint32(Connecting))
	l.t.cfg.Logger.Debug("link down", "peer", l.peer.ID)
	l.t.hand().Changed(l)
}

func (l *Link) status(now int64) Status {
	s := Status{
		Peer: l.peer.ID, Lease: l.peer.Lease, State: l.State(),
		PacketsSent: l.packetsSent.Load(), BytesSent: l.bytesSent.Load(),
		PacketsReceived: l.packetsReceived.Load(), BytesReceived: l.bytesReceived.Load(),
		Malformed: l.malformed.Load(), Replayed: l.replayed.Load(), Flooded: l.flooded.Load(),
	}
	s.RTT, s.Loss = l.measured()
	s.Room = l.Room()
	if l.session.Load() != nil {
		s.Heard = time.Duration(now - l.heardAt.Load())
	}
	return s
}
