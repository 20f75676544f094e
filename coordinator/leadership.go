package coordinator

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// watchEvery is how often leases, reservations and sessions are looked at,
	// sweepEvery how often what is of no use any more is forgotten.
	watchEvery = 250 * time.Millisecond
	sweepEvery = 10 * time.Second
	// refugeTurns is how many of these turns pass before members are told of new
	// coordinators elsewhere.
	refugeTurns = 8
	// establishRetry is the pause after a leader could not take office.
	establishRetry = 200 * time.Millisecond
	// leaveRetry is when the end of a stay is proposed again if nothing came of
	// it.
	leaveRetry = 5 * time.Second
)

// A leadership is what a replica has only while it leads, and forgets with its
// office.
type leadership struct {
	replica *replica
	cfg     *Config
	// since is when it took office.
	since      time.Time
	signer     *signer
	gossipKeys [][]byte
	decider    *decider
	hub        *hub
	leases     *leases
	rtts       *rtts
	faults     *faults
	inquiries  *inquiries
	names      *names
	spaces     *spaces
	lookups    *lookups
	sources    *sources
	volunteers *volunteers
	// behind says that the log was found to be older than what members know.
	behind      atomic.Bool
	reorganiser *reorganiser
	boundary    *boundary
	// relocations are orders for whoever keeps the group whole; unattended is closed
	// when nobody does any more.
	relocations chan relocation
	unattended  chan struct{}
}

// lead runs a leadership until ctx ends, which is when the office is lost.
func (r *replica) lead(ctx context.Context) {
	l, feed, err := r.establish(ctx)
	for err != nil {
		if ctx.Err() != nil {
			return
		}
		r.logger.Warn("cannot take office yet", "err", err)
		select {
		case <-time.After(establishRetry):
		case <-ctx.Done():
			return
		}
		l, feed, err = r.establish(ctx)
	}
	var wg sync.WaitGroup
	wg.Go(func() { l.decider.run(ctx, r.notLeader) })
	wg.Go(func() { l.follow(ctx, feed) })
	wg.Go(func() { l.watch(ctx) })
	wg.Go(func() { l.reorganiser.run(ctx) })
	wg.Go(func() { l.announce(ctx) })
	wg.Go(func() { l.heal(ctx) })
	wg.Go(func() { l.regate(ctx) })
	wg.Go(func() { l.neighbour(ctx) })
	wg.Go(func() { l.uphold(ctx) })
	wg.Go(func() { l.register(ctx) })
	wg.Go(func() { l.inhabit(ctx) })
	wg.Go(func() { l.share(ctx) })
	wg.Go(func() { l.resource(ctx) })
	wg.Go(func() { l.boundary.run(ctx) })
	r.leading.Store(l)
	r.logger.Info("leads the region", "revision", l.hub.current().Revision())
	if state := r.group.State(); state.Region.Revision() == group.Genesis && !state.Bounded.IsZero() {
		r.cfg.pass(childLeads)
		l.boundary.tell("region.began", "", "", max(0, r.cfg.Now().Sub(state.Bounded)))
	}
	<-ctx.Done()
	r.leading.Store(nil)
	wg.Wait()
	l.hub.close(r.notLeader())
	r.logger.Info("does not lead the region any more")
}

// establish makes everything a leader needs. The first leader of a group makes
// the region's secrets.
func (r *replica) establish(ctx context.Context) (*leadership, *group.Feed, error) {
	state := r.group.State()
	if len(state.Secrets.SigningSeed) == 0 {
		entry := newDraft(state, r.cfg.Now(), 0, nil)
		entry.secrets = newSecrets()
		if _, err := r.group.Propose(ctx, entry.entry()); err != nil {
			return nil, nil, fmt.Errorf("make the region's secrets: %w", err)
		}
		state = r.group.State()
	}
	cfg, now := r.cfg, r.cfg.Now()
	l := &leadership{
		replica: r, cfg: cfg, since: time.Now(),
		signer:     newSigner(state.Secrets.SigningSeed, cfg.GrantTTL),
		gossipKeys: state.Secrets.GossipKeys,
		hub:        newHub(state.Region, cfg.LeaseTTL),
		leases:     newLeases(cfg.LeaseTTL, cfg.LeaseGrace, now),
		rtts:       newRTTs(),
		faults:     newFaults(),
		inquiries:  newInquiries(),
		names:      newNames(),
		spaces:     newSpaces(newOffice()),
		lookups:    newLookups(),
		sources:    newSources(),
		volunteers: newVolunteers(),

		relocations: make(chan relocation), unattended: make(chan struct{}),
	}
	l.hub.whereabouts = l.whereabouts
	l.reorganiser, l.boundary = newReorganiser(l), newBoundary(l)
	l.decider = &decider{
		log: r.group, clock: cfg.Now, rtts: l.rtts, meter: r.meter, logger: r.logger,
		hold: cfg.Reservation, delay: cfg.BatchDelay, size: cfg.BatchSize,
		queue: newQueue(cfg.QueueSize), pending: map[requestKey]*request{},
	}
	return l, r.group.Subscribe(state.Region.Revision()), nil
}

