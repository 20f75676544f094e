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
	for _, id := range regionIDs(t.cfg.Regions) {
		watch.Go(func() { t.listen(watching, id, news) })
	}
	defer watch.Wait()
	defer stopWatching()

	var end <-chan time.Time
	if t.cfg.Duration > 0 {
		end = time.After(time.Until(t.began.Add(t.cfg.Duration)))
	}
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	t.poll(ctx)
	t.controlled, t.taken = t.control(), make(map[string]time.Duration)
	t.read(t.began)
	for _, p := range t.coords {
		t.taken[p.spec.Coordinator.GRPC] = p.last.CPU
	}
	alarm := time.NewTimer(t.untilNext())
	defer alarm.Stop()
	var leaving *departure
	for {
		select {
		case <-ctx.Done():
			return t.sumUp(), nil
		case <-end:
			if t.cfg.Depart == 0 {
				return t.sumUp(), nil
			}
			if leaving == nil {
				leaving = t.depart()
			}
			wait, over := leaving.next(ctx, t)
			if over {
				return t.sumUp(), nil
			}
			end = time.After(wait)
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
			t.moves.count(e, t.began)
			t.show.remember(t.describe(e))
		case now := <-poll.C:
			t.poll(ctx)
			t.read(now)
		}
	}
}

// listen passes on what happens in a region. What the table has no room for is
// dropped.
func (t *testnet) listen(ctx context.Context, id region.ID, news chan<- inspect.Event) {
	// It ends with ctx; what the region refuses to tell is not shown.
	_ = t.client.Watch(ctx, id, 0, func(e inspect.Event) error {
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
			if !p.answers() {
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
	t.shift(ctx)
	t.recovery(ctx)
	status := t.count(ctx)
	if t.plaza != nil {
		t.steady(status)
	}
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
		t.rescued(k)
		t.watchReform(ctx, k)
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
				o := k.orphan(p.last.ID, r.Stream)
				if len(r.Gaps) == 1 && (len(k.orphans) == 0 || o != nil) {
					k.gap = max(k.gap, r.Gaps[0])
					k.beyond = max(k.beyond, r.Gaps[0]-t.roundTrip(p, o))
				}
			}
		}
	}
}

// rescued notes who feeds the orphans of a kill now.
func (t *testnet) rescued(k *killed) {
	for _, p := range t.members {
		for _, r := range p.last.Received {
			if o := k.orphan(p.last.ID, r.Stream); o != nil && o.saviour == "" && r.Parent != k.parent {
				o.saviour = r.Parent
			}
		}
	}
}

// roundTrip is the distance of an orphan to its saviour; 0 without distances.
func (t *testnet) roundTrip(p *peer, o *orphan) time.Duration {
	m := t.distances(time.Now())
	if o == nil || m == nil {
		return 0
	}
	s := t.find(string(o.saviour))
	if s == nil {
		return 0
	}
	return (m.RTT(p.spec.Site, s.spec.Site) + m.RTT(s.spec.Site, p.spec.Site)) / 2
}

// orphan is the place of m in the tree of s if the kill cost it its parent.
func (k *killed) orphan(m region.MemberID, s region.StreamID) *orphan {
	for i, o := range k.orphans {
		if o.member == m && o.stream == string(s) {
			return &k.orphans[i]
		}
	}
	return nil
}

// A moment is a revision of a region, and an office a coordinator's part in one.
type (
	moment struct {
		region   string
		revision uint64
	}
	office struct{ region, coordinator string }
)

// tallyAdmissions counts over restarts, at which a coordinator begins anew.
type tallyAdmissions struct{ before, now inspect.Admissions }

// count reads admissions and state hashes of all coordinators, and returns what
// they said.
func (t *testnet) count(ctx context.Context) []inspect.Coordinator {
	status, _ := t.client.Status(ctx) // what does not answer has no Groups
	for _, s := range status {
		for _, g := range s.Groups {
			if g.State == "leader" && g.Region == string(regionID) {
				t.leading = s.Address
			}
			at := office{g.Region, s.Address}
			a := t.admissions[at]
			if g.Admissions.Accepted < a.now.Accepted {
				a.before = a.before.Plus(a.now)
			}
			a.now = g.Admissions
			t.admissions[at] = a
			if g.StateHash == "" {
				continue
			}
			when := moment{g.Region, g.Revision}
			if known, ok := t.hashes[when]; ok && known != g.StateHash {
				t.forked++
				t.log.Error("replicas differ at the same revision", "region", g.Region, "revision", g.Revision, "coordinator", s.Address)
			}
			t.hashes[when] = g.StateHash
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
	t.weigh(ctx, &s)
	if t.plaza != nil {
		s.Plaza = t.walked(ctx)
	}
	t.survey(ctx, &s)
	s.Boundary = t.boundaries()
	for _, k := range t.kills {
		sum := KillSummary{
			What: k.kill.What, AtS: seconds(k.at.Sub(t.began)), Orphans: len(k.orphans), GapMsMax: ms(k.gap), GapBeyondRTTMsMax: ms(k.beyond),
		}
		if k.kill.What == KillRegion {
			sum.Reformed = &ReformSummary{AfterS: seconds(k.reformed), Edges: len(k.edges), EdgesChanged: k.changed}
		}
		s.Kills = append(s.Kills, sum)
	}
	return s
}
