package world

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

const (
	// voiceRate of what everybody in a crowd publishes, kbit/s.
	voiceRate = region.Rate(40)
	// entriesPerMinute are what a member whose interest changes may cost the log.
	entriesPerMinute = 2
	// prompt is how soon the first packet of what is newly wanted is to be there.
	prompt = 400 * time.Millisecond
)

// A throng is members that all publish their voice, and listen to some of the others:
// to whom changes all the time.
type throng struct {
	*world
	list   []*participant
	ears   int           // how many each listens to
	every  time.Duration // how often each swaps one for another
	stop   chan struct{}
	walk   sync.WaitGroup
	mu     sync.Mutex
	heard  []time.Duration // from wanting a voice to its first packet
	missed int             // voices that were given up after a while without any
	swaps  int
}

func voiceOf(p *participant) region.StreamID { return region.StreamID("plaza/" + p.name) }

// gather lets so many come, publish, and begin to listen.
func (w *world) gather(uplinks []region.Rate, ears int, every time.Duration) *throng {
	w.t.Helper()
	c := &throng{world: w, list: w.populate(uplinks...), ears: ears, every: every}
	for _, p := range c.list {
		cam := w.camera(voiceOf(p))
		cam.kind, cam.rate = region.Audio, voiceRate
		if err := p.film(cam); err != nil {
			w.t.Fatal(err)
		}
	}
	return c
}

// stroll lets everybody change whom it listens to until halt.
func (c *throng) stroll() {
	c.stop = make(chan struct{})
	for i, p := range c.list {
		rng := rand.New(rand.NewPCG(c.seed, uint64(i)))
		c.walk.Go(func() { c.wander(p, rng, c.stop) })
	}
}

func (c *throng) halt() {
	close(c.stop)
	c.walk.Wait()
}

func (c *throng) wander(p *participant, rng *rand.Rand, stop chan struct{}) {
	timer := time.NewTimer(rand.N(c.every))
	for {
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		timer.Reset(c.every/2 + time.Duration(rng.Int64N(int64(c.every))))
		if p.node == nil {
			return
		}
		for len(p.views) >= c.ears {
			ids := make([]region.StreamID, 0, len(p.views))
			for id := range p.views {
				ids = append(ids, id)
			}
			slices.Sort(ids)
			c.deaf(p, ids[rng.IntN(len(ids))])
		}
		for range 20 {
			to := c.list[rng.IntN(len(c.list))]
			if id := voiceOf(to); to != p && to.node != nil && p.views[id] == nil {
				p.watch(id)
				break
			}
		}
		c.mu.Lock()
		c.swaps++
		c.mu.Unlock()
	}
}

// deaf ends a subscription and takes down how soon it began.
func (c *throng) deaf(p *participant, id region.StreamID) {
	v := p.views[id]
	delete(p.views, id)
	v.leave()
	v.mu.Lock()
	defer v.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !v.came.IsZero():
		c.heard = append(c.heard, v.came.Sub(v.began))
		if v.lost > 0 {
			c.note("%s lost %d of %s", p, v.lost, id)
		}
	case time.Since(v.began) > prompt:
		c.missed++
	}
}

// begin counts anew.
func (c *throng) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard, c.missed, c.swaps = nil, 0, 0
}

// promptness is the part of what was wanted that was there in time, and the time
// within which 95 % were.
func (c *throng) promptness() (share float64, p95 time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.heard)
	if len(c.heard) == 0 {
		return 0, 0
	}
	n, _ := slices.BinarySearch(c.heard, prompt)
	return float64(n) / float64(len(c.heard)+c.missed), c.heard[len(c.heard)*95/100]
}

// entries counts what the log has taken in so far.
func (w *world) entries() int {
	w.judge.mu.Lock()
	defer w.judge.mu.Unlock()
	return len(w.judge.steps)
}

// overdrawn says whose local children draw more than the coordinators have delegated,
// by what the children say: nothing rests on the parent's word.
func (c *throng) overdrawn() error {
	draws := map[region.MemberID]region.Rate{}
	for _, p := range c.present() {
		for _, s := range p.node.Stats().Streams {
			if s.Local {
				draws[s.Parent] += voiceRate
			}
		}
	}
	leader := c.leader()
	if leader == nil {
		return nil
	}
	r := leader.server.Region(home)
	for _, p := range c.present() {
		m, _ := r.Member(p.node.ID())
		now := p.node.Stats()
		if now.Leaf.Used > m.Leaf || now.Leaf.Used > m.Uplink {
			return fmt.Errorf("%s feeds %d kbit/s by itself, by its own word, of %d", p, now.Leaf.Used, m.Leaf)
		}
		// A child may not know yet that it was let go of.
		if over := draws[m.ID]; over > m.Leaf+2*voiceRate {
			return fmt.Errorf("%s feeds %d kbit/s by itself, by its children's word, of %d", p, over, m.Leaf)
		}
		if now.Sending > m.Uplink+m.Uplink/10 {
			return fmt.Errorf("%s sends %d kbit/s of %d", p, now.Sending, m.Uplink)
		}
	}
	return nil
}

