package group

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/history"
)

// Fifty times a replica dies at a random moment and comes back on its folder,
// while clients let members join through whoever leads. Nothing acknowledged may
// be lost, done twice, or take effect out of order.
func TestFiftyKillsAndRestartsLoseNoAcknowledgedJoin(t *testing.T) {
	const seed = 11
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll(keepLog)
		c.leader()
		stage := &stage{groups: make([]*Group, len(c.nodes))}
		for i, a := range c.nodes {
			stage.set(i, a.Group)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		calls := make([][]history.Call, 4)
		for i := range calls {
			clients.Go(func() { calls[i] = stage.joinUntil(ctx, t, i) })
		}

		rng := rand.New(rand.NewPCG(seed, 0))
		for round := range 50 {
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
			i := rng.IntN(len(c.nodes))
			stage.set(i, nil)
			c.nodes[i].die()
			time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
			c.nodes[i].start(c.voters(), keepLog, func(cfg *Config) {
				// One of them lives on snapshots. It has enough of the log left for those who
				// come back to need none, for the log of one of them is what all is judged by.
				if i == 2 {
					cfg.SnapshotThreshold, cfg.SnapshotInterval, cfg.TrailingLogs = 32, time.Second, 64
				}
			})
			stage.set(i, c.nodes[i].Group)
			if round%10 == 9 {
				c.leader()
			}
		}
		c.leader()
		time.Sleep(5 * time.Second)
		cancel()
		clients.Wait()
		c.agreed()

		var all []history.Call
		for _, list := range calls {
			all = append(all, list...)
		}
		if len(all) < 100 {
			t.Errorf("seed %d: only %d joins were acknowledged", seed, len(all))
		}
		end, err := history.Check(region.New("r1", region.MaxMembers), c.nodes[0].log(t), all)
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		for _, a := range c.nodes {
			if got := a.State().Region; got.Hash() != end.Hash() {
				t.Errorf("seed %d: %s is not the sum of the log:\n%s\nbut\n%s", seed, a.name, got.Describe(), end.Describe())
			}
		}
		t.Logf("%d joins acknowledged, %d members", len(all), end.MemberCount())
	})
}

func keepLog(cfg *Config) { cfg.FeedLength, cfg.MaxMembers = 65536, region.MaxMembers }

// log is all that the replica has applied since it was started, which must have
// been without a snapshot.
func (a *actor) log(t *testing.T) []history.Step {
	t.Helper()
	feed, end := a.Subscribe(0), a.State().Region.Revision()
	var steps []history.Step
	for {
		e, err := feed.Next(t.Context())
		if err != nil || e.Gap {
			t.Fatalf("read the log: %+v, %v", e, err)
		}
		if !e.Time.IsZero() {
			steps = append(steps, history.Step{Revision: e.Revision, Change: e.Change})
		}
		if e.Revision >= end {
			return steps
		}
	}
}

// A stage is where clients find the groups that run.
type stage struct {
	mu     sync.Mutex
	groups []*Group
}

func (s *stage) set(i int, g *Group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[i] = g
}

func (s *stage) leader() *Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups {
		if g != nil {
			if _, l := g.current(); l.Leading {
				return g
			}
		}
	}
	return nil
}

// joinUntil lets one member after the other join until ctx ends.
func (s *stage) joinUntil(ctx context.Context, t *testing.T, client int) []history.Call {
	var calls []history.Call
	for n := 0; ctx.Err() == nil; n++ {
		member := id(10000*client + n)
		call := history.Call{Request: fmt.Sprintf("join-%d-%d", client, n), Begun: time.Now()}
		rev, err := s.join(ctx, member, call.Request)
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("%s: %v", call.Request, err)
			}
			return calls
		}
		call.Ended, call.Revision = time.Now(), rev
		call.Holds = func(r *region.Region) error {
			if _, ok := r.Member(member); !ok {
				return region.ErrUnknownMember
			}
			return nil
		}
		calls = append(calls, call)
		time.Sleep(500 * time.Millisecond)
	}
	return calls
}

// join tries until it is answered, as a session does: it asks whoever leads for
// the answer to its request ID, and only if there is none proposes again.
func (s *stage) join(ctx context.Context, member region.MemberID, request string) (region.Revision, error) {
	for ctx.Err() == nil {
		if g := s.leader(); g != nil {
			if a, ok := g.Answer(member, request, time.Now()); ok {
				return a.Revision, nil
			}
			applied, err := g.Propose(ctx, decideJoin(g.State().Region, member, request))
			switch {
			case err == nil:
				return applied.Revision, nil
			case !errors.Is(err, region.ErrNotLeader) && !errors.Is(err, region.ErrOutcomeUnknown) &&
				!errors.Is(err, region.ErrRevision) && !errors.Is(err, region.ErrOverloaded):
				return 0, err
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return 0, ctx.Err()
}

// decideJoin is a small decider.
func decideJoin(r *region.Region, member region.MemberID, request string) *skeinv1.Entry {
	now := time.Now()
	edits, _, err := r.Join(region.Member{ID: member, Uplink: 8000}, now, noRTT{})
	if err != nil {
		panic(err)
	}
	return &skeinv1.Entry{
		Version: EntryVersion,
		Change:  skeinv1.FromChange(region.Change{Time: now, Base: r.Revision(), Edits: edits}),
		Answers: []*skeinv1.Answer{{
			Member: string(member), RequestId: request, Response: []byte("welcome"),
			ExpiresMs: now.Add(2 * time.Minute).UnixMilli(),
		}},
	}
}

type noRTT struct{}

func (noRTT) RTT(a, b region.MemberID) (time.Duration, bool) { return 50 * time.Millisecond, false }
