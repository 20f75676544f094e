package dev

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
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
		node node
	}
)

// run polls the testnet, carries out the kills, and sums up at the end.
func (t *testnet) run(ctx context.Context) (Summary, error) {
	watching, stopWatching := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { t.page.follow(watching) })
	defer watch.Wait()
	defer stopWatching()

	var end <-chan time.Time
	if t.cfg.Duration > 0 {
		end = time.After(time.Until(t.began.Add(t.cfg.Duration)))
	}
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	alarm := time.NewTimer(t.untilNext())
	defer alarm.Stop()
	for {
		select {
		case <-ctx.Done():
			return t.sumUp(), nil
		case <-end:
			return t.sumUp(), nil
		case <-alarm.C:
			t.act(ctx)
			alarm.Reset(t.untilNext())
		case r := <-t.revived:
			r.peer.node, r.peer.alive = r.node, true
		case <-poll.C:
			t.poll(ctx)
		}
	}
}

// untilNext is the time until the next kill or revival.
func (t *testnet) untilNext() time.Duration {
	next := time.Now().Add(time.Hour)
	if len(t.kills) < len(t.cfg.Kills) {
		next = t.began.Add(t.cfg.Kills[len(t.kills)].At)
	}
	for _, r := range t.revive {
		next = earlier(next, r.at)
	}
	return time.Until(next)
}

// act carries out what is due: one kill and all revivals.
func (t *testnet) act(ctx context.Context) {
	now := time.Now()
	var later []revival
	for _, r := range t.revive {
		if r.at.After(now) {
			later = append(later, r)
			continue
		}
		t.bringBack(ctx, r.peer)
	}
	t.revive = later
	if len(t.kills) < len(t.cfg.Kills) {
		if k := t.cfg.Kills[len(t.kills)]; !t.began.Add(k.At).After(now) {
			t.kills = append(t.kills, t.carryOut(ctx, k))
		}
	}
}

