package region

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestStandbys pins how much of a tree heals by itself when a tenth of its
// members fail at once: an orphan is healed if one of its first two standbys is
// alive, still has the stream, and has room.
func TestStandbys(t *testing.T) {
	healed, orphans := 0, 0
	for seed := range uint64(5) {
		rng := rand.New(rand.NewPCG(seed, 6))
		n := 120
		w := newWorld(t, n, newPlane(n, rng, 0.5))
		for i := range n {
			w.join(i, mixed(rng)*100+Rate(b2i(i == 0))*400, 0)
		}
		w.publish("cam", 0, 100)
		for range 2 { // who found no place comes again when there are more members
			for i := 1; i < n; i++ {
				if _, ok := w.r.Node("cam", memberID(i)); !ok {
					w.place("cam", i)
				}
			}
		}
		w.independence()
		dead := map[MemberID]bool{}
		for len(dead) < n/10 {
			if i := 1 + rng.IntN(n-1); !dead[memberID(i)] {
				dead[memberID(i)] = true
			}
		}
		h, o := w.fail("cam", dead, rng)
		healed, orphans = healed+h, orphans+o
	}
	if share := float64(healed) / float64(orphans); share < 0.95 {
		t.Errorf("%d of %d orphans healed by their first two standbys (%.1f %%), want 95 %%", healed, orphans, share*100)
	} else {
		t.Logf("%d of %d orphans healed by their first two standbys", healed, orphans)
	}
}

// TestOneLossHeals: where uplink is scarce and one member feeds many, whichever
// relay is lost, its children find room by their first two standbys: one takes
// over the lost one's place and takes in those for whom there is none outside.
func TestOneLossHeals(t *testing.T) {
	sizes := []Rate{300, 500, 100, 0, 400, 100}
	healed, orphans := 0, 0
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 8))
		n := 8 + rng.IntN(12)
		w := newWorld(t, n, equal(2*time.Millisecond))
		for i := range n {
			w.join(i, sizes[i%len(sizes)], 0)
		}
		w.publish("cam", 0, 100)
		for range 2 {
			for _, i := range rng.Perm(n) {
				if _, ok := w.r.Node("cam", memberID(i)); !ok {
					w.place("cam", i)
				}
			}
		}
		for i := 1; i < n; i++ {
			if len(w.r.Children("cam", memberID(i))) == 0 {
				continue
			}
			h, o := w.fail("cam", map[MemberID]bool{memberID(i): true}, rng)
			if healed, orphans = healed+h, orphans+o; h < o {
				t.Logf("seed %d: %d of %d orphans of %s healed\n%s", seed, h, o, memberID(i), w.r.Describe())
			}
		}
	}
	if share := float64(healed) / float64(orphans); !(share >= 0.99) {
		t.Errorf("%d of %d orphans healed by their first two standbys (%.1f %%), want 99 %%", healed, orphans, share*100)
	} else {
		t.Logf("%d of %d orphans healed by their first two standbys", healed, orphans)
	}
}

// independence: the first two standbys mostly hang below different children of
// the root, or are the root. Where there is no room in another branch, room
// matters more.
func (w *world) independence() {
	w.Helper()
	shared, all := 0, 0
	for n := range w.r.Nodes("cam") {
		if len(n.Standbys) < 2 {
			continue
		}
		a, b := w.r.Path("cam", n.Standbys[0]), w.r.Path("cam", n.Standbys[1])
		all++
		if len(a) > 1 && len(b) > 1 && a[1] == b[1] {
			shared++
		}
	}
	if shared*5 > all {
		w.Errorf("the first two standbys of %d of %d nodes share a branch\n%s", shared, all, w.r.DescribeTree("cam"))
	}
}

// fail lets members die at once. The orphans help themselves in any order: each
// goes to the first of its first two standbys that is alive and has room, also if
// that one has just lost its own parent.
func (w *world) fail(s StreamID, dead map[MemberID]bool, rng *rand.Rand) (healed, orphans int) {
	room := map[MemberID]Rate{}
	parent := map[MemberID]MemberID{}
	var lost []Node
	for n := range w.r.Nodes(s) {
		parent[n.Member] = n.Parent
		room[n.Member] = w.r.Free(n.Member)
		for _, c := range w.r.Children(s, n.Member) {
			if dead[c] {
				room[n.Member] += 100
			}
		}
		if dead[n.Parent] && !dead[n.Member] {
			lost = append(lost, n)
		}
	}
	// reaches says whether the path of m leads to end, all of it alive.
	reaches := func(m, end MemberID) bool {
		for steps := 0; m != "" && !dead[m] && steps <= len(parent); steps++ {
			if m == end {
				return true
			}
			m = parent[m]
		}
		return false
	}
	rng.Shuffle(len(lost), func(i, j int) { lost[i], lost[j] = lost[j], lost[i] })
	for _, n := range lost {
		for _, x := range n.Standbys[:min(2, len(n.Standbys))] {
			if !dead[x] && room[x] >= 100 && !reaches(x, n.Member) {
				room[x] -= 100
				parent[n.Member] = x
				break
			}
		}
	}
	stream, _ := w.r.Stream(s)
	for _, n := range lost {
		if reaches(n.Member, stream.Origin) {
			healed++
		}
	}
	return healed, len(lost)
}

// equal is an RTT oracle for members that are all equally far from one another.
type equal time.Duration

func (e equal) RTT(a, b MemberID) (time.Duration, bool) { return time.Duration(e), true }

// Standbys of a tree in which nothing happens come to rest, however little there is
// to choose from: else its log would grow for ever.
func TestTendingEnds(t *testing.T) {
	sizes := []Rate{0, 100, 200, 300, 600, 2000}
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 9))
		n := 3 + rng.IntN(14)
		w := newWorld(t, n, newPlane(n, rng, 0.5))
		for i := range n {
			w.join(i, sizes[rng.IntN(len(sizes))]+Rate(b2i(i == 0))*200, 0)
		}
		w.publish("cam", 0, 100)
		for range 2 {
			for _, i := range rng.Perm(n) {
				if _, ok := w.r.Node("cam", memberID(i)); !ok {
					w.place("cam", i)
				}
			}
		}
		last, turn := 0, 0
		for ; turn < last+2*n && turn < 40*n; turn++ {
			if edits := w.r.Tend("cam", turn, w.now, w.rtt); len(edits) > 0 {
				w.apply(edits)
				last = turn
			}
		}
		if turn == 40*n {
			t.Errorf("seed %d: standbys are still exchanged after %d turns\n%s", seed, turn, w.r.Describe())
		}
	}
}
