package planet

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	epochLength = time.Second
	// growth is by how much a world may grow in an epoch while its members come.
	growth, leastGrowth = 0.08, 40
	// settling is the time between the last one's coming and the watch.
	settling = 30 * time.Second
)

// A World is one simulation. It is used by one goroutine; within an epoch it
// computes its realms on several.
type World struct {
	cfg   Config
	geo   *geography
	churn churn
	mix   mix
	rng   *rand.Rand
	begun time.Time
	now   time.Time
	// growing is true while members come; realms do not merge then.
	growing bool
	// people are all who ever came, by number. Realms read it, and write who lives
	// in them.
	people []*person
	// realms by number; nil are those that have merged.
	realms []*realm
	// gatePlaces is where the gates of each realm stand, as of this epoch.
	gatePlaces []place
	// done counts what happened in realms that have merged.
	done                    counts
	splits, merges, rehomed int
	workers                 int
}

// newWorld makes a world with as many realms as it will need at least; crowded
// places split them further.
func newWorld(c Config) (*World, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	w := &World{cfg: c, rng: rand.New(rand.NewPCG(c.Seed, 0)), begun: time.Unix(1_000_000_000, 0).UTC(), workers: c.Workers}
	w.now = w.begun
	if w.workers == 0 {
		w.workers = runtime.GOMAXPROCS(0)
	}
	var err error
	if w.churn, err = newChurn(c.Churn); err != nil {
		return nil, err
	}
	if w.mix, err = newMix(c.Uplinks); err != nil {
		return nil, err
	}
	if w.geo, err = newGeography(c.RTT, w.rng); err != nil {
		return nil, err
	}
	for i := range max(1, 5*c.Members/(4*c.RegionMax)) {
		slots := gates
		if i == 0 {
			slots = originSlots
		}
		if err := w.found(w.geo.settle(w.rng), slots); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// found makes a realm.
func (w *World) found(centre place, slots int) error {
	r, err := newRealm(w, len(w.realms), centre, slots)
	if err != nil {
		return err
	}
	w.realms = append(w.realms, r)
	w.gatePlaces = append(w.gatePlaces, centre)
	return nil
}

// seconds since the beginning.
func (w *World) seconds(t time.Time) float64 { return t.Sub(w.begun).Seconds() }

// members counts those present.
func (w *World) members() int {
	n := 0
	for _, r := range w.realms {
		if r != nil {
			n += r.members()
		}
	}
	return n
}

// epoch goes on by a second, in which newcomers come.
func (w *World) epoch(ctx context.Context, newcomers int) error {
	w.now = w.now.Add(epochLength)
	if err := w.welcome(ctx, newcomers); err != nil {
		return err
	}
	err := w.each(ctx, len(w.realms), func(i int) error {
		if r := w.realms[i]; r != nil {
			return r.epoch(w.now)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.borders(ctx)
}

// welcome makes newcomers and finds the realm for each: the nearest one that has
// room.
func (w *World) welcome(ctx context.Context, n int) error {
	people := make([]*person, n)
	for i := range people {
		p := &person{
			place: w.geo.settle(w.rng), slots: int16(w.mix.draw(w.rng)), crash: w.rng.Float64() < w.cfg.Crash,
			leaves: w.seconds(w.now) + w.churn.stay(w.rng), id: personID(len(w.people)),
		}
		w.people = append(w.people, p)
		people[i] = p
	}
	homes := make([]*realm, n)
	err := w.each(ctx, n, func(i int) error {
		homes[i] = w.nearest(&people[i].place, w.cfg.RegionMax, nil)
		return nil
	})
	for i, p := range people {
		home := homes[i]
		// Others of this epoch may have filled it.
		if home.load() >= w.cfg.RegionMax {
			home = w.nearest(&p.place, w.cfg.RegionMax, nil)
		}
		home.arrivals = append(home.arrivals, p)
	}
	return err
}

// load counts those who live here and those who are to.
func (r *realm) load() int { return r.members() + len(r.arrivals) }

// nearest is the realm whose centre is nearest among those with less than limit
// members; if there is none, the emptiest. One may be excepted.
func (w *World) nearest(p *place, limit int, except *realm) *realm {
	var best, emptiest *realm
	var least float64
	for _, r := range w.realms {
		if r == nil || r == except {
			continue
		}
		if emptiest == nil || r.load() < emptiest.load() {
			emptiest = r
		}
		if r.load() >= limit {
			continue
		}
		if d := w.geo.apart(p, &r.centre); best == nil || d < least {
			best, least = r, d
		}
	}
	if best == nil {
		return emptiest
	}
	return best
}

// each calls f(0) to f(n-1) on all workers and returns the error of the first.
func (w *World) each(ctx context.Context, n int, f func(int) error) error {
	var next atomic.Int64
	errs := make([]error, n)
	var wg sync.WaitGroup
	for range min(w.workers, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				errs[i] = f(i)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}
