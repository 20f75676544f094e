package coordinator

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/skein-mesh/skein/coordinator/group"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg"
)

const (
	// reorganiseTick is how soon a tree is improved after it has changed.
	reorganiseTick = 250 * time.Millisecond
	// remeasureEvery is how often hops and forwarding times are brought up to date
	// in the log.
	remeasureEvery = 10 * time.Second
	// estimateEvery is the number of looks after which the leader compares trees with
	// what they could be although nothing says that they are any worse.
	estimateEvery = 6
	// leastCrowd is how many may come at a time without being a crowd.
	leastCrowd = 5
	// oneMove is how often there is, per member, the one improving move after a tree has
	// changed; as many as there are members may come one after the other. Where interest
	// changes all the time trees would never come to rest.
	oneMove = 4 * time.Minute
)

// A reorganiser looks after the trees of a region while its replica leads. Its
// goroutine, run, is the only one that begins rounds; a round's moves are carried
// out by goroutines that it waits for. It decides nothing alone: every move is
// shown to those it touches and goes through the decider, whose region.Move has
// the last word. What was agreed to is in the log; all else is forgotten with
// the office.
type reorganiser struct {
	*leadership
	cfg        *Reorganisation
	rounds     rounds
	objections *objections
	wishes     chan wish

	mu      sync.Mutex
	touched map[region.StreamID]bool
	arrived []time.Time // the latest admissions, oldest first; bounded
	// own are the steps that this leader decided, until they are over.
	own map[placing]region.MemberID
	// changes counts what happened to trees that was not its own doing, since they
	// were last planned thoroughly.
	changes int

	// Of run.
	moved  map[region.MemberID]time.Time
	looks  int
	streak int // looks in a row that found trees degraded
	unrest
	remeasured time.Time
	improving  *rate.Limiter
	rng        *rand.Rand
}

// A wish is an operator's order to reorganise.
type wish struct {
	stream region.StreamID // empty: all
	begun  chan uint64     // capacity 1: told the round
}

func newReorganiser(l *leadership) *reorganiser {
	return &reorganiser{
		leadership: l, cfg: &l.cfg.Reorganise, objections: newObjections(),
		wishes: make(chan wish), touched: map[region.StreamID]bool{}, moved: map[region.MemberID]time.Time{},
		own: map[placing]region.MemberID{}, unrest: unrest{deeper: tookOver},
		rng: rand.New(rand.NewPCG(uint64(l.since.UnixNano()), 0)), remeasured: l.since,
		improving: rate.NewLimiter(rate.Every(oneMove), region.DefaultMembers),
	}
}

// run looks after the trees until ctx ends.
func (o *reorganiser) run(ctx context.Context) {
	if o.cfg.Every == 0 {
		return
	}
	ticker := time.NewTicker(reorganiseTick)
	defer ticker.Stop()
	looked := o.since
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-o.wishes:
			o.obey(ctx, w)
			continue
		case <-ticker.C:
		}
		now := time.Now()
		quiet := o.quiet(now)
		if !quiet {
			o.improve(ctx)
		}
		o.remeasure(now)
		if now.Sub(looked) >= o.cfg.Every {
			looked = now
			o.look(ctx, quiet)
		}
	}
}

// remeasure brings the log up to date with what was measured, now and then.
func (o *reorganiser) remeasure(now time.Time) {
	if now.Sub(o.remeasured) < remeasureEvery {
		return
	}
	o.remeasured = now
	said := o.hub.forwarding()
	// What comes to nothing comes again.
	_ = o.submit(patient, func(d *draft) error { return errors.Join(d.reforward(said), d.remeasure()) })
}

// A placing is a member in a tree.
type placing struct {
	stream region.StreamID
	member region.MemberID
}

// noticed takes in what a change did to trees. What the reorganiser does itself is
// no reason for it to do more.
func (o *reorganiser) noticed(before *region.Region, a group.Applied) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a.Gap {
		clear(o.own)
		for s := range a.Region.Streams() {
			o.touched[s.ID] = true
			o.changes += a.Region.NodeCount(s.ID)
		}
		return
	}
	now := time.Now()
	for _, e := range a.Change.Edits {
		switch e := e.(type) {
		case region.SetNode:
			if _, placed := before.Node(e.Stream, e.Node.Member); !placed {
				o.arrived = append(o.arrived, now)
			}
			o.placed(before, e)
		case region.DropNode:
			delete(o.own, placing{e.Stream, e.Member})
			o.touched[e.Stream] = true
			o.changes++
		case region.Confirm:
			at := placing{e.Stream, e.Member}
			if _, own := o.own[at]; !own {
				o.touched[e.Stream] = true
			}
			delete(o.own, at)
		case region.DropStream:
			delete(o.touched, e.Stream)
			maps.DeleteFunc(o.own, func(p placing, _ region.MemberID) bool { return p.stream == e.Stream })
		}
	}
	o.arrived = o.arrived[max(0, len(o.arrived)-region.MaxMembers):]
}

