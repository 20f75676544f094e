package coordinator

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/skein-mesh/skein/coordinator/directory"
	"github.com/skein-mesh/skein/coordinator/group"
	"github.com/skein-mesh/skein/region"
)

// Healing says when a group is given other replicas. The rules are those of
// raft-autopilot (add without a vote, catch up, vote, never two kinds of change at
// once) with one that it does not have: nobody is removed before the group is whole
// without it.
type Healing struct {
	// Replicas that vote are wanted of each group: odd, at most group.MaxReplicas. A
	// group that has more keeps them; 0 = groups are left as they are.
	Replicas int
	// ReplaceAfter is how long a replica must be silent to be replaced: longer than
	// a restart, since a copy of the log costs more than waiting for one.
	ReplaceAfter time.Duration
	// Settle is how long a coordinator must have been there to be given a replica,
	// and how long a group is left alone after a change.
	Settle time.Duration
	// Every is how often a leader looks.
	Every time.Duration
	// Volunteers are what the nodes of members must come up to, to be invited when
	// no other coordinator can take a place.
	Volunteers Standards
}

// DefaultHealing suits coordinators that restart within a minute.
func DefaultHealing() Healing {
	return Healing{Replicas: 3, ReplaceAfter: time.Minute, Settle: 10 * time.Second, Every: 2 * time.Second, Volunteers: DefaultStandards()}
}

func (h Healing) validate() error {
	switch {
	case h.Replicas < 0 || h.Replicas > group.MaxReplicas || h.Replicas > 0 && h.Replicas%2 == 0:
		return fmt.Errorf("config Healing.Replicas: %w: %d, want 0 or an odd number up to %d (--replicas)", region.ErrInvalid, h.Replicas, group.MaxReplicas)
	case h.Replicas > 0 && (h.ReplaceAfter <= 0 || h.Settle < 0 || h.Every <= 0):
		return fmt.Errorf("config Healing: %w: a time is not positive; start from DefaultHealing", region.ErrInvalid)
	}
	return h.Volunteers.validate()
}

const (
	// alike is what it costs, as a round-trip time, that two replicas stand at one
	// site or are run by one operator, and so may fail together.
	alike = time.Second
	// unknownWay is the round-trip time to a coordinator that was not measured, and
	// busy what a coordinator costs that hosts all it can.
	unknownWay = 300 * time.Millisecond
	busy       = 50 * time.Millisecond
	// amateur is what a volunteer costs: more than all that can be said against a
	// coordinator that does nothing else.
	amateur = 2 * group.MaxReplicas * alike
	// A replica is moved if that makes its group's places betterShare cheaper, and
	// by betterLeast.
	betterShare = 0.25
	betterLeast = 20 * time.Millisecond
)

// A staff is what the leader of a group knows of its replicas, and of the
// coordinators that could host one.
type staff struct {
	self     region.MemberID
	replicas []group.Replica
	// pool holds the coordinators that are alive; those in the group among them.
	pool map[region.MemberID]directory.Coordinator
	// settled are those of the pool that have been there for a while.
	settled map[region.MemberID]bool
	// placed says that an operator wants the replicas where they are.
	placed bool
	// offers are volunteers that are suited and do not serve yet; awaited says that one
	// was invited and has not come.
	offers  map[region.MemberID]directory.Coordinator
	awaited bool
}

// A step is the next change of a group.
type step struct {
	do   stepKind
	node region.MemberID
}

type stepKind int

const (
	nothing stepKind = iota
	// add gives the group another replica, with a vote once it has caught up; for one
	// that is there without a vote it goes on with that.
	add
	// remove takes one out without which the group is whole.
	remove
	// invite has a volunteer start its coordinator, which then is one of the pool.
	invite
	// handOver gives the leadership away: the leader itself is to be removed.
	handOver
)

