package planet

import (
	"cmp"
	"math"
	"slices"

	"github.com/skein-mesh/skein/region"
)

const (
	// mostDownstream bounds the realms that draw the stream from one, and
	// perDownstream is how many members it has for each.
	mostDownstream, perDownstream = 24, 16
	// within is the delay from a realm's root to where it feeds others, in ms, about,
	// and hysteresis what is left of a delay where another upstream, or place in it, is worth it.
	within, hysteresis = 20, 0.85
)

// detach takes the gates of a realm out of its upstream.
func (w *World) detach(r *realm) error {
	up := r.upstream
	r.upstream = nil
	if up == nil {
		return nil
	}
	for k := range gates {
		id := gateID(r.id, k)
		up.gatesWanted = slices.DeleteFunc(up.gatesWanted, func(m region.MemberID) bool { return m == id })
		up.waiting = slices.DeleteFunc(up.waiting, func(m region.MemberID) bool { return m == id })
		if _, ok := up.region.Member(id); ok {
			if err := up.leave(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// connect finds an upstream for the realms that have none, and moves the root of
// each to whoever feeds it by now.
func (w *World) connect() error {
	downstream := make([]int, len(w.realms))
	for _, r := range w.realms {
		if r != nil && r.upstream != nil {
			downstream[r.upstream.id]++
		}
	}
	delay := w.depths()
	for _, r := range w.realms {
		if r == nil || r.id == 0 {
			continue
		}
		if err := w.reconsider(r, delay, downstream); err != nil {
			return err
		}
		if feeder, ok := r.fedBy(); ok {
			if at := *r.upstream.where(feeder); at != r.feeder {
				r.feeder, r.moved = at, true
			}
		}
		if at := r.gateway(); at != w.gatePlaces[r.id] {
			w.gatePlaces[r.id] = at
			if r.upstream != nil {
				r.upstream.moved = true
			}
		}
	}
	return nil
}

// reconsider gives a realm an upstream if it has none or, when its turn comes,
// could have a much nearer one.
func (w *World) reconsider(r *realm, delay []float64, downstream []int) error {
	turn := (int(w.seconds(w.now))+r.id)%recentre == 0
	if r.members() == 0 || r.upstream != nil && !turn {
		return nil
	}
	up := w.choose(r, delay, downstream)
	if up == nil || up == r.upstream {
		return nil
	}
	if r.upstream != nil {
		if now := delay[r.id]; now < unconnected && delay[up.id]+w.geo.rtt(&up.centre, &r.centre)/2+within > hysteresis*now {
			return nil
		}
		downstream[r.upstream.id]--
		if err := w.detach(r); err != nil {
			return err
		}
	}
	r.upstream = up
	downstream[up.id]++
	for k := range gates {
		up.gatesWanted = append(up.gatesWanted, gateID(r.id, k))
	}
	return nil
}

// drawsFrom says whether a realm draws the stream from another one, directly or
// through others.
func (r *realm) drawsFrom(other *realm) bool {
	for up := r; up != nil; up = up.upstream {
		if up == other {
			return true
		}
	}
	return false
}

// fedBy is the member of the upstream realm that feeds this one: the parent of
// the gate that gets the stream first.
func (r *realm) fedBy() (feeder region.MemberID, ok bool) {
	if r.upstream == nil {
		return "", false
	}
	least := region.MaxDelay
	for k := range gates {
		n, here := r.upstream.region.Node(theStream, gateID(r.id, k))
		if !here {
			continue
		}
		if delay, _ := r.upstream.region.Delay(theStream, n.Member); !ok || delay < least {
			feeder, least, ok = n.Parent, delay, true
		}
	}
	return feeder, ok
}

// gateway is where the child of the root stands that feeds most.
func (r *realm) gateway() place {
	best, most := r.centre, 0
	for _, c := range r.region.Children(theStream, root) {
		if n := len(r.region.Children(theStream, c)); n >= most && gateOf(c) < 0 {
			best, most = *r.where(c), n+1
		}
	}
	return best
}

// regate moves gates of downstream realms to places where they get the stream
// much sooner, for what hangs below them is more than one member.
func (r *realm) regate() error {
	var here []region.Node
	for n := range r.region.Nodes(theStream) {
		if gateOf(n.Member) >= 0 {
			here = append(here, n)
		}
	}
	for _, n := range here {
		if err := r.moveGate(n); err != nil {
			return err
		}
	}
	return nil
}

func (r *realm) moveGate(n region.Node) error {
	down := r.w.realms[gateOf(n.Member)]
	proposals, least := r.offers(down)
	now, _ := r.region.Delay(theStream, n.Parent)
	if len(proposals) == 0 || least > hysteresis*(ms(now)+down.mean(r.where(n.Parent))) {
		return nil
	}
	_, err := r.admit(n.Member, region.Gateway, proposals)
	return err
}

// offers are the free places from which a downstream realm would get the stream
// soonest, and how late its members would have it from the first of them, one by
// one, in ms.
func (r *realm) offers(down *realm) (best []region.Proposal, least float64) {
	type offer struct {
		region.Proposal
		price float64
	}
	var all []offer
	for n := range r.region.Nodes(theStream) {
		if r.region.Free(n.Member) < rate || gateOf(n.Member) >= 0 {
			continue
		}
		delay, _ := r.region.Delay(theStream, n.Member)
		all = append(all, offer{region.Proposal{Parent: n.Member, ParentDelay: delay}, ms(delay) + down.mean(r.where(n.Member))})
	}
	slices.SortFunc(all, func(a, b offer) int { return cmp.Or(cmp.Compare(a.price, b.price), compare(a.Parent, b.Parent)) })
	for _, o := range all[:min(len(all), region.MaxProposals)] {
		best = append(best, o.Proposal)
	}
	if len(all) > 0 {
		least = all[0].price
	}
	return best, least
}

// mean is how long a packet is under way to the members of the realm if all got
// it from the place given, in ms.
func (r *realm) mean(from *place) float64 {
	sum := 0.0
	for i := range r.sample {
		sum += r.w.geo.rtt(from, &r.sample[i]) / 2
	}
	return sum / float64(max(len(r.sample), 1))
}

// choose picks the upstream by the delay that the stream would have on its way
// here: never a realm that draws from this one.
func (w *World) choose(r *realm, delay []float64, downstream []int) *realm {
	var best *realm
	least := unconnected
	for i, up := range w.realms {
		// What costs least to find out first: a large world asks this millions of times.
		if up == nil || delay[i] >= least {
			continue
		}
		d := delay[i] + w.geo.rtt(&up.centre, &r.centre)/2
		if d >= least || downstream[i] >= up.mayFeed() && up != r.upstream || up.drawsFrom(r) {
			continue
		}
		best, least = up, d
	}
	return best
}

// mayFeed is how many realms may draw the stream from this one.
func (r *realm) mayFeed() int {
	n := r.members() / perDownstream
	if r.id == 0 {
		n += originSlots / gates / 2
	}
	return min(n, mostDownstream)
}

// unconnected is the delay to a realm that does not get the stream.
var unconnected = math.Inf(1)

// depths estimates the delay to the middle of each realm, by number, in ms;
// unconnected if it does not hang below the origin.
func (w *World) depths() []float64 {
	delay := make([]float64, len(w.realms))
	for i := range delay {
		delay[i] = unconnected
	}
	delay[0] = within
	for again := true; again; {
		again = false
		for i, r := range w.realms {
			if r == nil || r.upstream == nil || delay[i] < unconnected {
				continue
			}
			if up := delay[r.upstream.id]; up < unconnected {
				delay[i] = up + w.geo.rtt(&r.upstream.centre, &r.centre)/2 + within
				again = true
			}
		}
	}
	return delay
}
