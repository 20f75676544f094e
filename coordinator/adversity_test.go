package coordinator

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg"
)

// A plane is members on a plane who measure one another, some of whom lie.
type plane struct {
	x, y  []float64
	known *rtts
	now   time.Time
}

func planeMember(i int) region.MemberID { return region.MemberID(fmt.Sprintf("m%02d", i)) }

func newPlane(n int, chance *rand.Rand) *plane {
	p := &plane{known: newRTTs(), now: time.UnixMilli(1e12)}
	for range n {
		p.x, p.y = append(p.x, chance.Float64()*100), append(p.y, chance.Float64()*100)
	}
	return p
}

func (p *plane) truth(i, j int) time.Duration {
	return time.Duration((4 + math.Hypot(p.x[i]-p.x[j], p.y[i]-p.y[j])) * float64(time.Millisecond))
}

// RTT is the truth.
func (p *plane) RTT(a, b region.MemberID) (time.Duration, bool) {
	var i, j int
	if n, _ := fmt.Sscanf(string(a)+" "+string(b), "m%d m%d", &i, &j); n != 2 {
		return 0, false
	}
	return p.truth(i, j), true
}

// measure has everybody report everybody; say is what member i claims.
func (p *plane) measure(say func(i, j int, truth time.Duration) time.Duration) {
	for range 3 {
		for i := range p.x {
			for j := range p.x {
				if i != j {
					p.known.observe(planeMember(i), planeMember(j), say(i, j, p.truth(i, j)), p.now)
				}
			}
		}
		p.now = p.now.Add(10 * time.Second)
	}
}

// tree grows a tree by what is known, plans until nothing pays, and returns the
// delay by the truth of the members in count, on average.
func (p *plane) tree(t *testing.T, uplink func(i int) region.Rate, counts func(i int) bool) float64 {
	t.Helper()
	r := region.New("r1", 512)
	apply := func(edits []region.Edit) {
		t.Helper()
		if len(edits) == 0 {
			return
		}
		if err := r.Apply(r.Revision()+1, region.Change{Time: p.now, Base: r.Revision(), Edits: edits}); err != nil {
			t.Fatal(err)
		}
	}
	known := p.known.view(p.now)
	for i := range p.x {
		edits, _, err := r.Join(region.Member{ID: planeMember(i), Uplink: uplink(i), Joined: p.now}, p.now, known)
		if err != nil {
			t.Fatal(err)
		}
		apply(edits)
	}
	origin, _ := r.Member(planeMember(0))
	edits, stream, err := r.Publish(region.Stream{ID: "s", Origin: origin.ID, Kind: region.Data, Layers: []region.Rate{1000}, Codec: "x"}, origin.Lease, p.now)
	if err != nil {
		t.Fatal(err)
	}
	apply(edits)
	for i := range p.x[1:] {
		m, _ := r.Member(planeMember(i + 1))
		edits, _, err := r.Admit(region.Admission{
			Stream: stream.ID, Child: m.ID, Lease: m.Lease, Layers: region.AllLayers, Cause: region.Joining, Place: true,
		}, p.now, time.Minute, known)
		if err != nil {
			t.Fatal(err)
		}
		apply(edits)
		for n := range r.Nodes(stream.ID) {
			apply(r.Confirmed(stream.ID, n.Member, n.Parent))
		}
	}
	// As the leader does: simple moves until none pays, then a thorough plan.
	budget := func() (reorg.Budget, bill) {
		list, b := costs(r, p.now), reorg.DefaultBudget()
		b.MinGain = list.share(b.MinGain)
		return b, list
	}
	carry := func(plan reorg.Round, most int) {
		for _, m := range plan.Moves[:min(most, len(plan.Moves))] {
			edits, err := r.Move(m.Steps, p.now, time.Minute, known)
			if err != nil {
				continue
			}
			apply(edits)
			for n := range r.Nodes(stream.ID) {
				apply(r.Confirmed(stream.ID, n.Member, n.Parent))
			}
		}
	}
	chance := rand.New(rand.NewPCG(1, 1))
	for range 3 {
		for range 40 {
			b, _ := budget()
			plan := reorg.Plan(r, known, b, p.now, chance)
			if len(plan.Moves) == 0 {
				break
			}
			carry(plan, 1)
		}
		b, list := budget()
		b.Shakes, b.Moves, b.MinGain = deepShakes, DefaultReorganisation().DeepMoves, list.share(deepMinGain)
		plan := reorg.Plan(r, known, b, p.now, chance)
		if gainOf(plan) < list.share(DefaultReorganisation().Deep) {
			break
		}
		carry(plan, len(plan.Moves))
	}
	sum, count, delay := time.Duration(0), 0, map[region.MemberID]time.Duration{}
	i := 0
	for n := range r.Nodes(stream.ID) {
		if n.Parent == "" {
			continue
		}
		rtt, _ := p.RTT(n.Member, n.Parent)
		delay[n.Member] = delay[n.Parent] + region.DefaultForward + rtt/2
		if _, err := fmt.Sscanf(string(n.Member), "m%d", &i); err == nil && counts(i) {
			sum, count = sum+delay[n.Member], count+1
		}
	}
	return float64(sum) / float64(count) / float64(time.Millisecond)
}

