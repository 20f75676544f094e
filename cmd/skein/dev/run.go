package dev

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/region"
)

// run polls the testnet, carries out the kills, and sums up at the end.
func (t *testnet) run(ctx context.Context) (Summary, error) {
	watching, stopWatching := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { t.page.Narrate(watching, t.client, regionID) })
	news := make(chan inspect.Event, tableEvents)
	watch.Go(func() { t.listen(watching, news) })
	defer watch.Wait()
	defer stopWatching()

	var end <-chan time.Time
	if t.cfg.Duration > 0 {
		end = time.After(time.Until(t.began.Add(t.cfg.Duration)))
	}
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	t.poll(ctx)
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
			t.poll(ctx)
			alarm.Reset(t.untilNext())
		case w := <-t.page.wishes:
			w.done <- t.obey(ctx, w.Order)
			t.poll(ctx)
		case r := <-t.revived:
			r.peer.node, r.peer.alive, r.peer.starting = r.node, r.node != nil, false
		case e := <-news:
			t.show.remember(t.describe(e))
		case <-poll.C:
			t.poll(ctx)
		}
	}
}

// listen passes on what happens in the region. What the table has no room for is
// dropped.
func (t *testnet) listen(ctx context.Context, news chan<- inspect.Event) {
	// It ends with ctx; what the region refuses to tell is not shown.
	_ = t.client.Watch(ctx, regionID, 0, func(e inspect.Event) error {
		select {
		case news <- e:
		default:
		}
		return nil
	})
}

// describe is an event in a line, with names for ids.
func (t *testnet) describe(e inspect.Event) string {
	words := []string{fmt.Sprintf("%5.1fs ", e.Time.Sub(t.began).Seconds()), e.Kind, e.Member, e.Stream}
	if e.Parent != "" {
		words = append(words, "under", e.Parent)
	}
	line := strings.Join(append(words, e.Cause, e.Detail), " ")
	for _, p := range t.members {
		if p.last.ID != "" {
			line = strings.ReplaceAll(line, string(p.last.ID), p.spec.Name)
		}
	}
	return line
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
	status := t.count(ctx)
	t.judge(ctx, false)
	s := t.snapshot(status)
	t.show.table(s)
	if t.page.Watched() {
		t.locate(ctx, s)
	}
	t.page.Show(s)
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

// count reads admissions and state hashes of all coordinators, and returns what
// they said.
func (t *testnet) count(ctx context.Context) []inspect.Coordinator {
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
				a.before = a.before.Plus(a.now)
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
	return status
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
		s.Admissions = s.Admissions.Plus(a.before.Plus(a.now))
	}
	for _, p := range t.coords {
		s.InvariantsBroken += p.past.Broken + p.last.Broken
	}
	for _, k := range t.kills {
		s.Kills = append(s.Kills, KillSummary{
			What: k.kill.What, AtS: seconds(k.at.Sub(t.began)), Orphans: len(k.orphans), GapMsMax: ms(k.gap),
		})
	}
	return s
}
