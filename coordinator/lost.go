package coordinator

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Regions whose coordinators do not answer: what their members say of them. All of
// a region's members say it to the same coordinator, the founder, which forms the
// region anew if it is lost for good (reform.go).

const (
	// testimonyTTL is for how long a testimony counts; members repeat it every second.
	testimonyTTL = 5 * time.Second
	// maxGatherings bounds the regions that are thought lost at a time.
	maxGatherings = MaxGroups
	// maxRefuges bounds the coordinators of other regions that a member knows.
	maxRefuges = 8
)

// gatherings are what members of lost regions have testified to this coordinator.
type gatherings struct {
	mu sync.Mutex
	of map[region.ID]*gathering
}

// A gathering is what is known of one region; guarded by gatherings.mu.
type gathering struct {
	region region.ID
	// What the region is to begin anew with: members are told its key beforehand, so
	// that none doubts the grants of the first who are told their roles.
	generation region.Generation
	secrets    *skeinv1.Secrets
	heard      map[region.MemberID]heard
	// asked is when an operator last asked for it, first when it began to; zero: never.
	first, asked time.Time
}

// heard is a testimony and when it came.
type heard struct {
	region.Testimony
	// silent is for how long the member has heard of no coordinator of the region,
	// peers whom it holds for alive.
	silent time.Duration
	peers  int
	at     time.Time
}

// gather returns the gathering of a region; called with mu held. Two that were
// formed at once have different generations, so that all turn to the same one.
func (x *gatherings) gather(id region.ID, after region.Generation) (*gathering, error) {
	if g := x.of[id]; g != nil && g.generation > after {
		return g, nil
	}
	if len(x.of) >= maxGatherings {
		return nil, &region.OverloadError{What: "regions that are lost", RetryAfter: testimonyTTL}
	}
	if x.of == nil {
		x.of = map[region.ID]*gathering{}
	}
	g := &gathering{
		region: id, secrets: newSecrets(), heard: map[region.MemberID]heard{},
		generation: after + region.ReformJump + region.Generation(rand.N(uint64(region.ReformJump/2))),
	}
	x.of[id] = g
	return g, nil
}

// sweep forgets what has not been said again, and regions of which nothing is left.
func (x *gatherings) sweep(now time.Time) {
	for id, g := range x.of {
		for m, h := range g.heard {
			if now.Sub(h.at) > testimonyTTL {
				delete(g.heard, m)
			}
		}
		if len(g.heard) == 0 && now.Sub(g.asked) > recoverTTL {
			delete(x.of, id)
		}
	}
}

// votes counts those who say that the region has been gone for so long, and how
// many must: more than half of its members, by its last descriptor, which may be
// behind by announceShare, or by what the member in the middle sees in the pool,
// whichever is more. So a half that is cut off never takes itself for the whole.
func (g *gathering) votes(last region.Descriptor, gone time.Duration) (votes, wanted int) {
	var seen []int
	for _, h := range g.heard {
		if h.Member.Home != "" {
			continue // who visits has a region of its own
		}
		if h.silent >= gone {
			votes++
		}
		seen = append(seen, h.peers+1)
	}
	size := last.Members + max(0, int(math.Ceil(announceShare*float64(last.Members)))-1)
	if slices.Sort(seen); len(seen) > 0 {
		size = max(size, seen[len(seen)/2])
	}
	return votes, size/2 + 1
}

// founder is the coordinator that gathers what members of a region say, and forms
// it anew: the same for all who know of the same coordinators. Those that hosted it
// come last, most of them being gone. Empty if none has room.
func (s *Server) founder(last region.Descriptor, unreachable []string) region.Host {
	at := map[region.MemberID]region.Host{}
	var fresh, old []region.MemberID
	for _, c := range s.directory.Coordinators() {
		hosted := slices.ContainsFunc(last.Replicas, func(h region.Host) bool { return h.ID == c.ID })
		switch {
		case slices.Contains(unreachable, string(c.ID)), c.Retiring, c.Groups >= c.MaxGroups && !hosted:
			continue
		case hosted:
			old = append(old, c.ID)
		default:
			fresh = append(fresh, c.ID)
		}
		at[c.ID] = c.Host
	}
	for _, list := range [][]region.MemberID{fresh, old} {
		if len(list) > 0 {
			return at[region.Preference(string(last.Region), list)[0]]
		}
	}
	return region.Host{}
}