// Whatever a tenth of the members say of round-trip times, the others have it no
// worse than if the liars lent no uplink, but for what chance does to a search.
func TestLiesAboutRoundTripsHurtNobodyElse(t *testing.T) {
	if testing.Short() {
		t.Skip("nothing in it runs concurrently")
	}
	const members, liars = 60, 6
	lies := func(i int) bool { return i >= members-liars }
	uplink := func(i int) region.Rate { return []region.Rate{3000, 2000, 0, 5000, 1000, 2000}[i%6] }
	honest := func(i int) bool { return !lies(i) }
	for _, tt := range []struct {
		name string
		say  func(i, j int, truth time.Duration) time.Duration
	}{
		{"everybody is near", func(i, _ int, truth time.Duration) time.Duration {
			if lies(i) {
				return time.Millisecond
			}
			return truth
		}},
		{"everybody is far", func(i, _ int, truth time.Duration) time.Duration {
			if lies(i) {
				return 4 * time.Second
			}
			return truth
		}},
		{"some are near, some are far", func(i, j int, truth time.Duration) time.Duration {
			if lies(i) && j%2 == 0 {
				return time.Millisecond
			} else if lies(i) {
				return time.Second
			}
			return truth
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(5) {
				p := newPlane(members, rand.New(rand.NewPCG(seed, 1)))
				p.measure(func(_, _ int, truth time.Duration) time.Duration { return truth })
				without := p.tree(t, func(i int) region.Rate {
					if lies(i) {
						return 0
					}
					return uplink(i)
				}, honest)
				p.known = newRTTs()
				p.measure(tt.say)
				with := p.tree(t, uplink, honest)
				t.Logf("seed %d: %.1f ms with liars, %.1f ms without their uplink", seed, with, without)
				if with > 1.1*without {
					t.Errorf("seed %d: honest members have %.1f ms, %.1f ms if the liars lent nothing", seed, with, without)
				}
			}
		})
	}
}

// One end cannot make a way seem shorter, and two others cannot make what is known
// of a member forgotten.
func TestOfTwoEndsTheLongerWordCounts(t *testing.T) {
	r, now := newRTTs(), time.UnixMilli(1e12)
	r.observe("a", "b", 80*time.Millisecond, now)
	r.observe("b", "a", time.Millisecond, now)
	if d, ok := rttOf(r, "a", "b", now); !ok || d != 80*time.Millisecond {
		t.Errorf("%v, %v, want 80 ms", d, ok)
	}
	r.observe("v", "w", 10*time.Millisecond, now)
	later := now.Add(time.Minute)
	for _, liar := range []region.MemberID{"x", "y"} {
		r.observe(liar, "v", 10*time.Millisecond, later)
		for range 4 {
			r.observe(liar, "v", time.Second, later)
		}
	}
	if _, ok := rttOf(r, "v", "w", later); !ok {
		t.Error("two liars made a third way forgotten")
	}
	r.observe("z", "v", 10*time.Millisecond, later)
	for range 4 {
		r.observe("z", "v", time.Second, later)
	}
	if _, ok := rttOf(r, "v", "w", later); ok {
		t.Error("three ways became longer, and what was known before is still believed")
	}
}

