package group

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein/region"
)

// Ways in which the library is known to wedge, and what keeps us out of them. A
// leader whose disk stalls (raft#503) is in faults_test.go.

// Pipelines can park a follower's stream for ever once it has refused entries
// (raft#612), so there are none.
func TestEntriesAreNotPipelined(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		leader := c.leader()
		leader.join(1, 1)
		r, _ := leader.current()
		for _, f := range c.followers() {
			_, err := r.transport.AppendEntriesPipeline(raft.ServerID(f.creds.ID()), raft.ServerAddress(f.address()))
			if !errors.Is(err, raft.ErrPipelineReplicationNotSupported) {
				t.Errorf("a pipeline to %s: %v", f.name, err)
			}
		}
	})
}

// A follower that refuses entries, since its log went another way, gets those of
// the leader all the same, also where only a snapshot can tell it (raft#697).
func TestAFollowerThatRefusedEntriesGetsThem(t *testing.T) {
	for name, trailing := range map[string]uint64{"from the log": 10240, "by a snapshot": 0} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newCast(t, 3)
				c.startAll(func(cfg *Config) { cfg.TrailingLogs = trailing })
				old := c.leader()
				old.join(1, 5)
				c.agreed()
				for round := range 3 {
					// Its log goes its own way, further than the others' at first.
					c.net.Partition(func(src, dst netip.Addr) bool { return (src == old.host.Addr()) != (dst == old.host.Addr()) })
					r, _ := old.current()
					for range 20 {
						r.raft.Load().Apply([]byte("never agreed on"), time.Second)
					}
					next := c.leader(old)
					next.join(10*round+10, 10*round+15)
					if err := next.Snapshot(t.Context()); err != nil {
						t.Fatal(err)
					}
					c.net.Partition(nil)
					c.agreed()
					// It takes part again, not only in name: the others need it now.
					next.join(10*round+16, 10*round+16)
					c.agreed()
					old = c.leader()
				}
				if n := c.leader().State().Region.MemberCount(); n != 5+21 {
					t.Errorf("%d members", n)
				}
			})
		})
	}
}

// A transfer to a follower that lags can wedge the leader (raft#696): it waits
// until the follower has caught up, and goes on deciding meanwhile.
func TestLeadershipGoesOnlyToWhoHasCaughtUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		leader := c.leader()
		leader.join(1, 5)
		behind := c.followers()[0]
		behind.die()
		leader.join(6, 6+catchUp)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := leader.Transfer(ctx, behind.creds.ID()); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, region.ErrOutcomeUnknown) {
			t.Errorf("transfer to one that is down: %v", err)
		}
		if !leader.leads() {
			t.Error("it does not lead any more")
		}
		leader.join(1000, 1010)
		behind.start(c.voters())
		if err := leader.Transfer(t.Context(), behind.creds.ID()); err != nil {
			t.Errorf("transfer: %v", err)
		}
		until(t, "it has taken over", behind.leads)
		behind.join(1011, 1020)
		c.agreed()
	})
}
