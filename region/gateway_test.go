package region

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// carrier applies what was decided about r, which must be whole afterwards.
func carrier(t *testing.T, r *Region, now time.Time) func([]Edit, error) {
	return func(edits []Edit, err error) {
		t.Helper()
		if err == nil {
			err = r.Apply(r.Revision()+1, Change{Time: now, Edits: edits})
		}
		if err == nil {
			err = r.Check()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// imported is a region with a stream drawn from another one by m1, and all
// members in its tree.
func imported(t *testing.T, members int, uplink Rate) *Region {
	t.Helper()
	r := New("r2", 64)
	now := time.Unix(1000, 0)
	carry := carrier(t, r, now)
	for i := range members {
		edits, _, err := r.Join(Member{ID: MemberID(fmt.Sprintf("m%d", i+1)), Uplink: uplink}, now, unknown{})
		carry(edits, err)
	}
	s := Stream{ID: "s", Origin: "far", Kind: Video, Layers: []Rate{1000}, SSRC: 8, Codec: "VP8", From: "r1"}
	carry(r.Import(s, "m1", unknown{}))
	for i := 1; i < members; i++ {
		edits, d, err := r.Admit(Admission{Stream: "s", Child: MemberID(fmt.Sprintf("m%d", i+1)), Cause: Joining, Place: true}, now, time.Second, unknown{})
		if !d.OK {
			t.Fatalf("m%d finds no place", i+1)
		}
		carry(edits, err)
		carry(r.Confirmed("s", d.Accepted.Member, d.Accepted.Parent), nil)
	}
	carry(r.Appoint("s"), nil)
	for turn := range 40 {
		carry(r.Tend("s", turn, now, unknown{}), nil)
	}
	return r
}

type unknown struct{}

func (unknown) RTT(a, b MemberID) (time.Duration, bool) { return 20 * time.Millisecond, true }

// The gateway is 90 ms from the source and 40 ms from everybody, a child of it 20 ms
// from both: it is made the standby and, once it is ready, the gateway; then all is well.
func TestABetterGatewayTakesOver(t *testing.T) {
	r := imported(t, 12, 8000)
	root, _ := r.Stream("s")
	child := r.Children("s", root.Origin)[2]
	far := func(m MemberID) time.Duration {
		switch m {
		case root.Origin:
			return 40 * time.Millisecond
		case child:
			return 20 * time.Millisecond
		}
		return 30 * time.Millisecond
	}
	ways := apart(far)
	away := func(m MemberID) (time.Duration, bool) {
		return map[MemberID]time.Duration{root.Origin: 90 * time.Millisecond, child: 20 * time.Millisecond}[m], m == root.Origin || m == child
	}
	ready := false
	isReady := func(MemberID) bool { return ready }
	step := func() Stream {
		t.Helper()
		edits := r.Regate("s", away, isReady, ways)
		if err := r.Apply(r.Revision()+1, Change{Time: time.Unix(2000, 0), Edits: edits}); err != nil {
			t.Fatal(err)
		}
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		s, _ := r.Stream("s")
		return s
	}
	before := r.NodeCount("s")
	if s := step(); s.Origin != root.Origin || s.Standby != child {
		t.Fatalf("gateways %s and %s, want %s and %s", s.Origin, s.Standby, root.Origin, child)
	}
	if s := step(); s.Origin != root.Origin {
		t.Errorf("%s takes over before it is ready", s.Origin)
	}
	ready = true
	if s := step(); s.Origin != child || s.Standby != root.Origin {
		t.Errorf("gateways %s and %s, want %s and %s", s.Origin, s.Standby, child, root.Origin)
	}
	if edits := r.Regate("s", away, isReady, ways); len(edits) > 0 || r.NodeCount("s") != before {
		t.Errorf("%d nodes of %d, and then %+v", r.NodeCount("s"), before, edits)
	}
}

// A gateway without uplink shuts nobody out: the first who can feed others takes over,
// and who cannot either does not.
func TestAGatewayThatFeedsNobodyGivesWay(t *testing.T) {
	r := New("r2", 64)
	now := time.Unix(1000, 0)
	carry := carrier(t, r, now)
	join := func(id MemberID, uplink Rate) {
		edits, _, err := r.Join(Member{ID: id, Uplink: uplink}, now, unknown{})
		carry(edits, err)
	}
	join("poor", 0)
	carry(r.Import(Stream{ID: "s", Origin: "far", Kind: Video, Layers: []Rate{1000}, SSRC: 8, Codec: "VP8", From: "r1"}, "poor", unknown{}))
	join("poor2", 900)
	if edits := r.Relieve("s", "poor2", unknown{}); len(edits) > 0 {
		t.Errorf("one without room takes over: %+v", edits)
	}
	join("rich", 3000)
	carry(r.Relieve("s", "rich", unknown{}), nil)
	if s, _ := r.Stream("s"); s.Origin != "rich" || s.Standby != "poor" {
		t.Errorf("gateways %s and %s, want rich and poor", s.Origin, s.Standby)
	}
	if children := r.Children("s", "rich"); len(children) != 1 || children[0] != "poor" {
		t.Errorf("rich feeds %v, want poor", children)
	}
	edits, d, err := r.Admit(Admission{Stream: "s", Child: "poor2", Cause: Joining, Place: true}, now, time.Second, unknown{})
	carry(edits, err)
	if !d.OK {
		t.Error("the next one finds no place")
	}
	join("richer", 9000)
	if edits := r.Relieve("s", "richer", unknown{}); len(edits) > 0 {
		t.Errorf("a gateway that feeds others is relieved: %+v", edits)
	}
}

// What saves less than a tenth, or is not known, changes nothing; nor does a call of
// two.
func TestAGatewayIsNotChangedForLittle(t *testing.T) {
	same := apart(func(MemberID) time.Duration { return 20 * time.Millisecond })
	r := imported(t, 12, 8000)
	root, _ := r.Stream("s")
	for _, c := range []struct {
		away, saved time.Duration
		known, does bool
	}{
		{60 * time.Millisecond, 5 * time.Millisecond, true, false},
		{60 * time.Millisecond, 20 * time.Millisecond, true, true},
		{60 * time.Millisecond, 20 * time.Millisecond, false, false},
	} {
		away := func(m MemberID) (time.Duration, bool) {
			if m == root.Origin {
				return c.away, true
			}
			return c.away - c.saved, c.known
		}
		if edits := r.Regate("s", away, func(MemberID) bool { return true }, same); (len(edits) > 0) != c.does {
			t.Errorf("%+v: %+v", c, edits)
		}
	}
	two := imported(t, 2, 8000)
	away := func(m MemberID) (time.Duration, bool) {
		return map[MemberID]time.Duration{"m1": time.Second, "m2": time.Millisecond}[m], true
	}
	if edits := two.Regate("s", away, func(MemberID) bool { return true }, same); len(edits) > 0 {
		t.Errorf("a call of two: %+v", edits)
	}
}

// apart is how far members are from one another: as far as they are from the middle.
type apart func(MemberID) time.Duration

func (far apart) RTT(a, b MemberID) (time.Duration, bool) { return far(a) + far(b), true }

func TestStandbyGatewayTakesOver(t *testing.T) {
	r := imported(t, 12, 4000)
	s, _ := r.Stream("s")
	if s.Origin != "m1" || s.Standby == "" {
		t.Fatalf("gateways %q and %q", s.Origin, s.Standby)
	}
	if n, _ := r.Node("s", s.Standby); n.Parent != s.Origin {
		t.Errorf("the standby gateway hangs under %s", n.Parent)
	}
	for _, c := range r.Children("s", s.Origin) {
		// By way of a sibling at most twice, for there are three.
		at := c
		for range 3 {
			if n, _ := r.Node("s", at); !below(r, at, s.Standby) && len(n.Standbys) > 0 {
				at = n.Standbys[0]
			}
		}
		if !below(r, at, s.Standby) {
			t.Errorf("%s would come to %s, which does not follow %s", c, at, s.Standby)
		}
	}
	now := time.Unix(1001, 0)
	if _, err := r.Succeed("s", "m12", now, unknown{}); !errors.Is(err, ErrForbidden) {
		t.Errorf("somebody else takes over: %v", err)
	}
	edits, err := r.Succeed("s", s.Standby, now, unknown{})
	if err == nil {
		err = r.Apply(r.Revision()+1, Change{Time: now, Edits: edits})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	after, _ := r.Stream("s")
	if after.Origin != s.Standby || after.Standby != "" || r.NodeCount("s") != 11 {
		t.Errorf("afterwards %s draws it for %d members", after.Origin, r.NodeCount("s"))
	}
}

func below(r *Region, m, above MemberID) bool {
	for _, x := range r.Path("s", m) {
		if x == above {
			return true
		}
	}
	return m == above
}

func TestGatewayLeavesAndComesBack(t *testing.T) {
	r := imported(t, 3, 4000)
	now := time.Unix(1001, 0)
	for range 3 {
		s, ok := r.Stream("s")
		if !ok {
			t.Fatal("the stream has ended while somebody had it")
		}
		edits, err := r.Release("s", s.Origin, 0, now, unknown{})
		if errors.Is(err, ErrOverloaded) {
			if edits = r.Appoint("s"); len(edits) == 0 {
				t.Fatal("nobody is appointed")
			}
			err = nil
		}
		if err == nil {
			err = r.Apply(r.Revision()+1, Change{Time: now, Edits: edits})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s, ok := r.Stream("s")
	if !ok || r.NodeCount("s") != 1 {
		t.Fatalf("%v nodes", r.NodeCount("s"))
	}
	edits, err := r.Release("s", s.Origin, 0, now, unknown{})
	if err == nil {
		err = r.Apply(r.Revision()+1, Change{Time: now, Edits: edits})
	}
	if _, ok := r.Stream("s"); ok || err != nil {
		t.Errorf("the last one leaves, the stream stays: %v", err)
	}
}

func TestVisitKeepsItsLease(t *testing.T) {
	r := New("r1", 2)
	now := time.Unix(1000, 0)
	visit := func(m Member) error {
		edits, _, err := r.Visit(m, now, unknown{})
		if err == nil {
			err = r.Apply(r.Revision()+1, Change{Time: now, Edits: edits})
		}
		if err == nil {
			err = r.Check()
		}
		return err
	}
	for i, lease := range []Lease{700, 700, 701} {
		if err := visit(Member{ID: "v", Home: "r2", Lease: lease}); err != nil {
			t.Fatalf("visit %d: %v", i, err)
		}
	}
	if err := visit(Member{ID: "v", Home: "r2", Lease: 699}); !errors.Is(err, ErrLease) {
		t.Errorf("an older stay: %v", err)
	}
	edits, m, err := r.Join(Member{ID: "a"}, now, unknown{})
	if err == nil {
		err = r.Apply(r.Revision()+1, Change{Time: now, Edits: edits})
	}
	if err != nil || m.Lease != 1 {
		t.Errorf("lease %d, %v: visitors use up leases of the region", m.Lease, err)
	}
	if err := visit(Member{ID: "a", Home: "r2", Lease: 5}); !errors.Is(err, ErrExists) {
		t.Errorf("who is at home visits: %v", err)
	}
	if err := visit(Member{ID: "w", Home: "r2", Lease: 5}); err != nil {
		t.Errorf("visitors take the room of members: %v", err)
	}
	if err := visit(Member{ID: "x", Home: "r2", Lease: 5}); !errors.Is(err, ErrLimit) {
		t.Errorf("too many visitors: %v", err)
	}
}

// Gateways change while members come, go and move: every structure is sound.
func TestGatewaysAtRandom(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := imported(t, 4+rng.IntN(16), Rate(2000+1000*rng.IntN(4)))
		now := time.Unix(1001, 0)
		for step := range 60 {
			now = now.Add(time.Second)
			s, ok := r.Stream("s")
			if !ok {
				break
			}
			m := MemberID(fmt.Sprintf("m%d", 1+rng.IntN(20)))
			var edits []Edit
			switch rng.IntN(6) {
			case 0:
				edits, _ = r.Leave(m, 0, now, unknown{})
			case 1:
				edits, _ = r.Release("s", m, 0, now, unknown{})
			case 2:
				edits = r.Appoint("s")
			case 3:
				edits, _ = r.Succeed("s", s.Standby, now, unknown{})
			case 4:
				edits, _, _ = r.Admit(Admission{Stream: "s", Child: m, Cause: Joining, Place: true}, now, 2*time.Second, unknown{})
			case 5:
				edits = r.Expire(now, unknown{})
			}
			if err := r.Apply(r.Revision()+1, Change{Time: now, Edits: edits}); err != nil {
				t.Fatalf("seed %d, step %d: %v\n%s", seed, step, err, r.Describe())
			}
			if err := r.Check(); err != nil {
				t.Fatalf("seed %d, step %d, %T: %v\n%s", seed, step, edits, err, r.Describe())
			}
			copied, err := Load(r.Snapshot())
			if err != nil || copied.Hash() != r.Hash() {
				t.Fatalf("seed %d, step %d: a copy differs: %v", seed, step, err)
			}
		}
	}
}

// A standby gateway that has come to feed others with all it has could not feed those whom
// it takes over: another one is appointed, and nobody loses a place when the gateway goes.
func TestAStandbyGatewayHasRoom(t *testing.T) {
	r := imported(t, 8, 3000)
	now := time.Unix(1001, 0)
	carry := carrier(t, r, now)
	before, _ := r.Stream("s")
	edits, _, err := r.Publish(Stream{ID: "own", Origin: before.Standby, Kind: Video, Layers: []Rate{1000}, Codec: "VP8"}, 0, now)
	carry(edits, err)
	for m := range r.Members() {
		if m.ID == before.Standby || r.Free(before.Standby) < 1000 {
			continue
		}
		edits, d, err := r.Admit(Admission{Stream: "own", Child: m.ID, Cause: Joining, Proposals: []Proposal{{Parent: before.Standby}}}, now, time.Second, unknown{})
		carry(edits, err)
		if !d.OK {
			t.Fatalf("%s is refused by %s", m.ID, before.Standby)
		}
		carry(r.Confirmed("own", d.Accepted.Member, d.Accepted.Parent), nil)
	}
	carry(r.Appoint("s"), nil)
	after, _ := r.Stream("s")
	if after.Standby == before.Standby || r.Free(after.Standby) < 1000 {
		t.Fatalf("%s stands by, before %s; it has %d kbit/s left", after.Standby, before.Standby, r.Free(after.Standby))
	}
	if edits := r.Appoint("s"); len(edits) > 0 {
		t.Errorf("and then another one: %v", edits)
	}
	carry(r.Leave(after.Origin, 0, now, unknown{}))
	if n := r.NodeCount("s"); n != 7 {
		t.Errorf("%d of 7 have a place when %s has left", n, after.Origin)
	}
}
