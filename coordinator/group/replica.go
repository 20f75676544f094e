package group

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein/region"
)

// retainSnapshots must not be less than 3: Raft panics if it needs the log behind
// an older snapshot than the newest (raft#85).
const retainSnapshots = 3

// A replica is one life of a Raft instance and what it stands on. When it is
// broken, its group stops it and opens another on the same folder.
type replica struct {
	group     *Group
	log       *slog.Logger
	fsm       *fsm
	store     *guard
	layer     *layer
	transport *transport
	snapshots raft.SnapshotStore        // set by start
	raft      atomic.Pointer[raft.Raft] // set by open, before anybody else looks
	notify    chan bool                 // from Raft, drained by lead
	stopping  chan struct{}
	wg        sync.WaitGroup
	gate      sync.Mutex // orders begin and close
	ended     bool
	// broken receives why the replica must stop.
	broken chan breakage
}

// A breakage is why a replica stopped. Unless it is fatal, another life is worth
// trying once the disk takes writes.
type breakage struct {
	err   error
	fatal bool
}

// open starts a replica on what is in its folder.
func (g *Group) open() (r *replica, err error) {
	folder := g.cfg.folder()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	r = &replica{
		group: g, log: g.log,
		notify:   make(chan bool, 16),
		stopping: make(chan struct{}),
		broken:   make(chan breakage, 1),
	}
	r.fsm = &fsm{
		feed: g.feed, progress: newMark(),
		work: newState(g.cfg.Region, g.cfg.MaxMembers),
		fail: func(err error) { r.fail(breakage{err: err, fatal: true}) },
	}
	d, err := openDisk(folder)
	if err != nil {
		return nil, err
	}
	r.store = newGuard(d, g.cfg.Disk, g.cfg.DiskDeadline, &g.disk, func(err error) { r.fail(breakage{err: err}) })
	r.store.emptied = r.emptied
	if r.layer, err = g.cfg.Listener.open(g.cfg.Region, r.allowed); err != nil {
		return nil, errors.Join(err, r.store.Close())
	}
	r.transport = newTransport(raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider:   r,
		Logger:                  raftLogger(g.log),
		Stream:                  r.layer,
		MaxPool:                 3,
		MaxRPCsInFlight:         1, // pipelining can park a follower's stream for ever (raft#612)
		Timeout:                 g.cfg.rpcTimeout(),
		MsgpackUseNewTimeFormat: true,
	}))
	if err := safely(func() error { return r.start(folder) }); err != nil {
		return nil, errors.Join(err, r.close())
	}
	r.wg.Go(r.lead)
	return r, nil
}

// start bootstraps the folder if it is new, and runs Raft on it.
func (r *replica) start(folder string) error {
	if err := tidy(folder); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	cfg := r.group.cfg
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(folder, retainSnapshots, raftLogger(r.log))
	if err != nil {
		return fmt.Errorf("snapshots: %w", err)
	}
	r.snapshots = snapshots
	rc := cfg.raft()
	rc.Logger = raftLogger(r.log)
	rc.NotifyCh = r.notify
	if len(cfg.Voters) > 0 {
		if err := r.bootstrap(rc, snapshots); err != nil {
			return fmt.Errorf("%s: %w", folder, err)
		}
	}
	cache, err := raft.NewLogCache(512, r.store)
	if err != nil {
		return err
	}
	instance, err := raft.NewRaft(rc, r.fsm, cache, r.store, snapshots, r.transport)
	if err != nil {
		return fmt.Errorf("%s cannot be read: %w; %s", folder, err, damagedAdvice(folder))
	}
	r.raft.Store(instance)
	r.store.serving.Store(true)
	return nil
}

// fail reports a breakage; the first one counts.
func (r *replica) fail(b breakage) {
	select {
	case r.broken <- b:
	default:
	}
}

// emptied stops a replica whose log was dropped in favour of a snapshot although it
// went on beyond it, with entries that were never agreed on. Raft would remember
// that it had them, and reject what the leader sends for ever (raft#697); another
// life on the same folder does not.
func (r *replica) emptied(last uint64) {
	list, err := r.snapshots.List()
	if err == nil && len(list) > 0 && last > list[0].Index {
		r.fail(breakage{err: fmt.Errorf("a snapshot of entry %d replaces a log that went its own way until %d", list[0].Index, last)})
	}
}

// begin counts a goroutine of a caller, unless the replica stops already.
func (r *replica) begin() bool {
	r.gate.Lock()
	defer r.gate.Unlock()
	if !r.ended {
		r.wg.Add(1)
	}
	return !r.ended
}

