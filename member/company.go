package member

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/skein-mesh/skein/member/interest"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

const (
	// MaxEncounters is how many Encounters wait for a slow reader; later ones are
	// told when there is room, as things are by then.
	MaxEncounters = 256
	// lingerFor is how long a stream that is not wanted any more is kept ready, and
	// lingerMost how many are. People come back, and the place in the tree costs
	// nothing but itself.
	lingerFor  = 5 * time.Minute
	lingerMost = 192
	// companyRetry is the pause after a stream could not be had.
	companyRetry = time.Second
	// beginMost is how many streams may be without a place at a time, readyMost how many
	// of them that are not drawn yet: who comes into a crowd, maybe with all of it, goes at
	// the pace at which places are given. One more is begun each time all the same.
	beginMost = 16
	readyMost = 4
	// readyEvery is how often it is looked at what is to be kept ready.
	readyEvery = 500 * time.Millisecond
)

// An EncounterKind says what an Encounter is about.
type EncounterKind uint8

// The kinds of encounters.
const (
	// Came: the stream is of interest now, its Subscription delivers.
	Came EncounterKind = iota + 1
	// Changed: it is of interest in another Detail.
	Changed
	// Went: it is of no interest any more. The Subscription is silent and may come
	// again, or ends.
	Went
)

// An Encounter is a stream of somebody around that comes, changes or goes.
type Encounter struct {
	Kind   EncounterKind
	Who    region.PresenceID // empty if the stream is wanted by its name
	Stream region.StreamID
	// Media is what the stream carries; 0 if it is wanted by its name.
	Media    region.Kind
	Detail   region.Detail
	Distance float64 // in metres, at the time
	// Subscription is the Presence's, which says what is wanted of it and closes it.
	// The application reads it: it may go on while the stream is of no interest, and
	// gets io.EOF in the end.
	Subscription *Subscription
}

// Encounters delivers the streams that come, change and go. It is closed when the
// Presence is over.
func (p *Presence) Encounters() <-chan Encounter { return p.encounters }

// A Bystander is somebody around, for those who draw them.
type Bystander struct {
	region.Neighbour
	Distance float64
	// Detail in which it is of interest, if it is.
	Detail     region.Detail
	Interested bool
}

// Around lists those around who are known, at the best place known.
func (p *Presence) Around() []Bystander {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Bystander
	chosen := p.planner.Chosen()
	for _, n := range p.crowd.Neighbours(time.Now()) {
		b := Bystander{Neighbour: n, Distance: p.at.Distance(n.Place)}
		if i := slices.IndexFunc(chosen, func(c interest.Choice) bool { return c.Who == n.Who }); i >= 0 {
			b.Interested, b.Detail = true, chosen[i].Detail
		}
		list = append(list, b)
	}
	return list
}

// A company is all the streams that a Presence has anything to do with. The
// Presence's loop owns it.
type company struct {
	*Presence
	streams map[region.StreamID]*acquaintance
	sent    interest.Whereabouts
	sentAt  time.Time
	buf     []byte
	lacking []region.StreamID // that are wanted and not there
	readied time.Time         // when it was last looked at what is to be kept ready
}

// An acquaintance is one of them.
type acquaintance struct {
	sub  *Subscription
	want interest.Want
	wish Wish
	last time.Time // when it was wanted last
	// told is what the application was told last; 0: nothing, or that it went.
	told   EncounterKind
	detail region.Detail
}

func newCompany(p *Presence) *company {
	return &company{Presence: p, streams: make(map[region.StreamID]*acquaintance)}
}

// run is the Presence's loop: it tells where it stands, listens to the others, and
// has what it wants.
func (p *Presence) run(ctx context.Context) {
	defer close(p.over)
	defer close(p.encounters)
	ticker := time.NewTicker(placeEvery)
	defer ticker.Stop()
	failed := make(map[region.StreamID]time.Time)
	for {
		select {
		case <-ctx.Done():
			p.company.end()
			return
		case now := <-ticker.C:
			p.report(now)
			p.company.speak(now)
			p.company.listen(now)
			p.company.reconcile(now, failed)
		}
	}
}