// watchBudgets looks every second, for so long, whether anybody overdraws.
func (c *throng) watchBudgets(span time.Duration) {
	for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(time.Second) {
		if err := c.overdrawn(); err != nil {
			c.fault("%v", err)
			return
		}
	}
}

// local counts the places that no tree knows, and those in trees.
func (c *throng) local() (local, trees int) {
	for _, p := range c.present() {
		for _, s := range p.node.Stats().Streams {
			switch {
			case s.Local:
				local++
			case s.Parent != "":
				trees++
			}
		}
	}
	return local, trees
}

// control is the bytes of all that is no media, by member and second, since before.
func (c *throng) control() member.ControlStats {
	var sum member.ControlStats
	for _, p := range c.present() {
		sum.Add(p.node.Stats().Control)
	}
	return sum
}

// crowded uplinks: half of them may go to leaves.
func crowded(count int) []region.Rate {
	sizes := []region.Rate{2000, 1000, 4000, 600}
	var list []region.Rate
	for i := range count {
		list = append(list, sizes[i%len(sizes)])
	}
	return list
}

// In a crowd whose interest changes all the time the coordinators have next to
// nothing to do, everybody hears soon whom it wants to hear, and no budget is
// overdrawn. SKEIN_MEMBERS=50 asks for that many, who listen to 20 each.
func TestACrowdChangesItsInterest(t *testing.T) {
	long(t)
	inWorld(t, 1, 3, func(w *world) {
		members, ears, warm, span := 32, 8, time.Minute, time.Minute
		if n := number(t, membersVariable); n > 0 {
			members, ears, warm, span = int(n), 20, 3*time.Minute, 30*time.Second
		}
		c := w.gather(crowded(members), ears, 800*time.Millisecond)
		c.stroll()
		time.Sleep(warm)
		c.begin()
		before, bytes := w.entries(), c.control()
		c.watchBudgets(span)
		after, swaps := c.control(), c.swaps
		entries := float64(w.entries()-before) / float64(len(c.list)) / span.Minutes()
		local, trees := c.local()
		share, p95 := c.promptness()
		links := 0
		for _, p := range c.list {
			links += p.node.Stats().Links
		}
		n := float64(len(c.list)) * span.Seconds()
		t.Logf("%.1f changes per member and second; %.2f entries per member and minute; %.2f %% heard within %v, 95 %% within %v; %d places are local, %d in trees; %d links",
			float64(2*swaps)/n, entries, 100*share, prompt, p95, local, trees, links/len(c.list))
		t.Logf("control, bytes per member and second: %s", apart(bytes, after, func(b uint64) float64 { return float64(b) / n }))
		if entries > entriesPerMinute {
			t.Errorf("%.2f entries per member and minute, %d are enough", entries, entriesPerMinute)
		}
		if share < 0.99 || p95 > prompt {
			t.Errorf("%.2f %% heard within %v, 95 %% within %v", 100*share, prompt, p95)
		}
		c.halt()
	})
}

// uplinks gives everybody the same.
func uplinks(count int, each region.Rate) []region.Rate {
	return slices.Repeat([]region.Rate{each}, count)
}

// busiest is who feeds most leaves by itself.
func (c *throng) busiest() (most *participant) {
	leaves := 0
	for _, p := range c.present() {
		if n := p.node.Stats().Leaf.Children; n > leaves {
			most, leaves = p, n
		}
	}
	if most == nil {
		c.t.Fatal("nobody feeds anybody by itself")
	}
	return most
}

// A crowd stands still, and who feeds most of it by itself dies: its leaves go on with
// other neighbours, and miss nothing of what others say.
func TestLeavesOutliveWhoFedThem(t *testing.T) {
	inWorld(t, 2, 3, func(w *world) {
		c := w.gather(uplinks(12, 2000), 5, 500*time.Millisecond)
		c.stroll()
		time.Sleep(30 * time.Second)
		c.halt()
		time.Sleep(5 * time.Second)
		dead := c.busiest()
		var list []*viewer
		for _, p := range c.list {
			for id, v := range p.views {
				if p != dead && id != voiceOf(dead) {
					list = append(list, v)
				}
			}
		}
		mark(list)
		w.note("%s feeds %d leaves", dead, dead.node.Stats().Leaf.Children)
		dead.kill()
		time.Sleep(10 * time.Second)
		w.unbroken(list, rescue)
	})
}