// close stops everything, in an order that leaves no goroutine behind: Raft and
// all connections, its transport's pool, the store. It blocks while the disk does.
func (r *replica) close() error {
	r.gate.Lock()
	r.ended = true
	r.gate.Unlock()
	close(r.stopping)
	var errs []error
	if instance := r.raft.Load(); instance != nil {
		stopped := instance.Shutdown()
		errs = append(errs, r.layer.Close()) // it would wait for dials
		errs = append(errs, stopped.Error())
	}
	errs = append(errs, r.transport.Close())
	r.transport.CloseStreams()
	r.wg.Wait()
	return errors.Join(append(errs, r.layer.Close(), r.store.Close())...)
}

// configuration is the newest one this replica knows; empty before the first.
func (r *replica) configuration() []raft.Server {
	if instance := r.raft.Load(); instance != nil {
		return instance.GetConfiguration().Configuration().Servers
	}
	return nil
}

// allowed says whether a peer may talk to this group. A replica that waits to be
// added knows no configuration yet and takes any coordinator of the cluster at
// its word; it has nothing to lose. One that lags behind takes the group's word.
func (r *replica) allowed(peer region.MemberID) bool {
	servers := r.configuration()
	for _, s := range servers {
		if s.ID == raft.ServerID(peer) {
			return true
		}
	}
	if len(servers) == 0 {
		return r.raft.Load() != nil
	}
	return r.group.cfg.Vouched != nil && r.group.cfg.Vouched(peer)
}

// ServerAddr is part of raft.ServerAddressProvider.
func (r *replica) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	node := region.MemberID(id)
	if resolve := r.group.cfg.Resolve; resolve != nil {
		if addr, ok := resolve(node); ok {
			return nodeAddress(node, addr), nil
		}
	}
	for _, s := range r.configuration() {
		if s.ID == id {
			return nodeAddress(node, string(s.Address)), nil
		}
	}
	for _, v := range r.group.cfg.Voters {
		if v.Node == node {
			return nodeAddress(node, v.Address), nil
		}
	}
	return "", fmt.Errorf("no address of %s: %w", node, region.ErrUnknownMember)
}

// lead watches this replica's leadership and passes it on: lost at once, won only
// after a barrier of the same term. It drains notify without pause, since Raft
// waits for it.
func (r *replica) lead() {
	instance := r.raft.Load()
	var barriers sync.WaitGroup
	defer barriers.Wait()
	won := make(chan reign)
	for {
		select {
		case leads := <-r.notify:
			term := instance.CurrentTerm()
			r.group.lead(Leadership{Term: term})
			if leads {
				r.transport.forget()
				barriers.Go(func() { r.establish(instance, term, won) })
			}
		case w := <-won:
			if instance.State() == raft.Leader && instance.CurrentTerm() == w.term {
				// Entries up to the barrier that the state machine is not shown
				// (no-ops, barriers) count as applied.
				r.fsm.progress.advance(w.barrier)
				r.group.lead(Leadership{Leading: true, Term: w.term})
			}
		case <-r.stopping:
			return
		}
	}
}

// A reign is a leadership whose barrier has passed.
type reign struct{ term, barrier uint64 }

func (r *replica) establish(instance *raft.Raft, term uint64, won chan<- reign) {
	var barrier uint64
	err := r.untilAccepted(func() error {
		f := instance.Barrier(0)
		err := f.Error()
		if i, ok := f.(raft.IndexFuture); ok && err == nil {
			barrier = i.Index()
		}
		return err
	})
	switch {
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		r.fail(breakage{err: fmt.Errorf("leader of term %d, but wedged: %w", term, err)})
	case err == nil:
		select {
		case won <- reign{term: term, barrier: barrier}:
		case <-r.stopping:
		}
	}
}

// untilAccepted repeats try while it is turned away because of a transfer of
// leadership, for at most three election timeouts. A transfer takes less than
// one; one that takes longer hangs, and only a restart ends it (raft#696).
func (r *replica) untilAccepted(try func() error) error {
	patience := time.NewTimer(3 * r.group.cfg.electionTimeout())
	defer patience.Stop()
	for {
		err := try()
		if !errors.Is(err, raft.ErrLeadershipTransferInProgress) {
			return err
		}
		select {
		case <-time.After(r.group.cfg.electionTimeout() / 10):
		case <-patience.C:
			return err
		case <-r.stopping:
			return raft.ErrRaftShutdown
		}
	}
}
