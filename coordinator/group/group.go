package group

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A Group is one replica of a region's group. It is safe for concurrent use.
type Group struct {
	cfg     Config
	log     *slog.Logger
	feed    *feed
	disk    latencies // of writes to the log
	commits latencies // of proposals
	closing chan struct{}
	wg      sync.WaitGroup

	mu sync.Mutex
	// replica is nil while none runs; problem then says why.
	replica    *replica
	problem    error
	restarts   int
	leadership Leadership
	// news holds the newest leadership until it is received.
	news   chan Leadership
	closed bool
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
// It returns before the group has a leader. Errors say what to do: ErrInvalid,
// ErrExists, ErrLimit, a folder in use, damaged, or on a full disk.
func Open(cfg Config) (*Group, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Disk == nil {
		cfg.Disk = func(write func() error) error { return write() }
	}
	g := &Group{
		cfg:     cfg,
		log:     cfg.Logger.With("region", cfg.Region, "node", cfg.Node),
		feed:    newFeed(newState(cfg.Region, cfg.MaxMembers), cfg.FeedLength),
		closing: make(chan struct{}),
		news:    make(chan Leadership, 1),
		disk:    latencies{observe: cfg.ObserveWrite},
	}
	r, err := g.open()
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", cfg.Region, err)
	}
	g.replica = r
	g.wg.Go(func() { g.run(r) })
	return g, nil
}

// State is the newest state this replica has applied. It does not block and
// never goes back; after a start it is that of the last snapshot until the group
// has elected a leader.
func (g *Group) State() *State { return g.feed.state() }

// Region is the structure of State for reading: it must not be modified, and costs
// nothing.
func (g *Group) Region() *region.Region { return g.feed.structure() }

// Answer finds the stored answer to a request, if it has not expired at time now.
func (g *Group) Answer(member region.MemberID, requestID string, now time.Time) (Answer, bool) {
	return g.feed.answer(member, requestID, now)
}

// Subscribe follows the entries applied after revision after. If some of them
// are not held any more, the first thing read is a gap.
func (g *Group) Subscribe(after region.Revision) *Feed { return &Feed{feed: g.feed, after: after} }

// Leadership delivers the newest leadership; a value that was not received yet
// is replaced. It is meant for one reader. Close closes it.
func (g *Group) Leadership() <-chan Leadership { return g.news }

// Leader is the node that leads as far as this replica knows.
func (g *Group) Leader() (region.MemberID, bool) {
	r, _ := g.current()
	if r == nil {
		return "", false
	}
	_, id := r.raft.Load().LeaderWithID()
	return region.MemberID(id), id != ""
}

// Close stops the replica and waits for what it started. Proposals in flight end
// with ErrOutcomeUnknown. If the disk hangs, Close gives up after
// Config.DiskDeadline and says so.
func (g *Group) Close() error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	g.mu.Unlock()
	close(g.closing)
	ended := make(chan struct{})
	go func() { // outlives Close only if the disk hangs
		g.wg.Wait()
		close(ended)
	}()
	timer := time.NewTimer(g.cfg.DiskDeadline + g.cfg.rpcTimeout())
	defer timer.Stop()
	select {
	case <-ended:
		return nil
	case <-timer.C:
		return fmt.Errorf("group %s: the disk under %s does not answer: left open", g.cfg.Region, g.cfg.folder())
	}
}

// run looks after the replica until Close: one that breaks is stopped, and
// opened again if that may help.
func (g *Group) run(r *replica) {
	defer g.feed.close()
	defer close(g.news)
	for {
		select {
		case <-g.closing:
			g.retire(r, nil)
			return
		case b := <-r.broken:
			g.log.Error("replica stopped", "err", b.err, "for_good", b.fatal)
			g.retire(r, b.err)
			if b.fatal {
				<-g.closing
				return
			}
		}
		if r = g.reopen(); r == nil {
			return
		}
	}
}

// retire makes the replica unreachable and stops it. It leads no more from the first
// moment, since a disk that hangs may hold its end up; only in the end is it certain
// that it does not say otherwise.
func (g *Group) retire(r *replica, problem error) {
	g.mu.Lock()
	g.replica, g.problem = nil, problem
	last := g.leadership
	g.mu.Unlock()
	g.lead(Leadership{Term: last.Term})
	if err := r.close(); err != nil {
		g.log.Warn("replica stopped uncleanly", "err", err)
	}
	g.lead(Leadership{Term: last.Term})
}

// reopen tries until the disk takes writes and the replica runs again. It
// returns nil when the group is closed.
func (g *Group) reopen() *replica {
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		select {
		case <-g.closing:
			return nil
		case <-time.After(pause):
		}
		err := g.cfg.Disk(func() error { return probe(g.cfg.folder()) })
		if err == nil {
			var r *replica
			if r, err = g.open(); err == nil {
				g.mu.Lock()
				g.replica, g.problem = r, nil
				g.restarts++
				g.mu.Unlock()
				g.log.Info("replica runs again")
				return r
			}
		}
		g.mu.Lock()
		g.problem = err
		g.mu.Unlock()
	}
}

// lead publishes a leadership. Values of one term come in order: not leading,
// then leading.
func (g *Group) lead(l Leadership) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l == g.leadership {
		return
	}
	g.leadership = l
	select {
	case <-g.news:
	default:
	}
	g.news <- l // has room: all senders hold mu
}

// current is the running replica, nil if there is none, and the leadership.
func (g *Group) current() (*replica, Leadership) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.replica, g.leadership
}

// notLeader is the error of what only the leader can do.
func (g *Group) notLeader() error {
	leader, _ := g.Leader()
	if leader == g.cfg.Node {
		leader = "" // elected, but not ready yet
	}
	return fmt.Errorf("group %s: %w", g.cfg.Region, &region.NotLeaderError{Leader: leader})
}