// next is the next change that makes the group whole, or better placed.
func (h Healing) next(s staff) step {
	var good, gone, waiting []region.MemberID
	voters := 0
	for _, r := range s.replicas {
		dead := r.Node != s.self && (r.Heard < 0 || r.Heard >= h.ReplaceAfter)
		if r.Voter {
			voters++
		}
		switch {
		case dead || s.pool[r.Node].Retiring:
			gone = append(gone, r.Node)
		case r.Voter:
			good = append(good, r.Node)
		default:
			waiting = append(waiting, r.Node)
		}
	}
	want := max(h.Replicas, voters-(1-voters%2))
	switch {
	case len(good) < want && len(waiting) > 0:
		return step{add, waiting[0]}
	case len(good) < want:
		if node, ok := s.candidate(good); ok && len(s.replicas) < group.MaxReplicas {
			return step{add, node}
		}
		if node, ok := s.volunteer(good); ok && len(s.replicas) < group.MaxReplicas {
			return step{invite, node}
		}
		return step{}
	case len(gone) > 0:
		if gone[0] == s.self {
			return step{handOver, s.self}
		}
		return step{remove, gone[0]}
	case len(good) > want:
		if worst := s.surplus(good); worst != s.self {
			return step{remove, worst}
		}
		return step{handOver, s.self}
	case len(waiting) > 0:
		if s.pool[s.surplus(append(slices.Clone(good), waiting[0]))].Volunteer && !s.pool[waiting[0]].Volunteer {
			return step{add, waiting[0]}
		}
		return step{remove, waiting[0]}
	}
	// A better place is taken first; the worst one is surplus then. Not while one
	// is away, which may be back soon, or how far it is is not known.
	if s.placed {
		return step{}
	}
	node, ok := s.candidate(good)
	unknown := func(id region.MemberID) bool { return !s.pool[id].Known }
	if !ok || unknown(node) || slices.ContainsFunc(good, unknown) || len(s.replicas) >= group.MaxReplicas {
		return step{}
	}
	with := append(slices.Clone(good), node)
	worst := s.surplus(with)
	now, then := s.cost(good), s.cost(without(with, worst))
	if s.pool[worst].Volunteer && !s.pool[node].Volunteer {
		return step{add, node}
	}
	if worst == node || now-then < betterLeast || float64(now-then) < betterShare*float64(now) {
		return step{}
	}
	return step{add, node}
}

// candidate is the coordinator that a group of these replicas is best extended by.
func (s staff) candidate(good []region.MemberID) (best region.MemberID, ok bool) {
	least := time.Duration(0)
	for id := range s.pool {
		if !s.eligible(id) || !s.settled[id] {
			continue
		}
		cost := s.cost(append(slices.Clone(good), id))
		if !ok || cost < least || cost == least && id < best {
			best, least, ok = id, cost, true
		}
	}
	return best, ok
}

// eligible says whether a coordinator could host another replica.
func (s staff) eligible(id region.MemberID) bool {
	c := s.pool[id]
	in := slices.ContainsFunc(s.replicas, func(r group.Replica) bool { return r.Node == id })
	return !in && !c.Retiring && c.Groups < c.MaxGroups
}

// volunteer is the one to be invited by a group of these replicas. None is while
// somebody else is about to be there.
func (s staff) volunteer(good []region.MemberID) (best region.MemberID, ok bool) {
	if s.awaited {
		return "", false
	}
	for id := range s.pool {
		if s.eligible(id) {
			return "", false
		}
	}
	with := s
	with.pool = maps.Clone(s.pool)
	maps.Copy(with.pool, s.offers)
	with.settled = map[region.MemberID]bool{}
	for id := range s.offers {
		with.settled[id] = true
	}
	return with.candidate(good)
}

// surplus is the replica that a group is best without; the leader's only if that is a
// volunteer.
func (s staff) surplus(good []region.MemberID) (worst region.MemberID) {
	least := time.Duration(0)
	for _, id := range good {
		if id == s.self && !s.pool[id].Volunteer {
			continue
		}
		if cost := s.cost(without(good, id)); worst == "" || cost < least || cost == least && id > worst {
			worst, least = id, cost
		}
	}
	return worst
}

// cost says how badly a group's replicas are placed: far from the leader, on busy
// coordinators, or where several fail together.
func (s staff) cost(ids []region.MemberID) (cost time.Duration) {
	for i, id := range ids {
		c := s.pool[id]
		way := unknownWay
		if c.Known {
			way = c.RTT
		}
		cost += way + busy*time.Duration(c.Groups)/time.Duration(max(c.MaxGroups, 1))
		if c.Volunteer {
			cost += amateur
		}
		for _, other := range ids[:i] {
			o := s.pool[other]
			if c.Site != "" && c.Site == o.Site || c.Operator != "" && c.Operator == o.Operator {
				cost += alike
			}
		}
	}
	return cost
}

func without(ids []region.MemberID, id region.MemberID) []region.MemberID {
	return slices.DeleteFunc(slices.Clone(ids), func(x region.MemberID) bool { return x == id })
}
