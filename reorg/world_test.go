package reorg_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

// epoch is when all members of test worlds have been there for a long time.
var epoch = time.Unix(2_000_000_000, 0)

// plane is RTTs between points; every third pair takes a detour.
type plane map[region.MemberID][2]float64

func (p plane) RTT(a, b region.MemberID) (time.Duration, bool) {
	x, y := p[a], p[b]
	d := 1 + math.Hypot(x[0]-y[0], x[1]-y[1])
	if (len(a)+int(a[len(a)-1])+int(b[len(b)-1]))%3 == 0 {
		d *= 1.3
	}
	return time.Duration(d * float64(time.Millisecond)), true
}

func id(i int) region.MemberID { return region.MemberID(fmt.Sprintf("m%03d", i)) }

// A world is a region with random trees.
type world struct {
	*region.Region
	rtt plane
}

// grow builds a region of n members with the slots given by slots(i), in which
// each of streams is drawn by all: every tree is random. layers is the number of
// layers of a stream; members draw the lowest ones that their parents have.
func grow(t testing.TB, n, streams, layers int, slots func(i int) int, rng *rand.Rand) world {
	t.Helper()
	w := world{region.New("r", region.MaxMembers), make(plane, n)}
	w.Policy = region.DelayOnly()
	var edits []region.Edit
	free := make([]int, n)
	for i := range n {
		w.rtt[id(i)] = [2]float64{200 * rng.Float64(), 100 * rng.Float64()}
		free[i] = slots(i) * layers
		edits = append(edits, region.PutMember{Member: region.Member{
			ID: id(i), Lease: region.Lease(i + 1), Uplink: region.Rate(100 * streams * free[i]), Joined: epoch.Add(-time.Duration(i) * time.Hour),
		}})
	}
	origin := -1
	for s := range streams {
		for origin++; slots(origin) == 0; origin++ {
		}
		stream := region.Stream{ID: region.StreamID(fmt.Sprintf("s%02d", s)), Origin: id(origin), Kind: region.Data, SSRC: uint32(8 * (s + 1)), Codec: "x"}
		if layers > 1 {
			stream.Kind, stream.Codec = region.Video, "VP8"
		}
		for range layers {
			stream.Layers = append(stream.Layers, 100)
		}
		edits = append(edits, region.PutStream{Stream: stream})
		edits = append(edits, w.hang(stream, origin, layers, slices.Clone(free), rng)...)
	}
	if err := w.Apply(1, region.Change{Time: epoch, Edits: edits}); err != nil {
		t.Fatal(err)
	}
	return w
}

// hang puts all members into the tree of stream, in random order, those who can
// feed others first, each under a random member with room.
func (w world) hang(stream region.Stream, root, layers int, free []int, rng *rand.Rand) []region.Edit {
	var edits []region.Edit
	in, has := []int{root}, map[int]int{root: layers}
	order := rng.Perm(len(free))
	for _, relays := range []bool{true, false} {
		for _, v := range order {
			if v == root || relays != (free[v] >= layers) || has[v] > 0 {
				continue
			}
			p := in[rng.IntN(len(in))]
			for free[p] < layers {
				p = in[rng.IntN(len(in))]
			}
			has[v] = 1 + rng.IntN(has[p])
			free[p] -= has[v]
			in = append(in, v)
			rtt, _ := w.rtt.RTT(id(v), id(p))
			edits = append(edits, region.SetNode{Stream: stream.ID, Node: region.Node{
				Member: id(v), Parent: id(p), Layers: 1<<has[v] - 1, Hop: rtt / 2, State: region.Standing,
			}})
		}
	}
	return edits
}

// cost is the sum of all delays.
func (w world) cost() time.Duration {
	var sum time.Duration
	for s := range w.Streams() {
		for n := range w.Nodes(s.ID) {
			d, _ := w.Delay(s.ID, n.Member)
			sum += d
		}
	}
	return sum
}

// carryOut commits steps and confirms them.
func carryOut(r *region.Region, rtt region.RTT, steps []region.Step) error {
	edits, err := r.Move(steps, epoch, time.Second, rtt)
	if err != nil {
		return err
	}
	if err := r.Apply(r.Revision()+1, region.Change{Time: epoch, Edits: edits}); err != nil {
		return err
	}
	for _, s := range steps {
		confirm := r.Confirmed(s.Stream, s.Member, s.To)
		if err := r.Apply(r.Revision()+1, region.Change{Time: epoch, Edits: confirm}); err != nil {
			return err
		}
	}
	return r.Check()
}

func four(int) int { return 4 }

func mixed(i int) int { return []int{6, 0, 2, 0, 0, 2, 0, 0, 20, 0}[i%10] }
