package coordinator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// Whoever is not among those affected by a change has the same roles after it.
// Random histories of a small region try all decisions against one another.
func TestNobodyElseIsAffected(t *testing.T) {
	for seed := range uint64(20) {
		h := &randomHistory{t: t, seed: seed, chance: rand.New(rand.NewPCG(seed, 7)), now: time.UnixMilli(1_000_000)}
		h.run(300)
	}
}

// A randomHistory takes random decisions about a region.
type randomHistory struct {
	t      *testing.T
	seed   uint64
	chance *rand.Rand
	now    time.Time
}

func (h *randomHistory) run(steps int) {
	r := region.New("r1", 64)
	signer := newSigner(make([]byte, 32), time.Hour)
	roles := map[roleKey]*skeinv1.Role{}
	for step := range steps {
		h.now = h.now.Add(time.Second)
		edits := h.decide(r)
		if len(edits) == 0 {
			continue
		}
		before := r.Clone()
		change := region.Change{Time: h.now, Base: r.Revision(), Edits: edits}
		if err := r.Apply(r.Revision()+1, change); err != nil {
			h.t.Fatalf("seed %d, step %d: %v", h.seed, step, err)
		}
		said := affected(before, r, change)
		for i := range 12 {
			for _, id := range h.streams() {
				key := roleKey{h.member(i), id}
				role := signer.role(r, id, key.member, h.now)
				if role != nil {
					role.Revision = 0
				}
				if _, told := said[key]; !told && !proto.Equal(role, roles[key]) {
					h.t.Fatalf("seed %d, step %d: %v was not told\n%v\ninstead of\n%v\nafter %+v\n%s",
						h.seed, step, key, role, roles[key], edits, r.Describe())
				}
				roles[key] = role
			}
		}
		h.bothEndsKnow(roles)
	}
}

// bothEndsKnow checks that whoever is to connect to a peer is expected there,
// and nobody else is expected as a dependent.
func (h *randomHistory) bothEndsKnow(roles map[roleKey]*skeinv1.Role) {
	h.t.Helper()
	expected := func(list []*skeinv1.Peer, m region.MemberID) bool {
		return slices.ContainsFunc(list, func(p *skeinv1.Peer) bool { return p.Id == string(m) })
	}
	dependents := map[region.StreamID]int{}
	for key, role := range roles {
		if p := role.GetParent().GetPeer(); p != nil {
			if at := roles[roleKey{region.MemberID(p.Id), key.stream}]; !expected(at.GetChildren(), key.member) {
				h.t.Fatalf("seed %d: %v is not expected at its parent %s", h.seed, key, p.Id)
			}
		}
		if len(role.GetStandbys()) > warmStandbys {
			h.t.Fatalf("seed %d: %v has %d standbys", h.seed, key, len(role.Standbys))
		}
		for _, standby := range role.GetStandbys() {
			if at := roles[roleKey{region.MemberID(standby.Peer.Id), key.stream}]; !expected(at.GetDependents(), key.member) {
				h.t.Fatalf("seed %d: %v is not expected at its standby %s", h.seed, key, standby.Peer.Id)
			}
			dependents[key.stream]++
		}
		dependents[key.stream] -= len(role.GetDependents())
	}
	for id, n := range dependents {
		if n != 0 {
			h.t.Fatalf("seed %d: the numbers of standbys and dependents in %s differ by %d", h.seed, id, n)
		}
	}
}

func (h *randomHistory) member(i int) region.MemberID {
	return region.MemberID(fmt.Sprintf("m%02d", i))
}

func (h *randomHistory) streams() []region.StreamID { return []region.StreamID{"a", "b"} }

