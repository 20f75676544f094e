package coordinator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/skein-mesh/skein/coordinator/directory"
	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// addTimeout is how long a new replica may take to catch up before others
	// things are looked at again.
	addTimeout = 30 * time.Second
	// dropAfter is how long a replica must have heard of no leader, dropEvery how
	// often one is looked for that its group has removed.
	dropAfter = 30 * time.Second
	dropEvery = 5 * time.Second
)

// heal keeps the region's group whole and obeys operators who want it elsewhere, for
// as long as the office lasts.
func (l *leadership) heal(ctx context.Context) {
	defer close(l.unattended)
	h := l.cfg.Healing
	var look <-chan time.Time
	if h.Replicas > 0 {
		ticker := time.NewTicker(h.Every)
		defer ticker.Stop()
		look = ticker.C
	}
	seen := map[region.MemberID]time.Time{}
	rest := time.Now().Add(h.Settle)
	var placed time.Time // until when the group stays where an operator has put it
	for {
		select {
		case <-look:
		case o := <-l.relocations:
			o.done <- l.relocate(ctx, l.staff(seen, time.Now()), o)
			rest, placed = time.Now().Add(h.Settle), time.Now().Add(placedFor)
			continue
		case <-ctx.Done():
			return
		}
		now := time.Now()
		s := l.staff(seen, now)
		s.placed = now.Before(placed)
		if now.Before(rest) {
			continue
		}
		next := h.next(s)
		if next.do == nothing {
			continue
		}
		if err := l.carryOut(ctx, next); err != nil && ctx.Err() == nil {
			l.replica.logger.Warn("the group is not changed", "step", next.do.String(), "node", next.node, "err", err)
		}
		if next.do == add || next.do == invite { // a member of the group that is missing is looked for soon
			rest = time.Now()
			continue
		}
		rest = time.Now().Add(h.Settle)
	}
}

// staff is what is known of the group's replicas, and who could be one; seen
// remembers since when coordinators have been there.
func (l *leadership) staff(seen map[region.MemberID]time.Time, now time.Time) staff {
	s := staff{
		self: l.replica.self, replicas: l.replica.group.Status().Replicas,
		pool: map[region.MemberID]directory.Coordinator{}, settled: map[region.MemberID]bool{},
	}
	for i, r := range s.replicas {
		// One that never answered this leader is given the time that it has led.
		if r.Heard < 0 {
			s.replicas[i].Heard = time.Since(l.since)
		}
	}
	for _, c := range l.replica.directory.Coordinators() {
		s.pool[c.ID] = c
		if seen[c.ID].IsZero() {
			seen[c.ID] = now
		}
		s.settled[c.ID] = now.Sub(seen[c.ID]) >= l.cfg.Healing.Settle
	}
	for id := range seen {
		if _, there := s.pool[id]; !there {
			delete(seen, id)
		}
	}
	s.offers, s.awaited = l.volunteers.suited(l.judge(), func(id region.MemberID) bool { _, ok := s.pool[id]; return ok }, now)
	return s
}

// carryOut changes the group by one step.
func (l *leadership) carryOut(ctx context.Context, next step) error {
	r := l.replica
	l.replica.logger.Info("the group is changed", "step", next.do.String(), "node", next.node)
	switch next.do {
	case handOver:
		return r.transfer(ctx)
	case invite:
		l.volunteers.invite(next.node, time.Now())
		r.history.note(&skeinv1.Event{Kind: "volunteer.invited", Member: string(next.node)})
		return nil
	case remove:
		if err := r.group.RemoveReplica(ctx, next.node); err != nil {
			return err
		}
		r.history.note(&skeinv1.Event{Kind: "replica.removed", Member: string(next.node)})
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, addTimeout)
	defer cancel()
	c, ok := r.directory.Coordinator(next.node)
	if !ok {
		return fmt.Errorf("coordinator %s: %w", next.node, region.ErrUnreachable)
	}
	if err := r.server.askToHost(ctx, c, r); err != nil {
		return err
	}
	if err := r.group.AddReplica(ctx, group.Peer{Node: c.ID, Address: c.Raft}); err != nil {
		return err
	}
	r.history.note(&skeinv1.Event{Kind: "replica.added", Member: string(c.ID), Detail: c.GRPC})
	return nil
}

