package region

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// crowdOn joins n members on a plane, with streams that everybody draws.
func crowdOn(t testing.TB, seed uint64, n, streams int) (*world, *plane) {
	rng := rand.New(rand.NewPCG(seed, 3))
	p := newPlane(n, rng, 0.3)
	w := newWorld(t, 512, p)
	uplinks := []Rate{0, 2500, 8000, 3500, 12000, 5000}
	for i := range n {
		uplink := uplinks[rng.IntN(len(uplinks))]
		if i < streams {
			uplink = 8000
		}
		w.join(i, uplink, 0)
	}
	for s := range streams {
		id := StreamID(fmt.Sprintf("s%d", s))
		edits, _, err := w.r.Publish(Stream{ID: id, Origin: memberID(s), Kind: Video, Layers: []Rate{400}}, 0, w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.apply(edits)
		for i := range n {
			if i != s {
				edits, _, err := w.r.Admit(Admission{Stream: id, Child: memberID(i), Cause: Joining, Place: true}, w.now, 10*time.Second, p)
				if err != nil {
					t.Fatal(err)
				}
				w.apply(edits)
				w.confirmAll()
			}
		}
	}
	return w, p
}

// halved is the division of a crowd on a plane into halves.
func (w *world) halved(p *plane) Division {
	w.Helper()
	goes, err := w.r.Halve(p.at, nil, 0)
	if err != nil {
		w.Fatal(err)
	}
	return w.r.Divide("r2", goes, p)
}

func (w *world) confirmAll() {
	for s := range w.r.Streams() {
		var edits []Edit
		for n := range w.r.Nodes(s.ID) {
			edits = append(edits, w.r.Confirmed(s.ID, n.Member, n.Parent)...)
		}
		w.apply(edits)
	}
}

func (p *plane) at(m MemberID) []float64 {
	i := p.index[m]
	return []float64{p.x[i], p.y[i]}
}

// untangle makes a division possible and returns how many rounds that took.
func (w *world) untangle(by Division) int {
	for round := 1; ; round++ {
		moved, left := w.untangleOnce(by, Untangling{Most: 32, Each: 6})
		if left == 0 && moved == 0 {
			return round
		}
		if moved == 0 {
			w.Fatalf("no room for %d crossings\n%s", left, w.r.Describe())
		}
		if round > 100 {
			w.Fatalf("%d crossings after %d rounds", left, round)
		}
	}
}

// untangleOnce carries out what Untangle proposes, and says how many moves that were, and
// how many edges still crossed.
func (w *world) untangleOnce(by Division, x Untangling) (moved, left int) {
	w.Helper()
	w.apply(w.r.Complete(by))
	x.Now, x.Hold, x.RTT = w.now, 10*time.Second, w.rtt
	moves, left, err := w.r.Untangle(by, x)
	if err != nil {
		w.Fatal(err)
	}
	for _, steps := range moves {
		edits, err := w.r.Move(steps, w.now, x.Hold, w.rtt)
		if err != nil {
			w.Fatalf("a move that was proposed: %v", err)
		}
		w.apply(edits)
	}
	w.confirmAll()
	return len(moves), left
}

// Proposals are bounded, all together and for each member, and what is avoided is not
// proposed.
func TestUntanglingIsBounded(t *testing.T) {
	w, p := crowdOn(t, 1, 60, 3)
	by := w.halved(p)
	w.apply(w.r.Complete(by))
	ask := func(x Untangling) [][]Step {
		t.Helper()
		x.Now, x.Hold, x.RTT = w.now, 10*time.Second, w.rtt
		moves, _, err := w.r.Untangle(by, x)
		if err != nil {
			t.Fatal(err)
		}
		return moves
	}
	all := ask(Untangling{Most: 1000, Each: 1000})
	if len(all) < 8 {
		t.Fatalf("only %d moves are needed", len(all))
	}
	if n := len(ask(Untangling{Most: 5, Each: 1000})); n != 5 {
		t.Errorf("%d moves, want 5", n)
	}
	touched := map[MemberID]int{}
	for _, steps := range ask(Untangling{Most: 1000, Each: 2}) {
		for _, s := range steps {
			touched[s.Member]++
			touched[s.To]++
		}
	}
	for m, n := range touched {
		if n > 3 { // a move of two steps may touch a member twice
			t.Errorf("%d moves touch %s", n, m)
		}
	}
	shunned := all[0][0].To
	for _, steps := range ask(Untangling{Most: 1000, Each: 1000, Avoid: func(_, parent MemberID) bool { return parent == shunned }}) {
		for _, s := range steps {
			if s.To == shunned {
				t.Errorf("%s is hung under %s, which is to be avoided", s.Member, s.To)
			}
		}
	}
}

func TestARegionIsHalvedAlongItsLongestExtent(t *testing.T) {
	w, p := crowdOn(t, 1, 60, 2)
	goes, err := w.r.Halve(p.at, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(goes); n < 15 || n > 45 {
		t.Errorf("%d of 60 go", n)
	}
	again, _ := w.r.Halve(p.at, nil, 0)
	if !slices.Equal(goes, again) {
		t.Error("two answers to one question")
	}
	// The plane is twice as wide as high, so the halves are left and right.
	mean := func(side bool) (x, uplink float64) {
		n := 0.0
		for m := range w.r.Members() {
			if slices.Contains(goes, m.ID) == side {
				x, uplink, n = x+p.at(m.ID)[0], uplink+float64(m.Uplink), n+1
			}
		}
		return x / n, uplink
	}
	xGo, upGo := mean(true)
	xStay, upStay := mean(false)
	if d := xGo - xStay; d*d < 40*40 {
		t.Errorf("the halves' middles are %.0f and %.0f on an extent of 150", xGo, xStay)
	}
	if upGo < upStay/2 || upStay < upGo/2 {
		t.Errorf("uplinks are %.0f and %.0f", upGo, upStay)
	}
}

func TestARegionThatHasTooLittleIsNotHalved(t *testing.T) {
	w, p := crowdOn(t, 1, 5, 1)
	if _, err := w.r.Halve(p.at, nil, 0); !errors.Is(err, ErrLimit) {
		t.Errorf("five members: %v", err)
	}
	w, p = crowdOn(t, 2, 40, 1)
	able := func(m MemberID) bool { return p.at(m)[0] < 30 }
	if _, err := w.r.Halve(p.at, able, 2); !errors.Is(err, ErrLimit) {
		t.Errorf("all who can coordinate in a corner: %v", err)
	}
	if _, err := w.r.Halve(p.at, able, 3); err != nil {
		t.Errorf("enough who can coordinate are no members: %v", err)
	}
}

// What was divided and united again is what it was, edge by edge; meanwhile
// nobody draws from anybody else than before, and both parts are sound.
func TestDivideAndUniteChangeNobodysParent(t *testing.T) {
	seeds := uint64(20)
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { divideAndUnite(t, seed) })
	}
}

