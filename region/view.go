package region

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// View picks what self needs to know to find its place in s: the whole tree, as
// far as self could hang there, or its MaxCandidates best places by what the
// coordinators know. Candidates are in that order. self need not be a member
// yet; it is then taken for one that could relay.
func (r *Region) View(s StreamID, self MemberID, layers LayerMask, rtt RTT) (View, error) {
	return r.ViewFrom(s, self, layers, nil, rtt)
}

// ViewFrom is View from one side of a division under way: of those who are apart from self
// it shows none, unless nobody else has room; see Admission.Apart.
func (r *Region) ViewFrom(s StreamID, self MemberID, layers LayerMask, apart func(MemberID) bool, rtt RTT) (View, error) {
	t := r.tree(s)
	if t == nil {
		return View{}, fmt.Errorf("%s: %w", s, ErrUnknownStream)
	}
	mask, err := t.stream.selects(layers)
	if err != nil {
		return View{}, err
	}
	v := View{Region: r.id, Generation: r.generation, Revision: r.revision, Stream: t.stream}
	w := viewer{survey: r.survey(t, r.clock), id: self, layers: mask, need: uint64(t.stream.Rate(mask)), spare: uint64(MaxRate), at: -1, rtt: rtt}
	defer w.survey.done()
	w.toll = r.Policy.Toll(DefaultForward, Hazard(0))
	if i := r.memberIDs.slot(self); i != none {
		w.at = w.survey.at(i)
		w.spare = uint64(r.members.at(i).free())
		w.toll = r.tollOf(r.members.at(i), r.clock)
	}
	w.sum()
	w.apart = apart
	list := w.rank()
	if apart != nil && !slices.ContainsFunc(list, func(x ranked) bool { return x.price != unusable }) {
		w.apart = nil
		list = w.rank()
	}
	v.Candidates = make([]Candidate, len(list))
	for i, x := range list {
		v.Candidates[i] = w.candidate(x)
	}
	return v, nil
}

// A viewer looks at a tree on behalf of a member.
type viewer struct {
	*survey
	id     MemberID
	layers LayerMask
	need   uint64
	spare  uint64
	toll   time.Duration
	at     int
	rtt    RTT
	apart  func(MemberID) bool // nil: nobody is
	delay  []time.Duration
	hazard []float64
}

// sum adds up delays and hazards from the root.
func (w *viewer) sum() {
	work := w.r.work()
	work.delay, work.hazard = sized(work.delay, len(w.order)), sized(work.hazard, len(w.order))
	w.delay, w.hazard = work.delay, work.hazard
	w.delay[0] = 0
	for i, n := range w.order {
		w.hazard[i] = Hazard(w.r.clock.Sub(w.r.members.at(n.member).Joined))
		if n.parent != none {
			p := w.survey.at(n.parent)
			w.delay[i] = w.delay[p] + w.r.members.at(n.parent).Forward + n.hop
			w.hazard[i] += w.hazard[p]
		}
	}
}

// A ranked is a candidate and the price of the best place there.
type ranked struct {
	at      int
	rtt     time.Duration // 0 if not known
	weakest int           // -1: none
	price   time.Duration
}

func (w *viewer) rank() []ranked {
	work := w.r.work()
	work.ranked = sized(work.ranked, len(w.order))
	all := work.ranked[:0]
	for i, n := range w.order {
		if w.layers&^n.layers != 0 || w.at >= 0 && w.below(i, w.at) || w.parted(n.member) {
			continue
		}
		x := w.weigh(i)
		if len(w.order) > MaxCandidates && x.price == unusable {
			continue
		}
		all = append(all, x)
	}
	all = w.cheapest(all)
	slices.SortFunc(all, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.price, b.price), cmp.Compare(w.r.name(w.order[a.at].member), w.r.name(w.order[b.at].member)))
	})
	return all[:min(len(all), MaxCandidates)]
}

// cheapest leaves out those for whom there is no room among MaxCandidates whatever
// their names are.
func (w *viewer) cheapest(all []ranked) []ranked {
	if len(all) <= MaxCandidates {
		return all
	}
	work := w.r.work()
	work.keys = sized(work.keys, len(all))
	for i, x := range all {
		work.keys[i] = priced(x.price, i)
	}
	few, last := make([]ranked, 0, 2*MaxCandidates), uint64(0)
	for h := newHeap(work.keys); len(h) > 0; {
		if len(few) >= MaxCandidates && h[0]>>placeBits != last {
			break
		}
		key := h.pop()
		few, last = append(few, all[key&(1<<placeBits-1)]), key>>placeBits
	}
	return few
}

func (w *viewer) parted(m slot) bool { return w.apart != nil && w.apart(w.r.name(m)) }

// unusable is the price of a candidate that has no place to offer.
const unusable = time.Duration(1 << 62)

// weigh finds what the node at position i can offer: a free place, or the one
// between it and its weakest child.
func (w *viewer) weigh(i int) ranked {
	n := w.order[i]
	d, hop := w.distance(n.member)
	x := ranked{at: i, rtt: d, weakest: -1, price: unusable}
	base := w.cost[i] + w.survey.toll[i] + hop
	free := w.r.room(w.t, n, nil, nil)
	if (spot{need: w.need, room: free}).judge() == 0 {
		x.price = base
	}
	best := unusable
	for _, child := range n.children {
		c := w.survey.at(child)
		k := w.order[c]
		rate := w.t.rate(k)
		s := spot{need: w.need, room: free + rate, passed: rate, spare: w.spare, deprives: k.layers&^w.layers != 0}
		if s.judge() != 0 || !w.r.settled(w.t, k) || w.parted(child) || w.at >= 0 && w.below(w.at, c) {
			continue
		}
		_, down := w.distance(child)
		price := base + time.Duration(w.size[c])*(base+w.toll+down-w.cost[c])
		if price < best {
			best, x.weakest = price, c
		}
	}
	x.price = min(x.price, best)
	return x
}

// distance from the viewer: the RTT if it is known, and the hop to reckon with.
func (w *viewer) distance(m slot) (known, hop time.Duration) {
	d, ok := w.rtt.RTT(w.id, w.r.name(m))
	if d <= 0 {
		return 0, unknownRTT / 2
	}
	if !ok {
		return 0, d / 2
	}
	return d, d / 2
}

func (w *viewer) candidate(x ranked) Candidate {
	n := w.order[x.at]
	m := w.r.members.at(n.member)
	c := Candidate{
		Member: m.ID, Endpoint: m.Endpoint, Parent: w.r.name(n.parent),
		Delay: w.delay[x.at], Forward: m.Forward, Hazard: w.hazard[x.at],
		Free: Rate(w.r.room(w.t, n, nil, nil)), Subtree: int(w.size[x.at]), RTT: x.rtt,
	}
	if x.weakest >= 0 {
		k := w.order[x.weakest]
		c.Weakest, c.WeakestSubtree, c.WeakestHop = w.r.name(k.member), int(w.size[x.weakest]), k.hop
		c.WeakestRTT, _ = w.distance(k.member)
	}
	return c
}
