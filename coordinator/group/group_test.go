package group

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

func TestAnElectedLeaderDecidesAndAllFollow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		leader := c.leader()
		leader.join(1, 20)
		c.agreed()
		for _, a := range c.nodes {
			if got := a.State().Region.MemberCount(); got != 20 {
				t.Errorf("%s has %d members, want 20", a.name, got)
			}
			if got := a.State().TokenUses("token"); got != 20 {
				t.Errorf("%s counts %d token uses, want 20", a.name, got)
			}
			answer, ok := a.Answer(id(7), "join-7", time.Now())
			if !ok || string(answer.Response) != "welcome" || answer.Revision == 0 {
				t.Errorf("%s answers join-7 with %+v, %v", a.name, answer, ok)
			}
		}
	})
}

func TestFollowersNameTheLeader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		leader := c.leader()
		leader.join(1, 1)
		c.agreed()
		for _, a := range c.followers() {
			_, err := a.Propose(t.Context(), join(a.State().Region.Revision(), 2))
			var hint *region.NotLeaderError
			if !errors.As(err, &hint) || hint.Leader != leader.creds.ID() || !errors.Is(err, region.ErrNotLeader) {
				t.Errorf("%s: %v, want a hint at %s", a.name, err, leader.creds.ID())
			}
		}
	})
}

func TestTheLeaderDiesAndItsFollowersGoOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		first := c.leader()
		first.join(1, 10)
		start := time.Now()
		first.die()
		second := c.leader()
		t.Logf("new leader after %v", time.Since(start))
		second.join(11, 20)

		first.start(c.voters())
		sum := c.agreed()
		if got := first.State().Region.MemberCount(); got != 20 {
			t.Errorf("the old leader has %d members, want 20", got)
		}
		if first.State().Hash() != sum {
			t.Error("the old leader disagrees")
		}
	})
}

func TestAllStopAndComeBackWithEverything(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		c.leader().join(1, 30)
		before := c.agreed()
		for _, a := range c.nodes {
			a.stop()
		}
		c.startAll()
		leader := c.leader()
		if got := leader.State().Hash(); got != before {
			t.Errorf("the state has hash %x, before the stop %x", got, before)
		}
		leader.join(31, 31)
		c.agreed()
	})
}

func TestAReplayIsASnapshotAndItsTail(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		c.leader().join(1, 40)
		c.agreed()
		one := c.followers()[0]
		if err := one.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.leader().join(41, 50)
		before := c.agreed()
		// One comes back from its snapshot and ten entries, another from the
		// whole log.
		for _, a := range c.nodes {
			a.stop()
		}
		one.start(c.voters())
		if got := one.State().Region.MemberCount(); got != 40 {
			t.Errorf("the snapshot brings %d members, want 40", got)
		}
		for _, a := range c.nodes {
			if a != one {
				a.start(c.voters())
			}
		}
		c.leader()
		if after := c.agreed(); after != before {
			t.Errorf("hash %x after the restart, %x before", after, before)
		}
	})
}

func TestALaggardIsSentASnapshot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		short := func(cfg *Config) { cfg.TrailingLogs = 4 }
		c := newCast(t, 3)
		c.startAll(short)
		c.leader().join(1, 5)
		c.agreed()
		laggard := c.followers()[0]
		feed := laggard.Subscribe(laggard.State().Revision)
		c.net.Partition(func(src, dst netip.Addr) bool { return src == laggard.host.Addr() || dst == laggard.host.Addr() })
		leader := c.leader(laggard)
		leader.join(6, 60)
		if err := leader.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		leader.join(61, 62)
		c.net.Partition(nil)
		c.agreed()

		first, err := feed.Next(t.Context())
		if err != nil || !first.Gap {
			t.Fatalf("its reader gets %+v, %v, want a gap", first, err)
		}
		for first.Region.MemberCount() < 62 {
			next, err := feed.Next(t.Context())
			if err != nil || next.Gap || next.Revision <= first.Revision {
				t.Fatalf("after revision %d: %+v, %v", first.Revision, next, err)
			}
			first = next
		}
	})
}