func divideAndUnite(t *testing.T, seed uint64) {
	w, p := crowdOn(t, seed, 50, 3)
	goes, err := w.r.Halve(p.at, nil, 0)
	if err != nil {
		t.Skip(err)
	}
	by := w.r.Divide("r2", goes, p)
	w.untangle(by)
	before := w.r.Snapshot()
	_, gone, err := Cut(before, by)
	if err != nil {
		t.Fatal(err)
	}
	child, err := Load(gone)
	if err != nil {
		t.Fatal(err)
	}
	w.apply([]Edit{Divide{by}})
	edges := edgesOf(before)
	for _, part := range []*Region{w.r, child} {
		if part.Generation() != before.Generation+1 {
			t.Errorf("%s has generation %d", part.ID(), part.Generation())
		}
		for e := range edgesOf(part.Snapshot()) {
			if !edges[e] {
				t.Errorf("%s: %v is new", part.ID(), e)
			}
			delete(edges, e)
		}
	}
	if len(edges) > 0 {
		t.Errorf("lost: %v", edges)
	}
	owners := map[MemberID]int{}
	for _, part := range []*Region{w.r, child} {
		for m := range part.Members() {
			if m.Home == "" {
				owners[m.ID]++
			} else if m.Uplink != 0 || m.Home == part.ID() {
				t.Errorf("visitor %+v of %s", m, part.ID())
			}
		}
	}
	for m := range owners {
		if owners[m] != 1 {
			t.Errorf("%s has %d homes", m, owners[m])
		}
	}
	unite(t, w, child, before)
}

// unite merges the child into w's region, which must then be as it was before.
func unite(t *testing.T, w *world, child *Region, before Snapshot) {
	t.Helper()
	frozen := &world{TB: t, r: child, rtt: w.rtt, now: w.now, rev: child.Revision()}
	frozen.apply([]Edit{SetFate{Fate{Into: w.r.ID()}}})
	if _, _, err := child.Join(Member{ID: "late"}, w.now, w.rtt); !errors.Is(err, ErrFrozen) {
		t.Errorf("a frozen region lets somebody in: %v", err)
	}
	w.apply([]Edit{Absorb{Region: child.Snapshot()}})
	frozen.apply([]Edit{SetFate{Fate{Into: w.r.ID(), Over: true}}})
	if child.MemberCount() > 0 || child.StreamCount() > 0 || !child.Fate().Over {
		t.Errorf("it is over, but holds\n%s", child.Describe())
	}
	after := w.r.Snapshot()
	if !reflect.DeepEqual(edgesOf(before), edgesOf(after)) {
		t.Errorf("other edges:\n%v\n%v", edgesOf(before), edgesOf(after))
	}
	if !reflect.DeepEqual(before.Members, after.Members) {
		t.Error("other members")
	}
	for i, s := range before.Trees {
		if !reflect.DeepEqual(s.Stream, after.Trees[i].Stream) {
			t.Errorf("stream %+v became %+v", s.Stream, after.Trees[i].Stream)
		}
	}
}