// decide takes a random decision. Those that are not possible yield no edits.
func (h *randomHistory) decide(r *region.Region) []region.Edit {
	m, id := h.member(h.chance.IntN(12)), h.streams()[h.chance.IntN(2)]
	self, here := r.Member(m)
	var edits []region.Edit
	switch h.chance.IntN(12) {
	case 0, 1:
		if here && h.chance.IntN(10) > 0 {
			return nil
		}
		port := byte(h.chance.IntN(3))
		newcomer := region.Member{ID: m, Uplink: region.Rate(h.chance.IntN(5) * 1000), Endpoint: region.Endpoint{Key: [32]byte{port}}}
		if h.chance.IntN(2) == 0 {
			newcomer.Lease = self.Lease
		}
		edits, _, _ = r.Join(newcomer, h.now, noRTT{})
	case 2:
		if h.chance.IntN(5) > 0 {
			return nil
		}
		edits, _ = r.Leave(m, self.Lease, h.now, noRTT{})
	case 3:
		stream := region.Stream{ID: id, Origin: m, Kind: region.Data, Layers: []region.Rate{1000}}
		edits, _, _ = r.Publish(stream, self.Lease, h.now)
	case 4:
		if h.chance.IntN(5) == 0 {
			s, _ := r.Stream(id)
			origin, _ := r.Member(s.Origin)
			edits, _ = r.Unpublish(id, s.Origin, origin.Lease)
		}
	case 5:
		if h.chance.IntN(5) > 0 {
			return nil
		}
		edits, _ = r.Release(id, m, self.Lease, h.now, noRTT{})
	case 6, 7:
		if n, ok := r.Node(id, m); ok {
			edits = r.Confirmed(id, m, n.Parent)
		}
	case 8:
		edits = r.Expire(h.now, noRTT{})
	default:
		cause := region.Cause(1 + h.chance.IntN(4))
		edits, _, _ = r.Admit(region.Admission{
			Stream: id, Child: m, Lease: self.Lease, Cause: cause, Place: true,
			Proposals: []region.Proposal{{Parent: h.member(h.chance.IntN(12)), ParentDelay: time.Hour}},
		}, h.now, 20*time.Second, noRTT{})
	}
	return edits
}

func TestASessionIsToldTheNewestOnly(t *testing.T) {
	r := region.New("r1", 8)
	h := newHub(r, time.Second)
	s := newSession(stay{"m", 1}, 0, nil)
	if err := h.attach(s); err != nil {
		t.Fatal(err)
	}
	if all, _ := h.take(s); !all {
		t.Error("a new session is not told everything")
	}
	h.told(s)
	for range 1000 {
		h.repeat(s, "b")
		h.repeat(s, "a")
	}
	if all, ids := h.take(s); all || len(ids) != 2 || ids[0].stream != "a" {
		t.Errorf("it is told %v, %v", all, ids)
	}
}

func TestASessionThatTakesNothingIsCutOff(t *testing.T) {
	h := newHub(region.New("r1", 8), time.Second)
	slow, idle := newSession(stay{"slow", 1}, 0, nil), newSession(stay{"idle", 1}, 0, nil)
	for _, s := range []*session{slow, idle} {
		if err := h.attach(s); err != nil {
			t.Fatal(err)
		}
		h.take(s)
	}
	h.told(idle)
	h.sweep(time.Now().Add(2*time.Second), time.Hour)
	select {
	case <-slow.ended:
	default:
		t.Error("the slow one goes on")
	}
	if !errors.Is(h.reason(slow), region.ErrOverloaded) || h.reason(idle) != nil {
		t.Errorf("slow: %v, idle: %v", h.reason(slow), h.reason(idle))
	}
}

func TestTheNewSessionOfAStayEndsTheOld(t *testing.T) {
	h := newHub(region.New("r1", 8), time.Second)
	first, second := newSession(stay{"m", 3}, 0, nil), newSession(stay{"m", 3}, 0, nil)
	earlier := newSession(stay{"m", 2}, 0, nil)
	if err := errors.Join(h.attach(first), h.attach(second)); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(h.reason(first), region.ErrClosed) {
		t.Errorf("the old one: %v", h.reason(first))
	}
	if err := h.attach(earlier); !errors.Is(err, region.ErrLease) {
		t.Errorf("one of an earlier stay: %v", err)
	}
	h.detach(first)
	if h.session("m") != second {
		t.Error("the end of the old one took the new one away")
	}
}

// A hub that missed entries tells everybody everything.
func TestAGapIsToldWhole(t *testing.T) {
	r := region.New("r1", 8)
	edits, m, err := r.Join(region.Member{ID: "m"}, time.UnixMilli(1), noRTT{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(1, region.Change{Time: time.UnixMilli(1), Edits: edits}); err != nil {
		t.Fatal(err)
	}
	h := newHub(r.Clone(), time.Second)
	stays, over := newSession(stay{"m", m.Lease}, 1, nil), newSession(stay{"gone", 9}, 1, nil)
	for _, s := range []*session{stays, over} {
		if err := h.attach(s); err != nil {
			t.Fatal(err)
		}
		h.take(s)
		h.told(s)
	}
	h.publish(group.Applied{Revision: 7, Region: r, Gap: true})
	if all, _ := h.take(stays); !all {
		t.Error("who stays is not told everything")
	}
	if !errors.Is(h.reason(over), region.ErrLease) {
		t.Errorf("whose stay is over: %v", h.reason(over))
	}
}
