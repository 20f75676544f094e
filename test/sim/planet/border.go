package planet

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
)

const (
	// rest is how long a realm neither splits nor merges after it did.
	rest = time.Minute
	// recentre is after how many epochs a realm looks where its middle is.
	recentre = 15
	// centreSample is how many members a centre is chosen from and judged by.
	centreSample = 24
)

// borders does what concerns several realms, between epochs.
func (w *World) borders(ctx context.Context) error {
	if err := w.split(ctx); err != nil {
		return err
	}
	if err := w.merge(); err != nil {
		return err
	}
	err := w.each(ctx, len(w.realms), func(i int) error {
		if r := w.realms[i]; r != nil && (int(w.seconds(w.now))+r.id)%recentre == 0 {
			r.recentre()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.connect()
}

// split parts the realms that have outgrown their limit, each on its own.
func (w *World) split(ctx context.Context) error {
	var parents, children []*realm
	for _, r := range w.realms {
		if r != nil && r.members() >= w.cfg.RegionMax && r.now.After(r.restless) {
			parents = append(parents, r)
		}
	}
	for _, r := range parents {
		if err := w.found(r.centre, gates); err != nil {
			return err
		}
		children = append(children, w.realms[len(w.realms)-1])
	}
	w.splits += len(parents)
	err := w.each(ctx, len(parents), func(i int) error {
		movers := parents[i].half()
		if err := parents[i].move(movers, children[i]); err != nil {
			return err
		}
		for _, r := range []*realm{parents[i], children[i]} {
			r.recentre()
			r.restless = r.now.Add(rest)
		}
		return nil
	})
	for _, c := range children {
		w.rehomed += c.members()
		w.gatePlaces[c.id] = c.centre
	}
	return err
}

// half picks the members that are nearer to one of the two farthest corners: the
// way between those is the principal axis of the distances.
func (r *realm) half() []*person {
	all := r.byID()
	far := func(from *place) *person {
		return slices.MaxFunc(all, func(a, b *person) int {
			return cmp.Compare(r.w.geo.way(from, &a.place, r.w.geo.matrix), r.w.geo.way(from, &b.place, r.w.geo.matrix))
		})
	}
	one := far(&r.centre)
	other := far(&one.place)
	axis := func(p *person) float64 {
		return r.w.geo.way(&one.place, &p.place, r.w.geo.matrix) - r.w.geo.way(&other.place, &p.place, r.w.geo.matrix)
	}
	slices.SortStableFunc(all, func(a, b *person) int { return cmp.Compare(axis(a), axis(b)) })
	return all[:len(all)/2]
}

func (r *realm) byID() []*person {
	all := slices.Clone([]*person(r.ends))
	slices.SortFunc(all, func(a, b *person) int { return compare(a.id, b.id) })
	return all
}

// recentre looks where the middle of the realm is. The first realm is where its
// origin is at home, so that stays the middle.
func (r *realm) recentre() {
	if at := r.middle(); r.id > 0 {
		r.centre = at
	}
}

// middle is the place of a member from which the others are near.
func (r *realm) middle() place {
	all := r.byID()
	if len(all) == 0 {
		return r.centre
	}
	sample := make([]*person, 0, centreSample)
	for i := range min(centreSample, len(all)) {
		sample = append(sample, all[i*len(all)/min(centreSample, len(all))])
	}
	sum := func(p *person) (d float64) {
		for _, q := range sample {
			d += r.w.geo.rtt(&p.place, &q.place)
		}
		return d
	}
	r.sample = r.sample[:0]
	for _, p := range sample {
		r.sample = append(r.sample, p.place)
	}
	return slices.MinFunc(sample, func(a, b *person) int { return cmp.Compare(sum(a), sum(b)) }).place
}

// move rehomes members, those first who can feed most, so that the others find
// room.
func (r *realm) move(movers []*person, to *realm) error {
	order := map[region.MemberID]int{}
	for n := range r.region.Nodes(theStream) {
		order[n.Member] = len(order)
	}
	gone := slices.Clone(movers)
	slices.SortStableFunc(gone, func(a, b *person) int { return cmp.Compare(order[b.id], order[a.id]) })
	for _, p := range gone {
		if err := r.leave(p.id); err != nil {
			return err
		}
		r.part(p)
	}
	r.forget()
	slices.SortStableFunc(movers, func(a, b *person) int { return cmp.Compare(b.slots, a.slots) })
	for _, p := range movers {
		if err := to.settle(p); err != nil {
			return err
		}
		if err := to.enter(p.id); err != nil {
			return err
		}
		to.counts.bytes += bytesJoin
	}
	return nil
}

// forget drops the departures of those who do not live here any more, and the
// waiting among them.
func (r *realm) forget() {
	left := r.ends[:0]
	for _, p := range r.ends {
		if p.home == r {
			left = append(left, p)
		}
	}
	clear(r.ends[len(left):])
	slices.SortFunc(left, func(a, b *person) int { return cmp.Or(cmp.Compare(a.leaves, b.leaves), compare(a.id, b.id)) })
	r.ends = left // sorted, so a heap
}

// merge lets realms that have shrunk below a quarter join their neighbours.
func (w *World) merge() error {
	if w.growing {
		return nil
	}
	for _, r := range w.realms[1:] {
		if r == nil || r.members() >= w.cfg.RegionMax/4 || r.now.Before(r.restless) {
			continue
		}
		to := w.nearest(&r.centre, w.cfg.RegionMax/2, r)
		if to == nil || to.members()+r.members() > 3*w.cfg.RegionMax/4 {
			continue
		}
		w.merges++
		w.rehomed += r.members()
		if err := r.move(r.byID(), to); err != nil {
			return err
		}
		if err := w.dissolve(r); err != nil {
			return err
		}
		to.restless = w.now.Add(rest)
	}
	return nil
}

// dissolve ends an empty realm.
func (w *World) dissolve(r *realm) error {
	if err := w.detach(r); err != nil {
		return err
	}
	for _, d := range w.realms {
		if d != nil && d.upstream == r {
			d.upstream = nil
		}
	}
	w.realms[r.id] = nil
	w.done.add(&r.counts)
	return nil
}
