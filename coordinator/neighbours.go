package coordinator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Communities that trust each other in part: the side that asks.

const (
	// greetEvery is how often a leader tells other communities of its region, and hears
	// of theirs; enforceEvery is how soon an agreement that has ended has ended for all.
	greetEvery   = 5 * time.Second
	enforceEvery = 500 * time.Millisecond
	// greetMost bounds the coordinators of one community that are told.
	greetMost = 32
	// recheckMost bounds the streams of which it is asked at a time whether they may
	// still be drawn.
	recheckMost = 16
)

// neighbour tells the communities that streams are drawn from of this region, and
// hears of theirs, for as long as the office lasts.
func (l *leadership) neighbour(ctx context.Context) {
	ticker := time.NewTicker(enforceEvery)
	defer ticker.Stop()
	greeted := map[string]time.Time{} // by community
	denied := map[region.StreamID]bool{}
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		state := l.replica.group.State()
		for _, a := range state.Agreements {
			if len(a.Seeds) > 0 && time.Since(greeted[a.Community]) >= greetEvery {
				greeted[a.Community] = time.Now()
				l.greet(ctx, a)
				l.recheck(ctx, state.Region, a, denied)
			}
		}
	}
}

// uphold sees to it that nothing goes on but what was agreed on, for as long as the
// office lasts. It waits for nobody.
func (l *leadership) uphold(ctx context.Context) {
	ticker := time.NewTicker(enforceEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		l.enforce(l.replica.group.State())
		l.replica.server.abroad.keep(l.replica.server.trusts)
	}
}

// enforce ends what no agreement allows (any more): visits from other communities,
// their places in trees, and streams that are drawn from there.
func (l *leadership) enforce(state *group.State) {
	r := state.Region
	for m := range r.Members() {
		c := m.Home.Community()
		if c == "" {
			continue
		}
		here := stay{m.ID, m.Lease}
		a, ok := state.Agreement(c)
		if !ok {
			_ = l.order(func(d *draft) error { return d.leave(here, false) })
			continue
		}
		for id := range r.Places(m.ID) {
			if !a.Shares(id) {
				_ = l.order(func(d *draft) error { return d.release(id, here) })
			}
		}
	}
	for s := range r.Streams() {
		if c := s.From.Community(); c != "" {
			if _, ok := state.Agreement(c); !ok {
				l.endDrawn(r, s)
			}
		}
	}
}

// endDrawn ends a stream of another community here.
func (l *leadership) endDrawn(r *region.Region, s region.Stream) {
	if gateway, ok := r.Member(s.Origin); ok {
		l.lookups.forget(s.ID)
		_ = l.order(func(d *draft) error { return d.unpublish(s.ID, stay{gateway.ID, gateway.Lease}) })
	}
}

// recheck ends the streams drawn from a community that it does not let be drawn any
// more, if it says so twice in a row. A community that is not reached says nothing.
func (l *leadership) recheck(ctx context.Context, r *region.Region, a group.Agreement, denied map[region.StreamID]bool) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	maps.DeleteFunc(denied, func(id region.StreamID, _ bool) bool { _, there := r.Stream(id); return !there })
	var drawn []region.Stream
	for s := range r.Streams() {
		if s.From.Community() == a.Community {
			drawn = append(drawn, s)
		}
	}
	start := 0 // another one each time, should there be too many for one
	if len(drawn) > recheckMost {
		start = rand.IntN(len(drawn))
	}
	for i := range min(len(drawn), recheckMost) {
		s := drawn[(start+i)%len(drawn)]
		_, err := l.replica.server.ask(ctx, s.From, s.ID, "")
		switch {
		case errors.Is(err, region.ErrUnreachable):
			return
		case !errors.Is(err, region.ErrForbidden):
			delete(denied, s.ID)
		case denied[s.ID]:
			delete(denied, s.ID)
			l.endDrawn(r, s)
		default:
			denied[s.ID] = true
		}
	}
}

// greet tells a community's coordinators of this region, and hears of their regions.
func (l *leadership) greet(ctx context.Context, a group.Agreement) {
	s := l.replica.server
	own, ok := s.directory.Region(l.replica.region)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, address := range s.coordinatorsOf(a) {
		wg.Go(func() {
			var answer *skeinv1.GreetResponse
			err := s.visitAt(ctx, a.Community, address, func(ctx context.Context, c skeinv1.PeeringClient) (err error) {
				answer, err = c.Greet(ctx, &skeinv1.GreetRequest{Region: own.Signed})
				return err
			})
			list := answer.GetRegions()
			for _, d := range list[:min(len(list), MaxGroups)] {
				err = errors.Join(err, s.abroad.take(a.Community, d, time.Now()))
			}
			if err != nil && ctx.Err() == nil {
				l.replica.logger.Debug("another community does not answer as agreed", "community", a.Name, "at", address, "err", err)
			}
		})
	}
	wg.Wait()
}

