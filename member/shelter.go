package member

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// When none of a region's coordinators answers, its members go on by themselves, and
// tell coordinators of other regions what they hold. Should the region be lost for
// good, it is formed anew there, and they follow.

const (
	// testifyEvery is how often a member without coordinators says what it holds.
	testifyEvery = time.Second
	// testifyTimeout bounds one word: the next one is due by then.
	testifyTimeout = time.Second
	// maxRefuges bounds the coordinators of other regions that a member knows, and
	// those it says it cannot reach.
	maxRefuges = 8
)

// A shelter is what a member knows for the time in which its region has no
// coordinators.
type shelter struct {
	mu sync.Mutex
	// pass is the region's word that this stay is one of its own.
	pass    []byte
	refuges []string
	// The key of the generation to come, if the region is lost.
	generation region.Generation
	key        ed25519.PublicKey
}

// told takes what a coordinator says; what it does not say stays.
func (x *shelter) told(pass []byte, refuges []*skeinv1.Coordinator) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(pass) > 0 && len(pass) <= trust.MaxGrant {
		x.pass = pass
	}
	if len(refuges) == 0 {
		return
	}
	x.refuges = nil
	for _, c := range refuges[:min(len(refuges), maxRefuges)] {
		if _, _, err := net.SplitHostPort(c.GetAddress()); err == nil {
			x.refuges = append(x.refuges, c.GetAddress())
		}
	}
}

// promised takes the key with which the region will sign when it is formed anew.
func (x *shelter) promised(g region.Generation, key []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(key) == ed25519.PublicKeySize {
		x.generation, x.key = g, key
	}
}

func (x *shelter) promise() (region.Generation, ed25519.PublicKey) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.generation, x.key
}

// otherGrant opens a grant that the present key has not signed: while a region is
// divided, merged or formed anew some members know the new group already, and others
// only the old one.
func (n *Node) otherGrant(st *stay, raw []byte, now time.Time) (trust.Grant, bool) {
	n.mu.Lock()
	former := n.former
	n.mu.Unlock()
	for _, f := range former {
		if now.After(f.until) {
			continue
		}
		if g, err := f.open(&n.grants, raw, now); err == nil {
			return g, true
		}
	}
	generation, key := n.shelter.promise()
	if generation <= st.generation {
		return trust.Grant{}, false
	}
	g, err := trust.OpenGrant(key, raw, now)
	return g, err == nil && g.Region == st.region && g.Generation == generation
}

// seekShelter testifies for as long as no coordinator of the region answers, until
// ctx ends.
func (s *session) seekShelter(ctx context.Context) {
	ticker := time.NewTicker(testifyEvery)
	defer ticker.Stop()
	seeker := shelterSeeker{session: s}
	heard := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if s.at.connected.Load() || s.leaving.Load() {
			heard, seeker = time.Now(), shelterSeeker{session: s}
			continue
		}
		if silent := time.Since(heard); silent >= s.cfg.LostAfter {
			seeker.testify(ctx, silent)
		}
	}
}

// A shelterSeeker finds the coordinator that gathers what members hold. It is owned
// by seekShelter.
type shelterSeeker struct {
	*session
	founder     *skeinv1.Coordinator // nil: not known
	unreachable []string             // coordinators named founder that do not answer
	next        int                  // of the addresses, to be asked next
}

// testify says once what the member holds: to the founder if it is known, and else
// to the next coordinator, which knows the founder.
func (x *shelterSeeker) testify(ctx context.Context, silent time.Duration) {
	for range 3 { // a coordinator, the one it names, and perhaps another one
		address := x.founder.GetAddress()
		if address == "" {
			address = x.another()
		}
		answer, err := x.say(ctx, address, silent)
		if err != nil {
			x.log.Debug("a coordinator does not hear that the region is lost", "region", x.at.region(), "at", address, "err", err)
			if x.founder != nil {
				x.unreachable = append(x.unreachable, x.founder.GetId())
				x.unreachable = x.unreachable[max(0, len(x.unreachable)-maxRefuges):]
			}
			x.founder = nil
			return
		}
		x.at.shelter.promised(region.Generation(answer.GetGeneration()), answer.GetGrantKey())
		x.lead(answer)
		same := answer.GetFounder().GetAddress() == address
		x.founder = answer.GetFounder()
		if same || x.founder.GetAddress() == "" {
			return
		}
	}
}

