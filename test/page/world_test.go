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
		m.GossipEvents = w.sent / 240
		s.Members = append(s.Members, m)
	}
	s.Members[3].Suspect = true
	s.Members[4].Blocked = []string{s.Members[7].ID}
	s.Members[7].Blocked = []string{s.Members[4].ID}
	s.Rounds = w.rounds()
	n := w.sent / 120
	s.Admissions = inspect.Admissions{Accepted: uint64(len(w.members)) + n + n/3, RefusedStale: n / 5, RefusedFull: n / 4, RefusedByPeer: n / 9}
	return s
}

// rounds of reorganisation: one that was objected to, one that went well, and one
// that is under way.
func (w *world) rounds() []inspect.Round {
	step := func(i int) inspect.Move {
		m := w.members[i]
		return inspect.Move{Kind: "reparent", State: "confirmed", GainMs: 12.5, Steps: []inspect.Step{
			{Stream: "camera-1/video", Member: m.ID, From: w.members[0].ID, To: m.Streams[0].Parent},
		}}
	}
	objected, reversed, moving := step(5), step(6), step(7)
	objected.State = "objected"
	objected.Objections = []inspect.Objection{{Member: w.members[2].ID, Reason: "overloaded"}, {Member: w.members[5].ID, Reason: "cannot reach", About: w.members[2].ID}}
	reversed.State, moving.State = "reversed", "moving"
	ended := w.begin.Add(-7 * time.Second)
	return []inspect.Round{
		{ID: 1, Cause: "votes", Begun: ended.Add(-30 * time.Second), Ended: &ended, CostBeforeMs: 940, CostAfterMs: 915, Moves: []inspect.Move{step(4), step(8), objected, reversed}},
		{ID: 2, Cause: "news", Begun: ended.Add(-time.Second), Ended: &ended, CostBeforeMs: 915, CostAfterMs: 902.5, Moves: []inspect.Move{step(9)}},
		{ID: 3, Cause: "operator", Begun: w.begin, CostBeforeMs: 902.5, CostAfterMs: 902.5, Moves: []inspect.Move{moving}},
	}
}