func newSecrets() *skeinv1.Secrets {
	seed, key := make([]byte, 32), make([]byte, 32)
	rand.Read(seed)
	rand.Read(key)
	return &skeinv1.Secrets{SigningSeed: seed, GossipKeys: [][]byte{key}}
}

// follow tells the hub what is applied.
func (l *leadership) follow(ctx context.Context, feed *group.Feed) {
	for {
		a, err := feed.Next(ctx)
		if err != nil {
			return
		}
		before := l.hub.current()
		if before.Generation() != a.Region.Generation() {
			// Everybody comes back, and some for the first time.
			l.leases.anew(l.cfg.Now().Add(l.cfg.LeaseGrace))
		}
		l.hub.publish(a)
		l.reorganiser.noticed(before, a)
		if slices.ContainsFunc(a.Change.Edits, func(e region.Edit) bool { _, left := e.(region.DropMember); return left }) {
			l.spaces.sweep(presentIn(a.Region), time.Now())
		}
	}
}

// presentIn says of a stay whether it is its member's present one in r.
func presentIn(r *region.Region) func(stay) bool {
	return func(s stay) bool {
		m, ok := r.Member(s.member)
		return ok && m.Lease == s.lease
	}
}

// watch ends what has run out: stays, reservations, sessions.
func (l *leadership) watch(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	ending := map[stay]time.Time{}
	swept := l.cfg.Now()
	for turn := 0; ; turn++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := l.cfg.Now()
		r := l.hub.current()
		l.endStays(r, ending, now)
		if time.Since(l.since) > l.cfg.LeaseGrace {
			l.expire(r, now)
		}
		l.tend(r, turn)
		l.hub.sweep(time.Now(), l.cfg.GrantTTL/4)
		if turn%refugeTurns == 0 {
			l.hub.move(l.refuges(), l.replica.roll())
			l.countVolunteers()
		}
		l.countLeaves(r)
		if now.Sub(swept) > sweepEvery {
			swept = now
			l.sweep(r, ending, now)
		}
	}
}

// endStays has the stays ended whose members fell silent.
func (l *leadership) endStays(r *region.Region, ending map[stay]time.Time, now time.Time) {
	outage := l.leases.outage(r, now, l.cfg.OutageHold)
	for m := range r.Members() {
		s := stay{m.ID, m.Lease}
		if !l.leases.over(s, m.Joined, now, outage) || now.Sub(ending[s]) < leaveRetry {
			continue
		}
		ending[s] = now
		err := l.order(func(d *draft) error {
			// A word that came while the request waited saves the stay.
			if !l.leases.over(s, m.Joined, l.cfg.Now(), outage) {
				return nil
			}
			return d.leave(s, true)
		})
		if err != nil {
			return
		}
	}
}

// expire has the reservations reversed that were not confirmed in time. A new
// leader waits with it: those who should have confirmed had nobody to tell.
func (l *leadership) expire(r *region.Region, now time.Time) {
	if r.Overdue(now) {
		// The next tick goes on with what is left, or tries again.
		_ = l.order((*draft).expire)
	}
}

// tend looks after one tree each turn: a stream is rescued by the standbys its
// members hold, so they must be good also when nothing is decided any more.
func (l *leadership) tend(r *region.Region, turn int) {
	count := r.StreamCount()
	if count == 0 {
		return
	}
	i := 0
	for s := range r.Streams() {
		if i == turn%count {
			if len(r.Appoint(s.ID)) > 0 {
				_ = l.order(func(d *draft) error { return d.appoint(s.ID) })
				return
			}
			if len(r.Tend(s.ID, turn/count, time.Now(), noRTT{})) > 0 {
				_ = l.submit(patient, func(d *draft) error { return d.tend(s.ID, turn/count) })
			}
			return
		}
		i++
	}
}

// noRTT knows nothing. It serves where only the existence of edits matters.
type noRTT struct{}

func (noRTT) RTT(a, b region.MemberID) (time.Duration, bool) { return unknownRTT, false }

// sweep forgets what concerns members that are gone.
func (l *leadership) sweep(r *region.Region, ending map[stay]time.Time, now time.Time) {
	gone := func(m region.MemberID) bool {
		_, ok := r.Member(m)
		return !ok
	}
	present := presentIn(r)
	for s := range ending {
		if !present(s) {
			delete(ending, s)
		}
	}
	l.leases.sweep(present, gone)
	l.names.sweep(now)
	l.spaces.sweep(present, time.Now())
	l.lookups.sweep(now)
	l.rtts.forget(gone)
	l.faults.sweep(time.Now(), gone)
}

// check makes sure that a stay is the present one of its member and notes that
// it was heard.
func (l *leadership) check(s stay) (region.Revision, error) {
	r := l.replica.group.Region()
	m, ok := r.Member(s.member)
	if !ok {
		if moved := l.whereabouts(s, 0); moved != nil {
			return 0, moved
		}
	}
	switch {
	case !ok:
		return 0, fmt.Errorf("member %s: %w: the stay has ended, join anew", s.member, region.ErrLease)
	case m.Lease != s.lease:
		return 0, fmt.Errorf("member %s: %w: it holds lease %d, not %d", s.member, region.ErrLease, m.Lease, s.lease)
	}
	l.leases.renew(s.member, s.lease, l.cfg.Now())
	return r.Revision(), nil
}