func TestACutOffLeaderFindsOutAndReadsNothingStale(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		old := c.leader()
		old.join(1, 1)
		if _, err := old.ReadIndex(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.net.Partition(func(src, dst netip.Addr) bool { return src == old.host.Addr() || dst == old.host.Addr() })
		time.Sleep(20 * time.Millisecond) // what was under way has arrived
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if rev, err := old.ReadIndex(ctx); !errors.Is(err, region.ErrNotLeader) {
			t.Errorf("a cut-off leader reads revision %d, %v", rev, err)
		}
		next := c.leader(old)
		if old.leads() {
			t.Error("two leaders")
		}
		next.join(2, 3)
		rev, err := next.ReadIndex(ctx)
		if err != nil || rev != next.State().Revision {
			t.Errorf("read index %d, %v, want %d", rev, err, next.State().Revision)
		}
		c.net.Partition(nil)
		c.agreed()
	})
}

func TestACutOffLeadersEntryHasAnUnknownOutcome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		old := c.leader()
		old.join(1, 1)
		c.net.Partition(func(src, dst netip.Addr) bool { return src == old.host.Addr() || dst == old.host.Addr() })
		_, err := old.Propose(t.Context(), join(old.State().Region.Revision(), 2))
		if !errors.Is(err, region.ErrOutcomeUnknown) {
			t.Errorf("%v, want ErrOutcomeUnknown", err)
		}
		c.leader(old).join(3, 3)
		c.net.Partition(nil)
		c.agreed()
		if _, ok := old.State().Region.Member(id(2)); ok {
			t.Error("an entry of the deposed leader was committed")
		}
	})
}

func TestLeadershipIsToldWithItsTerm(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		old := c.leader()
		first := <-old.Leadership()
		if !first.Leading {
			t.Fatalf("got %+v from the leader", first)
		}
		c.net.Partition(func(src, dst netip.Addr) bool { return src == old.host.Addr() || dst == old.host.Addr() })
		if lost := <-old.Leadership(); lost.Leading {
			t.Errorf("got %+v from a leader that is cut off", lost)
		}
		c.net.Partition(nil)
		next := c.leader()
		if next != old {
			if won := <-next.Leadership(); !won.Leading || won.Term <= first.Term {
				t.Errorf("got %+v after %+v", won, first)
			}
		}
		next.stop()
	})
}

func TestAFaultyDecisionCostsOneRequestOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		leader := c.leader()
		leader.join(1, 3)
		present := leader.State().Region.Revision()
		unknown := join(present, 4)
		unknown.Version = 2
		fat := join(present, 4)
		fat.Answers[0].Response = make([]byte, MaxEntry)
		oldLease := join(present, 1)
		oldLease.Change.Edits[0].GetPutMember().Lease = 0
		kindless := join(present, 4)
		kindless.Change.Edits[0].Kind = nil
		for _, tt := range []struct {
			name  string
			entry *skeinv1.Entry
			want  error
		}{
			{"unknown version", unknown, region.ErrInvalid},
			{"too big", fat, region.ErrLimit},
			{"unknown edit", kindless, region.ErrInvalid},
			{"overtaken", join(present-1, 4), region.ErrRevision},
			{"impossible", oldLease, region.ErrLease},
		} {
			if _, err := leader.Propose(t.Context(), tt.entry); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		}
		leader.join(4, 5)
		c.agreed()
	})
}

func TestProposalsGiveUpWithTheirContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		leader := c.leader()
		c.net.Partition(func(src, dst netip.Addr) bool { return true })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := leader.Propose(ctx, join(leader.State().Region.Revision(), 1))
		if !errors.Is(err, region.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want an unknown outcome by the deadline", err)
		}
		c.net.Partition(nil)
		c.leader()
	})
}

func TestManyReadersSeeTheSame(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		leader := c.leader()
		feeds := map[string]*Feed{}
		for _, a := range c.nodes {
			feeds[a.name] = a.Subscribe(a.State().Revision)
		}
		leader.join(1, 10)
		c.agreed()
		var want []string
		for _, a := range c.nodes {
			var got []string
			for range 10 {
				e, err := feeds[a.name].Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprintf("%d %d %d", e.Revision, len(e.Change.Edits), e.Region.MemberCount()))
			}
			if want == nil {
				want = got
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s read %v, others %v", a.name, got, want)
			}
		}
	})
}