// coordinatorsOf are addresses of a community's coordinators, at most greetMost: those
// of the regions that are known first.
func (s *Server) coordinatorsOf(a group.Agreement) []string {
	var list []string
	for _, e := range s.abroad.regions(a.Community, time.Now()) {
		for _, h := range e.Replicas {
			list = append(list, h.GRPC)
		}
	}
	for _, address := range a.Seeds {
		if !slices.Contains(list, address) {
			list = append(list, address)
		}
	}
	return list[:min(len(list), greetMost)]
}

// visitAt asks a coordinator of another community.
func (s *Server) visitAt(ctx context.Context, community, address string, ask func(context.Context, skeinv1.PeeringClient) error) error {
	conn, err := s.connect(community, address)
	if err != nil {
		return err
	}
	return asking(ctx, func(ctx context.Context) error { return ask(ctx, skeinv1.NewPeeringClient(conn)) })
}

// search is resolve for a stream that may be of another community.
func (l *leadership) search(ctx context.Context, id region.StreamID) (region.Stream, error) {
	s := l.replica.server
	agreements := l.replica.group.State().Agreements
	i := slices.IndexFunc(agreements, func(a group.Agreement) bool { return len(a.Seeds) > 0 && a.Publishes(id) })
	if i < 0 {
		return s.resolve(ctx, id, l.replica.region)
	}
	a := agreements[i]
	answer, err := s.findAt(ctx, a.Community, s.coordinatorsOf(a), &skeinv1.FindRequest{Stream: string(id)})
	switch {
	case errors.Is(err, region.ErrForbidden):
		// Nobody shall learn by that what there is.
		return region.Stream{}, fmt.Errorf("%s: %w in %s, or not shared: %v", id, region.ErrUnknownStream, a.Name, err)
	case err != nil:
		return region.Stream{}, fmt.Errorf("community %s: %w", a.Name, err)
	}
	return foundIn(a, id, answer)
}

// foundIn is the stream that a community was asked for, by what it answers.
func foundIn(a group.Agreement, id region.StreamID, m *skeinv1.ResolveResponse) (region.Stream, error) {
	if m.GetStream() == nil {
		return region.Stream{}, fmt.Errorf("%s: %w in %s", id, region.ErrUnknownStream, a.Name)
	}
	stream, err := skeinv1.ToStream(m.Stream)
	if err != nil {
		return region.Stream{}, fmt.Errorf("community %s: stream: %w", a.Name, err)
	}
	home := region.ID(m.Home)
	if !belongs(home, a.Community) || stream.ID != id {
		return region.Stream{}, fmt.Errorf("community %s: %w: it answers for %.64q in %.64q", a.Name, trust.ErrDescriptor, stream.ID, home)
	}
	stream.From, stream.Standby = home, ""
	return stream, nil
}

// belongs says whether id names a region of a community.
func belongs(id region.ID, community string) bool {
	_, err := skeinv1.ToRegionID(string(id.Local()))
	return err == nil && len(id) <= region.MaxName && id.Local().Of(community) == id
}

// findAt asks one coordinator of a community after the other, until one answers.
func (s *Server) findAt(ctx context.Context, community string, addresses []string, req *skeinv1.FindRequest) (*skeinv1.ResolveResponse, error) {
	last := fmt.Errorf("%w: none of its coordinators is known", region.ErrUnreachable)
	for _, address := range addresses[:min(len(addresses), consultMost)] {
		var answer *skeinv1.FindResponse
		err := s.visitAt(ctx, community, address, func(ctx context.Context, c skeinv1.PeeringClient) (err error) {
			answer, err = c.Find(ctx, req)
			return err
		})
		if err == nil {
			if answer.Home != nil {
				err = s.abroad.take(community, answer.Home, time.Now())
			}
			if home := region.ID(answer.GetFound().GetHome()); err == nil && home != "" && !belongs(home, community) {
				err = fmt.Errorf("%w: %.64q is none of its regions", trust.ErrDescriptor, home)
			}
			return answer.GetFound(), err
		}
		if !passing(err) && !errors.Is(err, region.ErrNotLeader) {
			return nil, err
		}
		last = err
	}
	// Not wrapped: who leads there is no news for the caller.
	return nil, fmt.Errorf("%w: %v", region.ErrUnreachable, last)
}

// askAbroad is ask for a region of another community.
func (s *Server) askAbroad(ctx context.Context, id region.ID, stream region.StreamID) (*skeinv1.ResolveResponse, error) {
	e, ok := s.known(id)
	if !ok {
		return nil, fmt.Errorf("region %s: %w: nothing was heard of it", id, region.ErrUnreachable)
	}
	var addresses []string
	for _, h := range e.Replicas {
		addresses = append(addresses, h.GRPC)
	}
	return s.findAt(ctx, id.Community(), addresses, &skeinv1.FindRequest{Stream: string(stream), Region: string(id)})
}