// String names a step for people.
func (k stepKind) String() string {
	return [...]string{"nothing", "add", "remove", "invite", "hand over"}[k]
}

// askToHost has another coordinator open a replica of a group.
func (s *Server) askToHost(ctx context.Context, c directory.Coordinator, r *replica) error {
	req := &skeinv1.HostRequest{Region: string(r.region), Generation: uint64(r.group.Region().Generation())}
	for _, p := range r.members() {
		req.Replicas = append(req.Replicas, &skeinv1.ReplicaHost{Id: string(p.ID), Grpc: p.GRPC, Raft: p.Raft})
	}
	return s.consultAt(ctx, c.GRPC, func(ctx context.Context, d skeinv1.DirectoryClient) error {
		_, err := d.Host(ctx, req)
		return err
	})
}

// Host opens a replica, which waits for the group's leader to add it. An older
// generation of the region that is left here goes.
func (a *atlas) Host(_ context.Context, req *skeinv1.HostRequest) (*skeinv1.HostResponse, error) {
	s := a.server
	id, err := skeinv1.ToRegionID(req.Region)
	if err != nil {
		return nil, err
	}
	if s.retiring.Load() {
		return nil, status.Errorf(codes.FailedPrecondition, "this coordinator retires")
	}
	if r := s.hosts(id); r != nil {
		if r.group.Region().Generation() >= region.Generation(req.Generation) || !r.forlorn() {
			return &skeinv1.HostResponse{}, nil
		}
		if err := s.Drop(id); err != nil {
			return nil, err
		}
	}
	if most := s.cfg.maxGroups(); len(s.hosted()) >= most {
		return nil, fmt.Errorf("replicas of a coordinator, %d: %w", most, region.ErrLimit)
	}
	if len(req.Replicas) == 0 || len(req.Replicas) > group.MaxReplicas {
		return nil, fmt.Errorf("replicas: %w: want 1 to %d, have %d", region.ErrInvalid, group.MaxReplicas, len(req.Replicas))
	}
	g := Group{Region: id, Child: true, Peers: []Peer{s.cfg.advertised()}}
	for _, h := range req.Replicas {
		peer, err := skeinv1.ToMemberID(h.Id)
		if err != nil {
			return nil, fmt.Errorf("replicas: %w", err)
		}
		if peer != s.ID() {
			g.Peers = append(g.Peers, Peer{ID: peer, GRPC: h.Grpc, Raft: h.Raft})
		}
	}
	return &skeinv1.HostResponse{}, s.host(g, beginning{wait: true})
}

// forlorn says that a replica has heard of no leader for long.
func (r *replica) forlorn() bool {
	s := r.group.Status()
	return s.Role != "leader" && (s.LastContact < 0 || s.LastContact >= dropAfter) && time.Since(r.begun) >= dropAfter
}

// expelled says that a replica was removed from its group: no leader turns to it,
// the region's descriptor does not name it, and either it knows or the others
// refuse it.
func (r *replica) expelled() bool {
	if !r.forlorn() {
		return false
	}
	known, ok := r.directory.Region(r.region)
	if !ok || known.Generation < r.group.Region().Generation() {
		return false
	}
	for _, h := range known.Replicas {
		if h.ID == r.self {
			return false
		}
	}
	s := r.group.Status()
	if len(s.Replicas) > 0 && !slices.ContainsFunc(s.Replicas, func(x group.Replica) bool { return x.Node == r.self }) {
		return true
	}
	refused := func(s group.Status) bool { return s.Refused >= 0 && s.Refused < dropAfter }
	if refused(s) {
		return true
	}
	r.group.Knock()
	return refused(r.group.Status())
}

// SetRetiring asks that all replicas here be moved to other coordinators, soon and as
// far as there are any, or takes that back. It does not block.
func (s *Server) SetRetiring(retiring bool) {
	if s.retiring.Swap(retiring) != retiring {
		s.directory.SetRetiring(retiring)
	}
}

// Retire is SetRetiring, and waits until nothing is hosted here any more, or ctx ends. It
// is for a coordinator that ends for good.
func (s *Server) Retire(ctx context.Context) error {
	s.SetRetiring(true)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for len(s.hosted()) > 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%d replicas are left: %w", len(s.hosted()), context.Cause(ctx))
		}
	}
	return nil
}