// lead has the session go where the region is, if the answer says more than is known.
func (x *shelterSeeker) lead(answer *skeinv1.TestifyResponse) {
	known := x.at.group.known()
	unknown := func(c *skeinv1.Coordinator) bool { return !slices.Contains(known, c.GetAddress()) }
	if i := slices.IndexFunc(answer.GetCoordinators(), unknown); i >= 0 {
		x.at.group.learn(answer.GetCoordinators())
		x.at.group.setLeader(answer.GetCoordinators()[i].GetAddress())
		if cancel := x.attempt.Load(); cancel != nil {
			(*cancel)() // it waits for somebody who is gone
		}
	}
}

// another is the next coordinator to ask for the founder.
func (x *shelterSeeker) another() string {
	x.at.shelter.mu.Lock()
	list := slices.Clone(x.at.shelter.refuges)
	x.at.shelter.mu.Unlock()
	for _, a := range x.at.group.known() {
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	x.next++
	return list[(x.next-1)%len(list)]
}

func (x *shelterSeeker) say(ctx context.Context, address string, silent time.Duration) (answer *skeinv1.TestifyResponse, err error) {
	ctx, cancel := context.WithTimeout(ctx, testifyTimeout)
	defer cancel()
	request := x.testimony()
	request.SilentMs, request.Unreachable = silent.Milliseconds(), x.unreachable
	err = x.at.group.ask(ctx, address, func(ctx context.Context, c client) (err error) {
		answer, err = c.Testify(ctx, request)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("testify: %w", err)
	}
	return answer, nil
}

// testimony is what this member holds of the region.
func (s *session) testimony() *skeinv1.TestifyRequest {
	st := s.at.stay.Load()
	stats := s.relay.Stats()
	parents := map[region.StreamID]region.MemberID{}
	for _, x := range stats.Streams {
		parents[x.Stream.ID] = x.Parent
	}
	t := region.Testimony{
		Member: region.Member{
			ID: s.id, Lease: st.lease, Name: s.cfg.Name, Uplink: s.cfg.Uplink,
			Forward: max(stats.Forwarding, region.DefaultForward), Endpoint: s.transport.Endpoint(),
		},
		Generation: st.generation,
	}
	if s.at == s.residence {
		t.Member.Endpoint.Gossip = s.gossipAddr(nil)
	} else {
		t.Member.Home, t.Member.Uplink = s.residence.region(), 0
	}
	for id, h := range s.at.assigned.all() {
		t.Revision = max(t.Revision, h.revision)
		if h.placed {
			t.Holdings = append(t.Holdings, s.holding(h, parents[id]))
		}
	}
	request := skeinv1.FromTestimony(t)
	request.Region, request.StayMs, request.Peers = string(st.region), time.Since(st.began).Milliseconds(), uint32(s.poolPeers())
	s.at.shelter.mu.Lock()
	request.Pass = s.at.shelter.pass
	s.at.shelter.mu.Unlock()
	return request
}

// holding is this member's place in the tree of a stream that it draws from parent,
// whatever its role says.
func (s *session) holding(h held, parent region.MemberID) region.Holding {
	out := region.Holding{Stream: h.stream, Parent: h.parent, Layers: h.layers, Standbys: slices.Clone(h.standbys)}
	if from := s.from(h.stream.ID, parent); h.parent != "" && parent != "" {
		switch {
		case from == s.at:
			out.Parent = parent
		case s.at == s.residence && h.stream.From != "":
			out.Parent = "" // it draws the stream from the other region by itself
		}
	}
	if out.Parent == "" {
		out.Layers, out.Standbys = region.AllLayers, nil
		return out
	}
	rtt, _ := s.at.rtts.rtt(out.Parent)
	out.Hop = rtt / 2
	if out.Parent != h.parent {
		out.Standbys = slices.DeleteFunc(out.Standbys, func(m region.MemberID) bool { return m == out.Parent })
	}
	return out
}

// all is the latest word on every stream.
func (a *assignments) all() map[region.StreamID]held {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.held)
}