// While there are no coordinators at all, interest changes as before; when they are
// back they know nothing of it, and nothing has to be corrected.
func TestInterestNeedsNoCoordinators(t *testing.T) {
	inWorld(t, 3, 3, func(w *world) {
		c := w.gather(uplinks(12, 2000), 5, 500*time.Millisecond)
		c.stroll()
		time.Sleep(40 * time.Second)
		for _, s := range w.coordinators {
			s.kill()
		}
		c.begin()
		time.Sleep(40 * time.Second)
		share, p95 := c.promptness()
		t.Logf("without coordinators %.1f %% heard within %v, 95 %% within %v", 100*share, prompt, p95)
		if share < 0.95 {
			t.Errorf("only %.1f %% heard within %v", 100*share, prompt)
		}
		for _, s := range w.coordinators {
			s.start()
		}
		w.until("somebody leads", func() bool { return w.leader() != nil })
		time.Sleep(20 * time.Second)
		c.begin()
		c.watchBudgets(20 * time.Second)
		if share, _ := c.promptness(); share < 0.99 {
			t.Errorf("with them only %.1f %% heard within %v", 100*share, prompt)
		}
		c.halt()
	})
}

// Uplinks are hardly enough for what everybody wants: budgets run out, neighbours are
// refused and go elsewhere, and nobody ever sends more than it may.
func TestBudgetsRunOut(t *testing.T) {
	inWorld(t, 4, 3, func(w *world) {
		c := w.gather(uplinks(12, 400), 6, 800*time.Millisecond)
		c.stroll()
		c.watchBudgets(time.Minute)
		c.halt()
		var admitted, refused uint64
		budgets := 0
		r := w.leader().server.Region(home)
		for _, p := range c.list {
			leaf := p.node.Stats().Leaf
			admitted, refused = admitted+leaf.Admitted, refused+leaf.Refused
			if m, _ := r.Member(p.node.ID()); m.Leaf > 0 {
				budgets++
			}
		}
		t.Logf("%d were admitted, %d refused; %d of %d have a budget at last", admitted, refused, budgets, len(c.list))
		if refused == 0 || budgets == 0 {
			t.Error("that is no shortage, or nobody feeds anybody")
		}
		var list []*viewer
		for _, p := range c.list {
			for _, v := range p.views {
				list = append(list, v)
			}
		}
		mark(list)
		w.seen(list, 25)
		// When nobody wants anything any more the budgets go back.
		for _, p := range c.list {
			for id := range p.views {
				c.deaf(p, id)
			}
		}
		w.within(patience+time.Minute, "budgets have gone back", func() error {
			r := w.leader().server.Region(home)
			for _, p := range c.list {
				if m, _ := r.Member(p.node.ID()); m.Leaf > 0 {
					return fmt.Errorf("%s has %d; it says %+v", m.Name, m.Leaf, p.node.Stats().Leaf)
				}
			}
			return nil
		})
	})
}

// Who may not hear a voice hears it from nobody: not by the coordinators' word, and not
// from a neighbour.
func TestWhoMayNotListen(t *testing.T) {
	var mu sync.Mutex
	kept := map[region.MemberID]bool{}
	Bubble(t, standstill, func(t *testing.T) {
		w := newWorld(t, 5)
		w.tune = func(cfg *coordinator.Config) {
			cfg.MayDraw = func(id region.MemberID) []region.StreamID {
				mu.Lock()
				defer mu.Unlock()
				if kept[id] {
					return []region.StreamID{"plaza/m1", "plaza/m2", "plaza/m3", "plaza/m4"}
				}
				return []region.StreamID{"plaza/*"}
			}
		}
		w.found(3)
		c := w.gather(uplinks(10, 2000), 4, 500*time.Millisecond)
		outsider := w.participant(2000)
		mu.Lock()
		kept[outsider.cfg.Credentials.ID()] = true
		mu.Unlock()
		outsider.join()
		c.stroll()
		for range 3 {
			for _, p := range c.list[:4] {
				v := outsider.watch(voiceOf(p))
				w.seen([]*viewer{v}, 5)
				c.deaf(outsider, voiceOf(p))
			}
		}
		for _, p := range c.list[4:] {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			sub, err := outsider.node.Subscribe(ctx, voiceOf(p))
			cancel()
			if !errors.Is(err, region.ErrForbidden) {
				w.fault("it may not hear %s: %v", p, err)
				if sub != nil {
					_ = sub.Close()
				}
			}
		}
		c.halt()
	})
}