// placed notes that a node has, or is to get, another parent. It is called with mu
// held.
func (o *reorganiser) placed(before *region.Region, e region.SetNode) {
	at := placing{e.Stream, e.Node.Member}
	was, known := before.Node(e.Stream, e.Node.Member)
	to, own := o.own[at]
	switch {
	case known && was.Parent == e.Node.Parent, own && to == e.Node.Parent:
	case own && e.Node.State == region.Standing: // its own move is reversed
		delete(o.own, at)
	default:
		delete(o.own, at)
		o.changes++
		if !known || e.Node.State == region.Standing {
			o.touched[e.Stream] = true
		}
	}
}

// owns makes steps its own before they are decided, and forgets them if they are
// not.
func (o *reorganiser) owns(steps []region.Step, decide func() error) error {
	note := func(note func(placing, region.MemberID)) {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, s := range steps {
			note(placing{s.Stream, s.Member}, s.To)
		}
	}
	note(func(p placing, to region.MemberID) { o.own[p] = to })
	err := decide()
	if err != nil {
		note(func(p placing, _ region.MemberID) { delete(o.own, p) })
	}
	return err
}

// quiet says whether trees are to be left alone: after an election, and while
// many come at a time.
func (o *reorganiser) quiet(now time.Time) bool {
	if now.Sub(o.since) < o.cfg.AfterElection || o.boundary.dividing() {
		return true
	}
	members := o.hub.current().MemberCount()
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.arrived) > 0 && now.Sub(o.arrived[0]) > o.cfg.CrowdWindow {
		o.arrived = o.arrived[1:]
	}
	return float64(len(o.arrived)) > max(leastCrowd, o.cfg.Crowd*float64(members))
}

// improve makes the one move, if there is any, that is worth its while now that a
// tree has changed.
func (o *reorganiser) improve(ctx context.Context) {
	o.mu.Lock()
	var stream region.StreamID
	for stream = range o.touched {
		delete(o.touched, stream)
		break
	}
	o.mu.Unlock()
	if stream == "" {
		return
	}
	now := time.Now()
	r := o.hub.current()
	known := o.objections.heed(o.rtts.view(now), now)
	list := costs(r, now)
	o.improving.SetLimitAt(now, rate.Every(oneMove/time.Duration(max(r.MemberCount(), 1))))
	o.improving.SetBurstAt(now, max(r.MemberCount(), leastCrowd))
	move, ok := improvement(r, stream, list.share(o.cfg.MinGain), now, known)
	if !ok || o.resting(move.Steps, now) || inTheWay(r, underWay(r), move.Steps) || !o.improving.AllowN(now, 1) {
		return
	}
	x := o.rounds.begin(byMembership, r.Revision(), list.total(), now)
	o.carryOut(ctx, x, []reorg.Move{move}, known, 0)
	o.end(ctx, x)
}

// improvement is what region.Improve decides, as a move that can be shown.
func improvement(r *region.Region, s region.StreamID, minGain float64, now time.Time, rtt region.RTT) (reorg.Move, bool) {
	edits := r.Improve(s, minGain, now, time.Second, rtt)
	if len(edits) == 0 {
		return reorg.Move{}, false
	}
	move := reorg.Move{Kind: reorg.Reparent}
	for _, e := range edits {
		set, ok := e.(region.SetNode)
		if !ok {
			continue
		}
		if was, ok := r.Node(set.Stream, set.Node.Member); ok && was.Parent != set.Node.Parent {
			move.Steps = append(move.Steps, region.Step{
				Stream: set.Stream, Member: set.Node.Member, From: was.Parent, To: set.Node.Parent,
			})
		}
	}
	if len(move.Steps) > 1 {
		move.Kind = reorg.Chain
	}
	gain, ok := saved(r, edits, now)
	move.Gain = gain
	return move, ok && len(move.Steps) > 0
}

// saved is what edits of nodes take off the total cost: that of the trees they touch.
func saved(r *region.Region, edits []region.Edit, now time.Time) (time.Duration, bool) {
	after := r.Clone()
	if after.Apply(r.Revision()+1, region.Change{Time: now, Base: r.Revision(), Edits: edits}) != nil {
		return 0, false
	}
	touched := map[region.StreamID]bool{}
	for _, e := range edits {
		switch e := e.(type) {
		case region.SetNode:
			touched[e.Stream] = true
		case region.DropNode:
			touched[e.Stream] = true
		}
	}
	var gain time.Duration
	for s := range touched {
		gain += costsOf(r, s, now).total() - costsOf(after, s, now).total()
	}
	return gain, true
}

// underWay are the moves that are not confirmed yet, whoever decided them.
func underWay(r *region.Region) []region.Step {
	var steps []region.Step
	for s := range r.Streams() {
		for n := range r.Nodes(s.ID) {
			if n.State == region.Reserved {
				steps = append(steps, region.Step{Stream: s.ID, Member: n.Member, From: n.Old, To: n.Parent})
			}
		}
	}
	return steps
}

// resting says whether a move would move somebody again who has only just moved.
func (o *reorganiser) resting(steps []region.Step, now time.Time) bool {
	for _, s := range steps {
		if now.Sub(o.moved[s.Member]) < o.cfg.Rest {
			return true
		}
	}
	return false
}