// A way that loses much is longer to planners: what is lost comes a round trip later.
// One ping that was lost says nothing.
func TestALossyWayIsLonger(t *testing.T) {
	r, now := newRTTs(), time.UnixMilli(1e12)
	r.observe("a", "b", 10*time.Millisecond, now)
	r.lose("c", "d", 500) // of which nothing is known
	for _, c := range []struct {
		by   region.MemberID
		loss uint32
		want time.Duration
	}{{"a", 60, 10}, {"a", 250, 15}, {"b", 100, 15}, {"a", 0, 12}, {"b", 0, 10}, {"b", 5000, 30}} {
		r.lose(c.by, map[region.MemberID]region.MemberID{"a": "b", "b": "a"}[c.by], c.loss)
		if got, known := rttOf(r, "a", "b", now); got != c.want*time.Millisecond || !known {
			t.Errorf("%s says %d per mille: %v, %t", c.by, c.loss, got, known)
		}
	}
	if r.pairs() != 1 {
		t.Errorf("%d pairs are known", r.pairs())
	}
}

// Who objects to everything is not asked for a while, longer each time, and is in
// nobody's way: the ways between others are as known as before.
func TestObjectionsAreHeededForAWhile(t *testing.T) {
	r, now := newRTTs(), time.UnixMilli(1e12)
	for _, p := range [][2]region.MemberID{{"a", "b"}, {"a", "c"}, {"b", "c"}} {
		r.observe(p[0], p[1], 10*time.Millisecond, now)
	}
	o := newObjections()
	knows := func(a, b region.MemberID, at time.Time) bool {
		_, ok := o.heed(r.view(at), at).RTT(a, b)
		if barred := o.bar([]region.Step{{Member: a, To: b}}, at); barred == ok {
			t.Errorf("the way between %s and %s is known: %t, barred: %t", a, b, ok, barred)
		}
		return ok
	}
	for n := range 4 {
		o.remember(objection{member: "a", reason: skeinv1.Objection_OBJECTION_BUSY}, now)
		pause := objectionPause << n
		if at := now.Add(pause - time.Second); knows("a", "b", at) || knows("c", "a", at) || !knows("b", "c", at) {
			t.Errorf("objection %d is not heeded for %v, or by the wrong ones", n, pause)
		}
		now = now.Add(pause + time.Second)
		if !knows("a", "b", now) {
			t.Errorf("objection %d is heeded for more than %v", n, pause)
		}
	}
	o.remember(objection{member: "b", about: "c", reason: skeinv1.Objection_OBJECTION_UNREACHABLE}, now)
	if knows("b", "c", now) || !knows("a", "b", now) {
		t.Error("an objection to one peer concerns others")
	}
}

// A member has one vote, however loud.
func TestEverybodyHasOneVote(t *testing.T) {
	h := newHub(region.New("r1", 8), time.Second)
	for i, regret := range []uint32{0, 50, 1 << 30, 1 << 31} {
		s := newSession(stay{region.MemberID(fmt.Sprint(i)), 1}, 0, nil)
		s.regret.Store(regret)
		if err := h.attach(s); err != nil {
			t.Fatal(err)
		}
	}
	if against, all := h.votes(0.1); against != 2 || all != 4 {
		t.Errorf("%d of %d vote, want 2 of 4", against, all)
	}
}