type edge struct {
	stream        StreamID
	child, parent MemberID
	layers        LayerMask
}

func edgesOf(s Snapshot) map[edge]bool {
	set := map[edge]bool{}
	for _, t := range s.Trees {
		for _, n := range t.Nodes {
			if n.Parent != "" {
				set[edge{t.Stream.ID, n.Member, n.Parent, n.Layers}] = true
			}
		}
	}
	return set
}

func TestATangledRegionIsNotDivided(t *testing.T) {
	w, p := crowdOn(t, 3, 50, 2)
	by := w.halved(p)
	by.Gateways = nil
	if err := w.r.Apply(w.rev+1, Change{Time: w.now, Edits: []Edit{Divide{by}}}); !errors.Is(err, ErrUncut) {
		t.Errorf("divided without gateways: %v", err)
	}
}

func TestAMergeThatIsRefusedLeavesAllAsItWas(t *testing.T) {
	w, p := crowdOn(t, 4, 50, 2)
	by := w.halved(p)
	w.untangle(by)
	_, gone, err := Cut(w.r.Snapshot(), by)
	if err != nil {
		t.Fatal(err)
	}
	w.apply([]Edit{Divide{by}})
	child := &world{TB: t, r: mustLoad(t, gone), rtt: p, now: w.now, rev: 1}
	hash := child.r.Hash()
	for name, edit := range map[string]Edit{
		"absorb what is not frozen": Absorb{Region: gone},
		"end without freezing":      SetFate{Fate{Into: "r2", Over: true}},
	} {
		before := w.r.Hash()
		if err := w.r.Apply(w.rev+1, Change{Time: w.now, Edits: []Edit{edit}}); err == nil {
			t.Errorf("%s: done", name)
		}
		if w.r.Hash() != before {
			t.Errorf("%s: refused, but something changed", name)
		}
	}
	child.apply([]Edit{SetFate{Fate{Into: "r1"}}})
	child.apply([]Edit{SetFate{}})
	if got := child.r.Snapshot(); mustLoad(t, got).Revision() != 3 || !reflect.DeepEqual(edgesOf(got), edgesOf(gone)) {
		t.Error("freed, but not as it was")
	}
	_ = hash
}

func mustLoad(t *testing.T, s Snapshot) *Region {
	t.Helper()
	r, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestASubscriberThatIsAloneIsItsOwnGateway(t *testing.T) {
	w, p := crowdOn(t, 5, 20, 1)
	if g := w.r.BestGateway("s0", memberID(0), []MemberID{memberID(7)}, p); g != memberID(7) {
		t.Errorf("the gateway for one is %q", g)
	}
	if g := w.r.BestGateway("s0", memberID(0), nil, p); g != "" {
		t.Errorf("the gateway for nobody is %q", g)
	}
}

// FuzzDivide reads bytes as who goes: whether or not trees can be untangled, what
// is divided can be united again.
func FuzzDivide(f *testing.F) {
	// Crowds are made once: that costs more than to divide them.
	const crowds, size = 8, 12
	var worlds [crowds]*world
	var planes [crowds]*plane
	for i := range worlds {
		worlds[i], planes[i] = crowdOn(f, uint64(i), size, 2)
		f.Add(byte(i), uint16(randomBytes(uint64(i), 1)[0])<<4|5)
	}
	f.Fuzz(func(t *testing.T, crowd byte, goes uint16) {
		w, p := *worlds[crowd%crowds], planes[crowd%crowds]
		w.TB, w.r = t, w.r.Clone()
		var members []MemberID
		for i := range size {
			if goes>>i&1 == 1 {
				members = append(members, memberID(i))
			}
		}
		if len(members) == 0 || len(members) == size {
			t.Skip("nobody goes, or nobody stays")
		}
		by := w.r.Divide("r2", members, p)
		for range 40 {
			moved, left := w.untangleOnce(by, Untangling{Most: 32, Each: 6})
			if moved == 0 {
				if left > 0 {
					t.Skip("no room")
				}
				break
			}
		}
		before := w.r.Snapshot()
		_, gone, err := Cut(before, by)
		if errors.Is(err, ErrUncut) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.apply([]Edit{Divide{by}})
		unite(t, &w, mustLoad(t, gone), before)
	})
}
