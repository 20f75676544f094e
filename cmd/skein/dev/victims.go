package dev

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/region"
)

// A revival is a coordinator that is due to come back, and revived one that has.
type (
	revival struct {
		at   time.Time
		peer *peer
	}
	revived struct {
		peer *peer
		node node // nil if it did not come up
	}
)

// carryOut kills what k says, whoever that is at this moment.
func (t *testnet) carryOut(ctx context.Context, k Kill) *killed {
	t.ask(ctx, Query{}) // who feeds whom at this moment
	done := &killed{kill: k, victim: "nobody"}
	switch k.What {
	case KillRegion:
		t.killRegion(ctx, done)
	case KillLeader, KillCoordinators:
		t.killCoordinators(ctx, k, done)
	default:
		if p := t.victim(k.What); p != nil {
			done.victim, done.orphans = p.spec.Name, t.orphansOf(p.last.ID)
			done.parent, done.at = p.last.ID, time.Now()
			t.end(p)
		}
	}
	if done.at.IsZero() {
		done.at, done.judged = time.Now(), true
	}
	t.page.note("dev.killed", done.victim, fmt.Sprintf("%s, %d orphans", k.What, len(done.orphans)))
	t.show.line("%5.1fs  killed %s (%s), %d orphans", done.at.Sub(t.began).Seconds(), k.What, done.victim, len(done.orphans))
	return done
}

func (t *testnet) killCoordinators(ctx context.Context, k Kill, done *killed) {
	var victims []*peer
	if k.What == KillLeader {
		// In the middle of an election the kill waits for its outcome.
		ctx, cancel := context.WithTimeout(ctx, electionTimeout)
		defer cancel()
		if i, err := t.awaitLeader(ctx); err == nil {
			victims, done.victim = []*peer{t.coords[i]}, t.coords[i].spec.Name
		}
	} else {
		victims, done.victim = t.coords, "all coordinators"
	}
	for _, p := range victims {
		if !p.alive {
			continue
		}
		done.at = time.Now()
		t.end(p)
		if k.Back > 0 {
			t.revive = append(t.revive, revival{at: done.at.Add(k.Back), peer: p})
		}
	}
}

// killRegion kills the coordinators of the first region, and what they know.
func (t *testnet) killRegion(ctx context.Context, done *killed) {
	done.victim = "all coordinators of " + string(regionID)
	done.edges = t.edges(ctx)
	for _, p := range t.coords {
		spec := p.spec.Coordinator
		if !p.alive || !slices.ContainsFunc(spec.Groups, func(g coordinator.Group) bool { return g.Region == regionID }) {
			continue
		}
		done.at = time.Now()
		t.end(p)
		cleared := p.cleared
		t.background.Go(func() {
			<-cleared // until then its files are open
			if err := os.RemoveAll(spec.Dir); err != nil {
				t.log.Error("a coordinator's data are left", "node", p.spec.Name, "error", err)
			}
		})
	}
}

// edges are those of the first region; nil if nobody can say.
func (t *testnet) edges(ctx context.Context) map[edge]string {
	trees, err := t.client.Trees(ctx, regionID, "")
	if err != nil {
		return nil
	}
	edges := map[edge]string{}
	for _, tree := range trees {
		for _, n := range tree.Nodes {
			edges[edge{tree.Stream, n.Member}] = n.Parent
		}
	}
	return edges
}

// watchReform notes when a region that was killed is there again, and with how many
// edges that are others than before.
func (t *testnet) watchReform(ctx context.Context, k *killed) {
	if k.kill.What != KillRegion || k.reformed > 0 {
		return
	}
	if _, ok := t.leader(ctx); !ok {
		return
	}
	now := t.edges(ctx)
	if now == nil {
		return
	}
	k.reformed = time.Since(k.at)
	for e, parent := range k.edges {
		if is, ok := now[e]; !ok || is != parent {
			k.changed++
		}
	}
	for e := range now {
		if _, ok := k.edges[e]; !ok {
			k.changed++
		}
	}
	t.show.line("%5.1fs  %s was formed anew after %.1f s, with %d of %d edges changed",
		time.Since(t.began).Seconds(), regionID, k.reformed.Seconds(), k.changed, len(k.edges))
}

// end kills a node, and clears away in the background what is left of it.
func (t *testnet) end(p *peer) {
	p.node.kill()
	t.retire(p)
}

// retire ends a node in good order, in the background.
func (t *testnet) retire(p *peer) {
	old, cleared := p.node, make(chan struct{})
	p.node, p.alive, p.cleared = nil, false, cleared
	t.background.Go(func() {
		defer close(cleared)
		stopNode(old)
	})
}

// bringBack starts an ended node again; a coordinator on the same folder.
func (t *testnet) bringBack(ctx context.Context, p *peer) {
	p.past.Checks += p.last.Checks
	p.past.Broken += p.last.Broken
	p.last, p.starting = Report{}, true
	t.page.note("dev.restarted", p.spec.Name, "")
	t.show.line("%5.1fs  starting %s again", time.Since(t.began).Seconds(), p.spec.Name)
	fresh := t.newNode(p.spec)
	t.background.Go(func() {
		<-p.cleared // until then its files are open
		if err := fresh.start(ctx); err != nil {
			t.log.Error("a node did not come back", "node", p.spec.Name, "error", err)
			stopNode(fresh)
			fresh = nil
		}
		t.revived <- revived{p, fresh}
	})
}

// victim chooses a member that publishes nothing: the one that feeds most, or any.
func (t *testnet) victim(what string) *peer {
	var candidates []*peer
	most := 1
	for _, p := range t.members {
		if !p.alive || p.publishes() {
			continue
		}
		n := len(t.orphansOf(p.last.ID))
		switch {
		case what == KillRandom:
			candidates = append(candidates, p)
		case n > most || n == most && len(candidates) == 0:
			candidates, most = []*peer{p}, n
		}
	}
	if len(candidates) == 0 {
		return nil
	}
	return candidates[rand.IntN(len(candidates))]
}

// orphansOf lists who draws which stream from a member, by the children's word.
func (t *testnet) orphansOf(id region.MemberID) []orphan {
	var out []orphan
	for _, p := range t.members {
		if !p.alive {
			continue
		}
		for _, r := range p.last.Received {
			if r.Parent == id {
				out = append(out, orphan{member: p.last.ID, stream: string(r.Stream)})
			}
		}
	}
	return out
}
