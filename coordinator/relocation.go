package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skein-mesh/skein/coordinator/directory"
	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// relocateTimeout bounds a relocation from the moment it is begun.
	relocateTimeout = time.Minute
	// placedFor is how long a group stays where an operator has put it: until then it
	// is repaired, and not improved.
	placedFor = time.Hour
)

// A relocation is an operator's order to give a replica to another coordinator. The
// goroutine that keeps the group whole carries it out, so that the two do not undo each
// other's steps.
type relocation struct {
	ctx      context.Context
	from, to string // ids or gRPC addresses; empty = where it serves best
	done     chan relocated
}

type relocated struct {
	from, to region.MemberID
	err      error
}

// awaitRelocation has an order carried out and waits for that.
func (l *leadership) awaitRelocation(ctx context.Context, from, to string) relocated {
	o := relocation{ctx: ctx, from: from, to: to, done: make(chan relocated, 1)}
	select {
	case l.relocations <- o:
	case <-ctx.Done():
		return relocated{err: context.Cause(ctx)}
	case <-l.unattended:
		return relocated{err: l.replica.notLeader()}
	case <-time.After(addTimeout):
		return relocated{err: &region.OverloadError{What: "the group of " + string(l.replica.region) + " is being changed", RetryAfter: addTimeout}}
	}
	select {
	case done := <-o.done:
		if errors.Is(done.err, context.Canceled) && ctx.Err() == nil {
			done.err = l.replica.notLeader()
		}
		return done
	case <-ctx.Done():
		return relocated{err: context.Cause(ctx)}
	}
}

// relocate carries out an order. What it has done before it fails stays: to repeat the
// order goes on with it, and whoever keeps the group whole takes away what is too much.
func (l *leadership) relocate(ctx context.Context, s staff, o relocation) relocated {
	ctx, cancel := context.WithTimeout(ctx, relocateTimeout)
	defer cancel()
	defer context.AfterFunc(o.ctx, cancel)()
	from, to, err := s.relocation(o.from, o.to)
	if err == nil {
		err = unwell(l.replica.group.Status())
	}
	if err == nil && (from != l.replica.self || len(s.replicas) == 1) {
		err = l.carryOut(ctx, step{add, to})
	}
	if err == nil && from == l.replica.self {
		// The next leader goes on: nobody removes itself from what it leads.
		if err = l.carryOut(ctx, step{handOver, from}); err == nil {
			err = l.replica.notLeader()
		}
	}
	if err == nil {
		err = dispensable(l.replica.group.Status(), from)
	}
	if err == nil {
		err = l.carryOut(ctx, step{remove, from})
	}
	return relocated{from: from, to: to, err: err}
}

// dispensable says why a replica should not be removed now: without it most of the
// others must have been heard lately.
func dispensable(s group.Status, from region.MemberID) error {
	s.Replicas = slices.DeleteFunc(slices.Clone(s.Replicas), func(r group.Replica) bool { return r.Node == from })
	if err := unwell(s); err != nil {
		return fmt.Errorf("%s stays for now: without it %w", from, err)
	}
	return nil
}

// relocation finds out who is meant: the one to go and the one to come. The latter may
// have come already, by an order that was not carried out to its end.
func (s staff) relocation(fromName, toName string) (from, to region.MemberID, err error) {
	in := func(id region.MemberID) (voter, known bool) {
		i := slices.IndexFunc(s.replicas, func(r group.Replica) bool { return r.Node == id })
		return i >= 0 && s.replicas[i].Voter, i >= 0
	}
	if fromName != "" {
		from = s.named(fromName)
		if _, known := in(from); !known {
			return "", "", fmt.Errorf("from: %w: %.64q has no replica of the region; these have: %s", region.ErrInvalid, fromName, s.list(func(c directory.Coordinator) bool { _, known := in(c.ID); return known }))
		}
	}
	var voters []region.MemberID
	for _, r := range s.replicas {
		if r.Voter && r.Node != from {
			voters = append(voters, r.Node)
		}
	}
	eligible := func(c directory.Coordinator) bool {
		_, known := in(c.ID)
		return !known && !c.Retiring && c.Groups < c.MaxGroups
	}
	if toName == "" {
		if to, _ = s.candidate(voters); to == "" {
			return "", "", fmt.Errorf("to: %w: no other coordinator could host a replica; start one that knows these (skein coordinator --join)", region.ErrLimit)
		}
	} else if to = s.named(toName); to == "" {
		return "", "", fmt.Errorf("to: %w: no coordinator %.64q is known to be alive; these could host a replica: %s", region.ErrInvalid, toName, s.list(eligible))
	}
	voter, known := in(to)
	left := len(voters)
	if from == "" {
		left--
	}
	switch {
	case to == from:
		return "", "", fmt.Errorf("to: %w: it is the coordinator that the replica is to be moved from", region.ErrInvalid)
	case voter && left%2 == 0: // it is not the one that an order has added to an odd number
		return "", "", fmt.Errorf("to: %w: %s has a replica of the region already; these could host one: %s", region.ErrInvalid, to, s.list(eligible))
	case !known && !eligible(s.pool[to]):
		return "", "", fmt.Errorf("to: %w: %s retires or hosts all the %d replicas it can; these could host one: %s", region.ErrLimit, to, s.pool[to].MaxGroups, s.list(eligible))
	case from == "":
		if from = s.surplus(without(voters, to)); from == "" {
			return "", "", fmt.Errorf("from: %w: the leader has the only replica: name it to have it moved", region.ErrInvalid)
		}
	}
	return from, to, nil
}

// named is the coordinator with an id or a gRPC address; empty if there is none. One
// of the group need not be alive.
func (s staff) named(name string) region.MemberID {
	for id, c := range s.pool {
		if string(id) == name || c.GRPC == name {
			return id
		}
	}
	if slices.ContainsFunc(s.replicas, func(r group.Replica) bool { return string(r.Node) == name }) {
		return region.MemberID(name)
	}
	return ""
}

// maxListed bounds the coordinators that an error names.
const maxListed = 8

func (s staff) list(which func(directory.Coordinator) bool) string {
	var names []string
	for id, c := range s.pool {
		if which(c) {
			names = append(names, fmt.Sprintf("%s (%s)", id, c.GRPC))
		}
	}
	if len(names) == 0 {
		return "none"
	}
	slices.Sort(names)
	return strings.Join(names[:min(len(names), maxListed)], ", ")
}

// MoveReplica carries out an operator's order.
func (i *inspection) MoveReplica(ctx context.Context, req *skeinv1.MoveReplicaRequest) (*skeinv1.MoveReplicaResponse, error) {
	l, err := i.server.leader(req.Region)
	if err != nil {
		return nil, err
	}
	done := l.awaitRelocation(ctx, req.From, req.To)
	if done.err != nil {
		return nil, done.err
	}
	return &skeinv1.MoveReplicaResponse{From: string(done.from), To: string(done.to), Coordinators: l.replica.coordinators()}, nil
}
