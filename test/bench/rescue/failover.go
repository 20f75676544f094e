package rescue

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// A FailoverConfig says what is killed. Start from DefaultFailover.
type FailoverConfig struct {
	// Members besides the origin; every eighth, at least three, is a relay. Default 40.
	Members int
	// Kills of relays. Default 100.
	Kills int
	// RTT between any two members. Default 20 ms.
	RTT time.Duration
	// PPS of the stream. Default 50.
	PPS int
	// Executable is started with RelayCommand as its only argument.
	Executable string
}

// DefaultFailover returns the defaults named above, without Executable.
func DefaultFailover() FailoverConfig {
	return FailoverConfig{Members: 40, Kills: 100, RTT: 20 * time.Millisecond, PPS: 50}
}

func (c FailoverConfig) validate() error {
	if c.Members < 6 || c.Members > 500 || c.Kills < 1 || c.RTT < 0 || c.PPS < 1 || c.PPS > 1000 {
		return fmt.Errorf("%w: want 6 to 500 members, at least 1 kill, 1 to 1000 packets per second", region.ErrInvalid)
	}
	return nil
}

// A FailoverResult is what those found whose parent was killed.
type FailoverResult struct {
	Members int     `json:"members"`
	Relays  int     `json:"relays"`
	Kills   int     `json:"kills"`
	RTTMS   float64 `json:"rtt_ms"`
	Orphans int     `json:"orphans"`
	// Gaps are the longest times without a packet for a reader, repair included.
	GapP50 float64 `json:"gap_ms_p50"`
	GapP95 float64 `json:"gap_ms_p95"`
	GapP99 float64 `json:"gap_ms_p99"`
	GapMax float64 `json:"gap_ms_max"`
	// LostAfterRepair counts packets that did not come within 300 ms; Unharmed is
	// the share of orphans who lost none.
	LostAfterRepair uint64  `json:"lost_after_repair"`
	Unharmed        float64 `json:"orphans_without_loss"`
}

const (
	// observed is how long orphans are watched after a kill.
	observed = time.Second
	// arrangements bounds how often places are given before a kill.
	arrangements = 5
)

// A troupe is the tree in which relays are killed.
type troupe struct {
	*world
	cfg    FailoverConfig
	relays []*process
	leaves []*node
	logs   []*log
}

// Failover kills relays and reports what their children noticed.
func Failover(ctx context.Context, cfg FailoverConfig) (r FailoverResult, err error) {
	if err := cfg.validate(); err != nil {
		return r, err
	}
	w, err := newWorld(cfg.RTT, region.Stream{Kind: region.Audio, Layers: []region.Rate{64}, Codec: "opus"})
	if err != nil {
		return r, err
	}
	t := &troupe{world: w, cfg: cfg}
	defer t.close()
	if err := t.gather(ctx); err != nil {
		return r, err
	}
	src, err := w.origin.r.Publish(w.stream)
	if err != nil {
		return r, err
	}
	defer play(src, time.Second/time.Duration(cfg.PPS), 1, 160)()
	r.Members, r.Relays, r.Kills, r.RTTMS = cfg.Members, len(t.relays), cfg.Kills, float64(cfg.RTT)/1e6
	var gaps []time.Duration
	unharmed := 0
	for k := range cfg.Kills {
		if err := t.arrange(ctx); err != nil {
			return r, fmt.Errorf("before kill %d: %w", k+1, err)
		}
		victim := k % len(t.relays)
		for _, l := range t.logs {
			l.mark()
		}
		t.relays[victim].kill()
		if err := sleep(ctx, observed); err != nil {
			return r, err
		}
		for i, l := range t.logs {
			if i%len(t.relays) != victim {
				continue
			}
			gap, lost := l.since()
			gaps = append(gaps, gap)
			r.LostAfterRepair += lost
			if lost == 0 {
				unharmed++
			}
		}
		if t.relays[victim], err = w.start(ctx, cfg.Executable); err != nil {
			return r, err
		}
	}
	slices.Sort(gaps)
	quantile := func(q float64) float64 { return float64(gaps[int(q*float64(len(gaps)-1)+0.5)]) / 1e6 }
	r.Orphans, r.Unharmed = len(gaps), float64(unharmed)/float64(len(gaps))
	r.GapP50, r.GapP95, r.GapP99, r.GapMax = quantile(0.5), quantile(0.95), quantile(0.99), quantile(1)
	return r, nil
}

// gather starts everybody.
func (t *troupe) gather(ctx context.Context) error {
	relays := max(3, t.cfg.Members/8)
	for range relays {
		p, err := t.start(ctx, t.cfg.Executable)
		if err != nil {
			return err
		}
		t.relays = append(t.relays, p)
	}
	for range t.cfg.Members - relays {
		n, err := t.node()
		if err != nil {
			return err
		}
		l, err := t.read(n)
		if err != nil {
			return err
		}
		t.leaves, t.logs = append(t.leaves, n), append(t.logs, l)
	}
	return nil
}

// placeOf returns parent and standby of a leaf.
func (t *troupe) placeOf(i int) (parent, standby link.Peer) {
	n := len(t.relays)
	return t.relays[i%n].peer, t.relays[(i+1+i/n%(n-1))%n].peer
}

// arrange gives everybody a place and waits until all have theirs. Who has moved to its
// standby meanwhile, because its parent stalled on a busy machine, is given its place
// again, as coordinators would.
func (t *troupe) arrange(ctx context.Context) (err error) {
	for range arrangements {
		if err = t.assignAll(); err != nil {
			return err
		}
		before := make([]int, len(t.logs))
		for i, l := range t.logs {
			before[i] = l.count()
		}
		err = await(ctx, "places and packets", func() bool {
			return t.settled() && !slices.ContainsFunc(t.logs, func(l *log) bool {
				return l.count() < before[slices.Index(t.logs, l)]+t.cfg.PPS/5
			})
		})
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// assignAll gives everybody a place, under a new revision.
func (t *troupe) assignAll() error {
	t.revision++
	root := t.assignment(t.origin.peer, nil)
	for _, p := range t.relays {
		root.Children = append(root.Children, p.peer)
	}
	if err := t.origin.r.Assign(root); err != nil {
		return err
	}
	for r, p := range t.relays {
		a := t.assignment(p.peer, &t.origin.peer)
		for i, leaf := range t.leaves {
			parent, standby := t.placeOf(i)
			switch p.peer.ID {
			case parent.ID:
				a.Children = append(a.Children, leaf.peer)
			case standby.ID:
				a.Dependents = append(a.Dependents, leaf.peer)
			}
		}
		if err := p.assign(a); err != nil {
			return fmt.Errorf("relay %d: %w", r, err)
		}
	}
	for i, leaf := range t.leaves {
		parent, standby := t.placeOf(i)
		if err := leaf.r.Assign(t.assignment(leaf.peer, &parent, standby)); err != nil {
			return err
		}
	}
	return nil
}

// settled says whether all leaves draw from their parents and have their standbys.
func (t *troupe) settled() bool {
	for i, leaf := range t.leaves {
		parent, standby := t.placeOf(i)
		if leaf.parent() != parent.ID || !leaf.up(parent.ID) || !leaf.up(standby.ID) {
			return false
		}
	}
	return true
}

func (t *troupe) close() {
	for _, l := range t.logs {
		l.close()
	}
	for _, p := range t.relays {
		p.kill()
	}
	t.world.close()
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