// refuges are coordinators besides those of a region's group, for its members to
// turn to when all of these are gone.
func (s *Server) refuges(id region.ID, group []Peer) []*skeinv1.Coordinator {
	at := map[region.MemberID]string{}
	var ids []region.MemberID
	for _, c := range s.directory.Coordinators() {
		if !slices.ContainsFunc(group, func(p Peer) bool { return p.ID == c.ID }) {
			ids, at[c.ID] = append(ids, c.ID), c.GRPC
		}
	}
	var list []*skeinv1.Coordinator
	for _, c := range region.Preference(string(id), ids) {
		if len(list) < maxRefuges {
			list = append(list, &skeinv1.Coordinator{Id: string(c), Address: at[c]})
		}
	}
	return list
}

func (l *leadership) refuges() []*skeinv1.Coordinator {
	return l.replica.server.refuges(l.replica.region, l.replica.members())
}

// Testify takes what a member holds of a region that it thinks lost.
func (a *atlas) Testify(ctx context.Context, req *skeinv1.TestifyRequest) (*skeinv1.TestifyResponse, error) {
	id, err := skeinv1.ToRegionID(req.Region)
	if err != nil {
		return nil, err
	}
	t, err := skeinv1.ToTestimony(req)
	if err != nil {
		return nil, fmt.Errorf("testimony: %w", err)
	}
	if len(req.Unreachable) > maxRefuges {
		return nil, fmt.Errorf("unreachable: %w: want at most %d, have %d", region.ErrInvalid, maxRefuges, len(req.Unreachable))
	}
	if who := callerOf(ctx).ID; t.Member.ID != who {
		return nil, fmt.Errorf("testimony of %s: %w: it comes from %s", t.Member.ID, region.ErrForbidden, who)
	}
	last, ok := a.server.directory.Region(id)
	if !ok {
		return nil, fmt.Errorf("region %s: %w: nothing was heard of it here", id, region.ErrUnreachable)
	}
	if last.Over() {
		return nil, a.server.elsewhere(id, region.ErrElsewhere) // merged, not lost
	}
	resp := &skeinv1.TestifyResponse{Coordinators: coordinatorsOf(last.Descriptor)}
	if r := a.server.formed(last.Descriptor); r != nil {
		resp.Coordinators = r.coordinators() // the others have not heard yet
		return resp, nil
	}
	if last.Generation >= t.Generation+region.ReformJump {
		return resp, nil // it is there, or there again
	}
	founder := a.server.founder(last.Descriptor, req.Unreachable)
	resp.Founder = &skeinv1.Coordinator{Id: string(founder.ID), Address: founder.GRPC}
	if founder.ID != a.server.ID() {
		return resp, nil
	}
	pass, err := trust.OpenCommission(last.Key[:], req.Pass, last.Issued)
	if err != nil {
		return nil, fmt.Errorf("pass: %w: %w", region.ErrForbidden, err)
	}
	if pass.Region != id || pass.To != id || pass.Member != t.Member.ID || pass.Lease != t.Member.Lease {
		return nil, fmt.Errorf("pass: %w: it is %s's for region %s in lease %d", region.ErrForbidden, pass.Member, pass.Region, pass.Lease)
	}
	now := time.Now()
	t.Member.Joined = now.Add(-time.Duration(max(req.StayMs, 0)) * time.Millisecond)
	return resp, a.server.lost.testified(last.Descriptor, heard{
		Testimony: t, silent: time.Duration(req.SilentMs) * time.Millisecond, peers: int(min(req.Peers, region.MaxMembers)), at: now,
	}, a.server.cfg.ReformAfter, resp)
}

// testified takes a testimony in and says what has come together.
func (x *gatherings) testified(last region.Descriptor, h heard, gone time.Duration, resp *skeinv1.TestifyResponse) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	g, err := x.gather(last.Region, max(last.Generation, h.Generation))
	if err != nil {
		return err
	}
	if _, known := g.heard[h.Member.ID]; !known && len(g.heard) >= 2*region.MaxMembers {
		return fmt.Errorf("testimonies of %s: %w", last.Region, region.ErrLimit)
	}
	g.heard[h.Member.ID] = h
	votes, wanted := g.votes(last, gone)
	resp.Heard, resp.Wanted = uint32(votes), uint32(wanted)
	resp.Generation = uint64(g.generation)
	resp.GrantKey = newSigner(g.secrets.SigningSeed, 0).public()
	return nil
}

func coordinatorsOf(d region.Descriptor) []*skeinv1.Coordinator {
	var list []*skeinv1.Coordinator
	for _, h := range d.Replicas {
		list = append(list, &skeinv1.Coordinator{Id: string(h.ID), Address: h.GRPC})
	}
	return list
}
