package coordinator

import (
	"context"
	"sync"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// Where the sources of other regions' streams are, by the word of those who could be
// gateways, and who of them should be.

const (
	// regateEvery is how often a leader looks for better gateways, regateMost for how
	// many streams, one after the other.
	regateEvery = 10 * time.Second
	regateMost  = 8
	// maxSources bounds the publishers that are measured, maxGates those who measure
	// the way to one.
	maxSources = region.MaxStreams
	maxGates   = 16
)

// sources are round-trip times to publishers in other regions.
type sources struct {
	mu   sync.Mutex
	rtts map[region.MemberID]map[region.MemberID]time.Duration // by publisher and member
}

func newSources() *sources {
	return &sources{rtts: map[region.MemberID]map[region.MemberID]time.Duration{}}
}

// follow makes samples of a publisher welcome.
func (x *sources) follow(source region.MemberID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.rtts[source] == nil && len(x.rtts) < maxSources {
		x.rtts[source] = map[region.MemberID]time.Duration{}
	}
}

// observe takes a sample; of somebody who is not followed it is of no use. The least
// counts, since what adds to a round trip is not distance.
func (x *sources) observe(m, source region.MemberID, rtt time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	known := x.rtts[source]
	if before, ok := known[m]; known != nil && rtt > 0 && (ok && rtt < before || !ok && len(known) < region.MaxMembers) {
		known[m] = rtt
	}
}

// keep forgets the publishers that are of no interest any more.
func (x *sources) keep(followed map[region.MemberID]bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for source := range x.rtts {
		if !followed[source] {
			delete(x.rtts, source)
		}
	}
}

func (x *sources) of(source, m region.MemberID) (time.Duration, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	rtt, ok := x.rtts[source][m]
	return rtt, ok
}

// regate looks for better gateways, for as long as the office lasts.
func (l *leadership) regate(ctx context.Context) {
	ticker := time.NewTicker(regateEvery)
	defer ticker.Stop()
	followed := map[region.MemberID]bool{}
	for turn := 0; ; turn += regateMost {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		r := l.hub.current()
		var drawn []region.Stream
		for s := range r.Streams() {
			// With two in a tree either is as good a gateway.
			if s.From != "" && r.NodeCount(s.ID) > 2 {
				drawn = append(drawn, s)
			}
		}
		if turn >= len(drawn) {
			l.sources.keep(followed)
			turn = 0
			clear(followed)
		}
		for _, s := range drawn[turn:min(turn+regateMost, len(drawn))] {
			if source := l.consider(ctx, r, s); source != "" {
				followed[source] = true
			}
		}
	}
}

// consider has the way to the source of a stream measured, and what was measured
// before acted upon. It returns who the source is.
func (l *leadership) consider(ctx context.Context, r *region.Region, s region.Stream) region.MemberID {
	answer, err := l.replica.server.ask(ctx, s.From, s.ID, "")
	if err != nil || answer.Origin == nil {
		return "" // it is looked for again by whoever draws it
	}
	source := region.MemberID(answer.Origin.Id)
	l.sources.follow(source)
	asked := append([]region.MemberID{s.Origin}, r.Children(s.ID, s.Origin)...)
	for _, m := range asked[:min(len(asked), maxGates)] {
		if self, _ := r.Member(m); self.Home == "" {
			l.hub.probe(m, []*skeinv1.Peer{answer.Origin})
		}
	}
	placed := map[region.MemberID]bool{}
	for _, v := range answer.Visitors[:min(len(answer.Visitors), region.MaxMembers)] {
		placed[region.MemberID(v)] = true
	}
	away := func(m region.MemberID) (time.Duration, bool) { return l.sources.of(source, m) }
	ready := func(m region.MemberID) bool { return placed[m] }
	if l.better(r, s.ID, away, ready) {
		// The next turn tries again if this comes to nothing.
		_ = l.order(func(d *draft) error { return d.regate(s.ID, away, ready) })
	}
	return source
}

func (l *leadership) better(r *region.Region, id region.StreamID, away func(region.MemberID) (time.Duration, bool), ready func(region.MemberID) bool) (better bool) {
	l.rtts.use(time.Now(), func(rtt region.RTT) { better = len(r.Regate(id, away, ready, rtt)) > 0 })
	return better
}

// published is what this region says of a stream that is published here.
func (l *leadership) published(s region.Stream) *skeinv1.ResolveResponse {
	r := l.hub.current()
	answer := &skeinv1.ResolveResponse{Home: string(l.replica.region), Stream: skeinv1.FromStream(s)}
	if _, ok := r.Member(s.Origin); ok {
		answer.Origin = peerOf(r, s.Origin)
	}
	for n := range r.Nodes(s.ID) {
		if m, _ := r.Member(n.Member); m.Home != "" && n.State == region.Standing {
			answer.Visitors = append(answer.Visitors, string(n.Member))
		}
	}
	return answer
}
