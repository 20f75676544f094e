package dev

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skein-mesh/skein/region"
)

// What can be killed.
const (
	// KillRelay: the member that feeds most others and publishes nothing.
	KillRelay = "relay"
	// KillLeader: the coordinator that leads.
	KillLeader = "leader"
	// KillRandom: any member that publishes nothing.
	KillRandom = "random"
	// KillCoordinators: all coordinators.
	KillCoordinators = "coordinators"
	// KillRegion: all coordinators of the first region, for good and with their data.
	KillRegion = "region"
)

// A Kill is a failure on request.
type Kill struct {
	What string
	// At is when, counted from when the testnet stands.
	At time.Duration
	// Back is how long after At what was killed is started again, on the same
	// data; 0 = never. Only for coordinators.
	Back time.Duration
}

// String returns the form that ParseKills reads.
func (k Kill) String() string {
	if k.Back > 0 {
		return fmt.Sprintf("%s@%v+%v", k.What, k.At, k.Back)
	}
	return fmt.Sprintf("%s@%v", k.What, k.At)
}

// ParseKills reads what@when, separated by commas, e.g. "relay@10s,leader@15s".
// "leader" and "coordinators" may be brought back, e.g. "leader@15s+5s".
// The result is in order of time.
func ParseKills(s string) ([]Kill, error) {
	if s == "" {
		return nil, nil
	}
	var out []Kill
	for _, f := range strings.Split(s, ",") {
		k, err := parseKill(strings.TrimSpace(f))
		if err != nil {
			return nil, fmt.Errorf("--kill %.60q: %w: %w", f, region.ErrInvalid, err)
		}
		out = append(out, k)
	}
	slices.SortStableFunc(out, func(a, b Kill) int { return int(a.At - b.At) })
	return out, nil
}

func parseKill(s string) (Kill, error) {
	what, when, ok := strings.Cut(s, "@")
	if !ok {
		return Kill{}, fmt.Errorf("want WHAT@WHEN, e.g. relay@10s")
	}
	k := Kill{What: what}
	coordinators := what == KillLeader || what == KillCoordinators
	if !coordinators && what != KillRelay && what != KillRandom && what != KillRegion {
		return Kill{}, fmt.Errorf("%q cannot be killed; relay, leader, random, coordinators and region can", what)
	}
	at, back, restarts := strings.Cut(when, "+")
	var err error
	if k.At, err = time.ParseDuration(at); err != nil || k.At < 0 {
		return Kill{}, fmt.Errorf("%q is not a time, e.g. 10s", at)
	}
	if !restarts {
		return k, nil
	}
	if k.Back, err = time.ParseDuration(back); err != nil || k.Back <= 0 || !coordinators {
		return Kill{}, fmt.Errorf("+%s: only leader and coordinators come back, after a time such as 20s", back)
	}
	return k, nil
}

// An orphan is a place in a tree whose parent was killed.
type orphan struct {
	member region.MemberID
	stream string
	// saviour is the first other parent that was seen to feed it afterwards.
	saviour region.MemberID
}

// A killed is what became of a Kill.
type killed struct {
	kill   Kill
	at     time.Time
	victim string
	parent region.MemberID // the victim, if it is a member
	// orphans lost their parent; for a victim without children, and for
	// coordinators, the gaps of all subscribers are looked at instead.
	orphans []orphan
	gap     time.Duration
	// beyond is the longest gap less the round trip to the orphan's saviour.
	beyond time.Duration
	judged bool
	// Of a region: its edges at the time, and what became of it.
	edges    map[edge]string
	reformed time.Duration // after the kill; 0: not yet
	changed  int           // edges that are others than before
}

// An edge is a place in a tree, whose parent is what counts.
type edge struct{ stream, member string }

// gapWindow is how long after a kill a hole still counts as its consequence.
const gapWindow = 5 * time.Second
