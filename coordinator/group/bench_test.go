package group

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// BenchmarkPropose measures entries per second of a group of three on real files
// and loopback sockets with TLS. "batch" counts the changes of one entry, as the
// decider makes them; "clients" propose side by side, which only entries without
// a change can do.
func BenchmarkPropose(b *testing.B) {
	for _, bb := range []struct{ clients, batch int }{{1, 1}, {1, 16}, {1, 256}, {16, 0}, {64, 0}} {
		b.Run(fmt.Sprintf("clients=%d/batch=%d", bb.clients, bb.batch), func(b *testing.B) {
			leader := benchGroup(b)
			if _, err := leader.Propose(b.Context(), batchEntry(0, 0, 512)); err != nil {
				b.Fatal(err)
			}
			var n atomic.Int64
			b.ResetTimer()
			var wg sync.WaitGroup
			for range bb.clients {
				wg.Go(func() {
					for {
						i := n.Add(1)
						if i > int64(b.N) {
							return
						}
						e := batchEntry(leader.State().Region.Revision(), int(i), bb.batch)
						if _, err := leader.Propose(b.Context(), e); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			s := leader.Status()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			if bb.batch > 0 {
				b.ReportMetric(float64(b.N*bb.batch)/b.Elapsed().Seconds(), "changes/s")
			}
			b.ReportMetric(float64(s.CommitTime.P50.Microseconds()), "p50-us")
			b.ReportMetric(float64(s.CommitTime.P99.Microseconds()), "p99-us")
		})
	}
}

// batchEntry brings batch of 512 members up to date, each with an answer.
func batchEntry(base region.Revision, i, batch int) *skeinv1.Entry {
	now := time.Now()
	e := &skeinv1.Entry{Version: EntryVersion}
	var edits []region.Edit
	for k := range max(batch, 1) {
		n := (i*batch+k)%512 + 1
		edits = append(edits, region.PutMember{Member: region.Member{ID: id(n), Lease: region.Lease(n), Uplink: 8000, Joined: now}})
		e.Answers = append(e.Answers, &skeinv1.Answer{
			Member: string(id(n)), RequestId: fmt.Sprint("r", i), Response: make([]byte, 200),
			ExpiresMs: now.Add(2 * time.Minute).UnixMilli(),
		})
	}
	if batch > 0 {
		e.Change = skeinv1.FromChange(region.Change{Time: now, Base: base, Edits: edits})
	}
	return e
}

// benchGroup starts three replicas and returns their leader.
func benchGroup(b *testing.B) *Group {
	nodes := benchNodes(b)
	won := make(chan *Group, len(nodes))
	for _, cfg := range nodes {
		cfg.Region, cfg.RaftMultiplier = "r1", 1
		g := benchOpen(b, cfg)
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for l := range g.Leadership() {
				if l.Leading {
					won <- g
				}
			}
		}()
		b.Cleanup(func() { <-watched })
		b.Cleanup(func() { benchClose(b, g) })
	}
	return <-won
}

// benchNodes are the settings of three nodes with listeners on loopback, who are
// the voters of every group.
func benchNodes(b *testing.B) []Config {
	ca, err := trust.NewAuthority(time.Now())
	if err != nil {
		b.Fatal(err)
	}
	var nodes []Config
	var voters []Peer
	for range 3 {
		id, err := trust.NewIdentity()
		if err != nil {
			b.Fatal(err)
		}
		creds, err := ca.Issue(id, trust.RoleCoordinator, time.Hour, time.Now())
		if err != nil {
			b.Fatal(err)
		}
		lc := DefaultListenerConfig()
		lc.Address, lc.Credentials = "127.0.0.1:0", creds
		l, err := Listen(b.Context(), lc)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { l.Close() })
		cfg := DefaultConfig()
		cfg.Node, cfg.Dir, cfg.Listener = creds.ID(), b.TempDir(), l
		nodes = append(nodes, cfg)
		voters = append(voters, Peer{Node: creds.ID(), Address: l.Addr()})
	}
	for i := range nodes {
		nodes[i].Voters = voters
	}
	return nodes
}

func benchOpen(b *testing.B, cfg Config) *Group {
	g, err := Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return g
}

func benchClose(b *testing.B, g *Group) {
	if err := g.Close(); err != nil {
		b.Error(err)
	}
}
