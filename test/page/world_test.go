package page

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

// fanout is how many children a relay of a generated region has at most.
const fanout = 6

// A world makes snapshots of a region that does not exist: members in a few
// towns, and a tree of one camera over them.
type world struct {
	random  *rand.Rand
	members []inspect.MemberState
	sent    uint64
	begin   time.Time
}

func newWorld(members int) *world {
	w := &world{random: rand.New(rand.NewPCG(1, uint64(members))), begin: time.Now()}
	towns := make([][3]float64, 5)
	for i := range towns {
		towns[i] = [3]float64{w.random.NormFloat64() * 40, w.random.NormFloat64() * 25, w.random.NormFloat64() * 8}
	}
	for i := range members {
		town := towns[w.random.IntN(len(towns))]
		m := inspect.MemberState{
			Name: fmt.Sprintf("member-%d", i+1), ID: fmt.Sprintf("aaaaaaaaaaaaaaaaaaaa%04d", i),
			Alive: true, Connected: true, UplinkKbps: 7000, Peers: uint32(members - 1),
		}
		for _, x := range town {
			m.PositionMs = append(m.PositionMs, float32(x+w.random.NormFloat64()*6))
		}
		w.members = append(w.members, m)
	}
	w.plant()
	return w
}

// plant makes the tree: each member hangs under the nearest one with room among
// those before it.
func (w *world) plant() {
	w.members[0].Publishes = []string{"camera-1/video"}
	delay := make([]float64, len(w.members))
	for i := 1; i < len(w.members); i++ {
		best, least := 0, math.Inf(1)
		for j := range i {
			d := delay[j] + 1 + w.distance(i, j)/2
			if w.members[j].Children < fanout && d < least {
				best, least = j, d
			}
		}
		delay[i] = least
		parent := &w.members[best]
		parent.Children++
		parent.SendingKbps += 1000
		w.members[i].Nearest = []inspect.Distance{{Peer: parent.ID, RTTMs: w.distance(i, best)}}
		w.members[i].Streams = []inspect.StreamState{{
			Stream: "camera-1/video", Parent: parent.ID, Standbys: []string{w.members[(i+5)%len(w.members)].ID, w.members[i/2].ID},
			DelayMsP50: least, DelayMsP99: least * 1.3, GapMsMax: 41,
		}}
	}
}

func (w *world) distance(i, j int) float64 {
	sum := 0.0
	for k, x := range w.members[i].PositionMs {
		d := float64(x - w.members[j].PositionMs[k])
		sum += d * d
	}
	return math.Sqrt(sum)
}

// next is the world a second later.
func (w *world) next(now time.Time) *inspect.Snapshot {
	w.sent += 120
	s := &inspect.Snapshot{Time: now, Region: "r1"}
	for i := range 3 {
		g := inspect.Group{
			Region: "r1", State: "follower", Generation: 1, Revision: 40 + w.sent/120, Term: 2, Commit: w.sent, Applied: w.sent,
			LastContactMs: 12, Members: uint32(len(w.members)), Streams: 1, Health: "ok", DiskP99Ms: 2.1,
		}
		c := inspect.CoordinatorState{Name: fmt.Sprintf("coordinator-%d", i+1), ID: fmt.Sprint("bbbbbbbbbbbbbbbbbbbbbbb", i), Address: fmt.Sprintf("10.0.0.%d:7400", i+1), Alive: true}
		if i == 1 {
			c.Leader, g.State, g.LastContactMs, g.CommitP50Ms, g.CommitP99Ms = true, "leader", 0, 3.2, 9.4
		}
		c.Group = g
		s.Coordinators = append(s.Coordinators, c)
	}
	for _, m := range w.members {
		m.Streams = append([]inspect.StreamState{}, m.Streams...)
		for i := range m.Streams {
			m.Streams[i].Received = w.sent
		}
		s.Members = append(s.Members, m)
	}
	n := w.sent / 120
	s.Admissions = inspect.Admissions{Accepted: uint64(len(w.members)) + n + n/3, RefusedStale: n / 5, RefusedFull: n / 4, RefusedByPeer: n / 9}
	return s
}