// report tells the coordinators what they have to know.
func (p *Presence) report(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.presence()
	cell := region.NextCell(p.cell, p.at, p.space.Edge)
	since := now.Sub(p.toldAt)
	switch {
	case p.stale || !slices.Equal(s.Carried, p.told.Carried) || s.Radius != p.told.Radius:
		if since < cellEvery {
			return
		}
		p.stale = false
		p.node.out.stand(p.who.Name(), skeinv1.FromPresence(s))
	case cell != p.cell && since >= cellEvery,
		p.at.Distance(p.told.Place) >= roughly*p.space.Edge && since >= roughEvery:
		p.node.out.stand(p.who.Name(), &skeinv1.Presence{Name: p.who.Name(), Spot: skeinv1.FromSpot(p.at), Moved: true})
	default:
		return
	}
	p.cell, p.told, p.toldAt = cell, s, now
}

// carriedByNobodyElse are the streams the node publishes, but for whereabouts and what
// other presences carry.
func (n *Node) carriedByNobodyElse(p *Presence) (own []region.Carried) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, pub := range n.publications {
		taken := false
		for _, o := range n.presences {
			taken = taken || o.places.want.Name == id || o != p && o.carries(id)
		}
		if !taken {
			own = append(own, region.Carried{Stream: id, Kind: pub.want.Kind})
		}
	}
	slices.SortFunc(own, func(a, b region.Carried) int { return cmp.Compare(a.Stream, b.Stream) })
	return own[:min(len(own), region.MaxCarried)]
}

// carries says whether it was told to carry a stream.
func (p *Presence) carries(id region.StreamID) bool {
	own := p.carried.Load()
	return own != nil && slices.ContainsFunc(*own, func(c region.Carried) bool { return c.Stream == id })
}

// speak tells others where it stands: at once if it has moved, or every restEvery.
func (c *company) speak(now time.Time) {
	c.mu.Lock()
	w := interest.Whereabouts{Place: c.at, Level: c.level}
	if c.regards != "" {
		w.Regards = interest.Hash(c.regards)
	}
	c.mu.Unlock()
	if now.Sub(c.sentAt) < restEvery && near(w, c.sent) {
		return
	}
	c.buf = w.Append(c.buf[:0])
	if c.places.sendAlong(c.buf) == nil {
		c.sent, c.sentAt = w, now
	}
}

// near says whether two whereabouts are the same to others.
func near(a, b interest.Whereabouts) bool {
	return a.Regards == b.Regards && math.Abs(a.Level-b.Level) < 0.05 &&
		a.Place.Distance(b.Place) < 0.02 && math.Abs(a.Place.Facing-b.Place.Facing) < 0.05
}

// listen hears where the others stand.
func (c *company) listen(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crowd.Tidy(now)
	for _, a := range c.streams {
		if !a.want.Places || a.want.State != interest.Heeded {
			continue
		}
		for {
			m, err := a.sub.TryMessage()
			if m == nil || err != nil {
				break
			}
			if w, err := interest.Parse(m); err == nil {
				c.crowd.Heard(a.want.Who, w, now)
			}
		}
	}
}

// reconcile has of every stream what is wanted of it.
func (c *company) reconcile(now time.Time, failed map[region.StreamID]time.Time) {
	c.mu.Lock()
	wants := c.planner.Plan(c.at, now)
	c.meet(now)
	c.mu.Unlock()
	for id, at := range failed {
		if now.Sub(at) > companyRetry {
			delete(failed, id)
		}
	}
	c.begin(wants, now, failed)
	kept := 0
	for id, a := range c.streams {
		w, wanted := wants[id]
		if wanted {
			a.want, a.last = w, now
		} else {
			a.want.State = interest.Ready
		}
		if a.over() || !wanted && now.Sub(a.last) > lingerFor {
			c.drop(id, a)
			if a.over() {
				failed[id] = now
			}
			continue
		}
		kept++
		c.adjust(a)
		c.tell(id, a)
	}
	if kept > lingerMost {
		c.prune(wants)
	}
}

