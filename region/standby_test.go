package region

import (
	"math/rand/v2"
	"slices"
	"testing"
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
		h, o := w.fail("cam", dead)
		healed, orphans = healed+h, orphans+o
	}
	if share := float64(healed) / float64(orphans); share < 0.95 {
		t.Errorf("%d of %d orphans healed by their first two standbys (%.1f %%), want 95 %%", healed, orphans, share*100)
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

// fail lets members die at once and the orphans help themselves in turn: those
// nearest to the root first, as long as anybody gets on.
func (w *world) fail(s StreamID, dead map[MemberID]bool) (healed, orphans int) {
	room := map[MemberID]Rate{}
	parent := map[MemberID]MemberID{}
	var pending []Node
	for n := range w.r.Nodes(s) {
		parent[n.Member] = n.Parent
		room[n.Member] = w.r.Free(n.Member)
		for _, c := range w.r.Children(s, n.Member) {
			if dead[c] {
				room[n.Member] += 100
			}
		}
		if dead[n.Parent] && !dead[n.Member] {
			pending = append(pending, n)
		}
	}
	// fed says whether the path of m to the root is alive.
	fed := func(m MemberID) bool {
		for steps := 0; m != "" && steps <= len(parent); steps++ {
			if dead[m] {
				return false
			}
			if parent[m] == "" {
				return true
			}
			m = parent[m]
		}
		return false
	}
	orphans = len(pending)
	for progress := true; progress; {
		progress = false
		pending = slices.DeleteFunc(pending, func(n Node) bool {
			for _, x := range n.Standbys[:min(2, len(n.Standbys))] {
				if fed(x) && room[x] >= 100 {
					room[x] -= 100
					parent[n.Member] = x
					healed++
					progress = true
					return true
				}
			}
			return false
		})
	}
	return healed, orphans
}