func (t *testnet) carryOut(ctx context.Context, k Kill) *killed {
	t.ask(ctx, Query{}) // who feeds whom at this moment
	done := &killed{kill: k, victim: "nobody"}
	switch k.What {
	case KillLeader, KillCoordinators:
		t.killCoordinators(ctx, k, done)
	default:
		if p := t.victim(k.What); p != nil {
			done.victim, done.orphans = p.spec.Name, t.orphansOf(p.last.ID)
			done.at = time.Now()
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
		if i, ok := t.leader(ctx); ok {
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

// end kills a node, and clears away in the background what is left of it.
func (t *testnet) end(p *peer) {
	dead, cleared := p.node, make(chan struct{})
	dead.kill()
	p.node, p.alive, p.cleared = nil, false, cleared
	t.background.Go(func() {
		defer close(cleared)
		stopNode(dead)
	})
}

// bringBack starts a killed coordinator again, on the same folder.
func (t *testnet) bringBack(ctx context.Context, p *peer) {
	p.past.Checks += p.last.Checks
	p.past.Broken += p.last.Broken
	p.last = Report{}
	t.page.note("dev.restarted", p.spec.Name, "")
	t.show.line("%5.1fs  starting %s again", time.Since(t.began).Seconds(), p.spec.Name)
	fresh := t.newNode(p.spec)
	t.background.Go(func() {
		<-p.cleared // until then its files are open
		if err := fresh.start(ctx); err != nil {
			t.log.Error("a coordinator did not come back", "node", p.spec.Name, "error", err)
			stopNode(fresh)
			return
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

// ask puts q to all living nodes and keeps their answers.
func (t *testnet) ask(ctx context.Context, q Query) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	var wait sync.WaitGroup
	for _, peers := range [][]*peer{t.members, t.coords} {
		for _, p := range peers {
			if !p.alive {
				continue
			}
			wait.Go(func() {
				r, err := p.node.report(ctx, q)
				if err != nil {
					t.log.Warn("a node does not report", "node", p.spec.Name, "error", err)
					return
				}
				p.last = r
			})
		}
	}
	wait.Wait()
}

// poll brings the harness's knowledge up to date and shows it.
func (t *testnet) poll(ctx context.Context) {
	t.ask(ctx, Query{})
	t.count(ctx)
	t.judge(ctx, false)
	s := t.snapshot()
	t.page.publish(s)
	t.show.table(s)
}

// judge looks at the silence around kills: after gapWindow, or at once if all
// is over.
func (t *testnet) judge(ctx context.Context, over bool) {
	for _, k := range t.kills {
		if k.judged || !over && time.Since(k.at) < gapWindow {
			continue
		}
		k.judged = true
		t.ask(ctx, Query{Gaps: []Interval{{From: k.at, To: k.at.Add(gapWindow)}}})
		for _, p := range t.members {
			if !p.alive {
				continue
			}
			for _, r := range p.last.Received {
				if len(r.Gaps) == 1 && (len(k.orphans) == 0 || k.orphaned(p.last.ID, r.Stream)) {
					k.gap = max(k.gap, r.Gaps[0])
				}
			}
		}
	}
}

func (k *killed) orphaned(m region.MemberID, s region.StreamID) bool {
	for _, o := range k.orphans {
		if o.member == m && o.stream == string(s) {
			return true
		}
	}
	return false
}

// tallyAdmissions counts over restarts, at which a coordinator begins anew.
type tallyAdmissions struct{ before, now inspect.Admissions }

// count reads admissions and state hashes of all coordinators.
func (t *testnet) count(ctx context.Context) {
	status, _ := t.client.Status(ctx) // what does not answer has no Groups
	for _, s := range status {
		for _, g := range s.Groups {
			if g.Region != string(regionID) {
				continue
			}
			if g.State == "leader" {
				t.leading = s.Address
			}
			a := t.admissions[s.Address]
			if g.Admissions.Accepted < a.now.Accepted {
				a.before = plus(a.before, a.now)
			}
			a.now = g.Admissions
			t.admissions[s.Address] = a
			if g.StateHash == "" {
				continue
			}
			if known, ok := t.hashes[g.Revision]; ok && known != g.StateHash {
				t.forked++
				t.log.Error("replicas differ at the same revision", "revision", g.Revision, "coordinator", s.Address)
			}
			t.hashes[g.Revision] = g.StateHash
		}
	}
	if len(t.hashes) > 1000 {
		clear(t.hashes)
	}
}

func plus(a, b inspect.Admissions) inspect.Admissions {
	return inspect.Admissions{
		Accepted:      a.Accepted + b.Accepted,
		RefusedStale:  a.RefusedStale + b.RefusedStale,
		RefusedFull:   a.RefusedFull + b.RefusedFull,
		RefusedByPeer: a.RefusedByPeer + b.RefusedByPeer,
	}
}

// sumUp closes the books. It does not depend on the ctx that may have ended Run.
func (t *testnet) sumUp() Summary {
	ctx, cancel := context.WithTimeout(context.Background(), pollTimeout)
	defer cancel()
	t.ask(ctx, Query{SentBefore: time.Now().Add(-grace)})
	ends := make(map[region.StreamID]uint64)
	for _, p := range t.members {
		for _, s := range p.last.Sent {
			ends[s.Stream] = s.Before
		}
	}
	t.judge(ctx, true)
	t.ask(ctx, Query{Ends: ends, Delays: true})
	t.count(ctx)

	s := Summary{Coordinators: t.cfg.Coordinators, Members: t.cfg.Members, Kills: []KillSummary{}, InvariantsBroken: t.forked}
	var reports []Report
	for _, p := range t.members {
		if p.alive {
			reports = append(reports, p.last)
		}
	}
	s.Streams = summarize(t.cfg, reports)
	for _, a := range t.admissions {
		s.Admissions = plus(s.Admissions, plus(a.before, a.now))
	}
	for _, p := range t.coords {
		s.InvariantsBroken += p.past.Broken + p.last.Broken
	}
	for _, k := range t.kills {
		s.Kills = append(s.Kills, KillSummary{
			What: k.kill.What, AtS: ms(k.at.Sub(t.began)) / 1000, Orphans: len(k.orphans), GapMsMax: ms(k.gap),
		})
	}
	return s
}