// begin subscribes to what is wanted and not there yet, the most wanted first.
func (c *company) begin(wants map[region.StreamID]interest.Want, now time.Time, failed map[region.StreamID]time.Time) {
	c.lacking = c.lacking[:0]
	ready := now.Sub(c.readied) >= readyEvery
	if ready {
		c.readied = now
	}
	for id, w := range wants {
		if w.State == interest.Ready && !ready {
			continue
		}
		if _, lately := failed[id]; c.streams[id] == nil && !lately && !c.awaits(id, w, now) {
			c.lacking = append(c.lacking, id)
		}
	}
	if len(c.lacking) == 0 {
		return
	}
	began, waiting := 0, 0
	for _, a := range c.streams {
		if a.sub.place != nil && a.sub.place.waits() {
			waiting++
		}
	}
	for _, state := range [...]interest.State{interest.Present, interest.Heeded, interest.Ready} {
		most := beginMost
		if state == interest.Ready {
			most = readyMost
		}
		for _, id := range c.lacking {
			if began > 0 && began+waiting >= most {
				break
			}
			w := wants[id]
			if w.State != state {
				continue
			}
			sub, _, err := c.node.subscribe(id)
			if err != nil {
				failed[id] = now
				continue
			}
			began++
			c.streams[id] = &acquaintance{sub: sub, want: w, last: now}
		}
	}
}

// over says whether the stream has ended: then its reading has, too.
func (a *acquaintance) over() bool { return a.sub.sink.Closed() }

// adjust tells the relay what is wanted.
func (c *company) adjust(a *acquaintance) {
	wish := Wish{
		Paused: a.want.State == interest.Ready, Size: a.want.Size, Priority: a.want.Priority,
		Voice: a.want.Kind == region.Audio,
	}
	if wish.Paused {
		wish = Wish{Paused: true}
	}
	if wish != a.wish {
		a.sub.Want(wish)
		a.wish = wish
	}
}

// tell tells the application, if there is room.
func (c *company) tell(id region.StreamID, a *acquaintance) {
	present := a.want.State == interest.Present
	kind := EncounterKind(0)
	switch {
	case present && a.told == 0:
		kind = Came
	case present && a.detail != a.want.Detail:
		kind = Changed
	case !present && a.told != 0:
		kind = Went
	default:
		return
	}
	select {
	case c.encounters <- Encounter{
		Kind: kind, Who: a.want.Who, Stream: id, Media: a.want.Kind,
		Detail: a.want.Detail, Distance: a.want.Distance, Subscription: a.sub,
	}:
		a.told, a.detail = kind, a.want.Detail
		if kind == Went {
			a.told = 0
		}
	default:
	}
}

// drop ends a subscription.
func (c *company) drop(id region.StreamID, a *acquaintance) {
	a.want.State = interest.Ready
	c.tell(id, a)
	_ = a.sub.Close() // it has ended by itself before, or ends now
	delete(c.streams, id)
}

// prune drops those that were not wanted for the longest time.
func (c *company) prune(wants map[region.StreamID]interest.Want) {
	var idle []region.StreamID
	for id := range c.streams {
		if _, wanted := wants[id]; !wanted {
			idle = append(idle, id)
		}
	}
	slices.SortFunc(idle, func(a, b region.StreamID) int { return c.streams[a].last.Compare(c.streams[b].last) })
	for _, id := range idle[:min(len(idle), len(c.streams)-lingerMost)] {
		c.drop(id, c.streams[id])
	}
}

// end drops all.
func (c *company) end() {
	for id, a := range c.streams {
		c.drop(id, a)
	}
}
