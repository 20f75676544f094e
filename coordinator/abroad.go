package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Streams of other regions: finding them, and those who draw them.

const (
	// A stream that was found is believed to be there for foundFor, one that was
	// not is not looked for again for missingFor.
	foundFor   = 5 * time.Second
	missingFor = 500 * time.Millisecond
	// maxLookups bounds what is remembered of either.
	maxLookups = 4096
	// resolveHops bounds the regions that are asked after the owner of the name.
	resolveHops = 3
	// resolveTimeout bounds the search for a stream.
	resolveTimeout = 3 * time.Second
)

// lookups remembers lately resolved names, so that a crowd that waits for a
// stream asks its owner once.
type lookups struct {
	mu   sync.Mutex
	made map[region.StreamID]*lookup
}

// A lookup is the search for a stream. What follows done may be read once that is
// closed.
type lookup struct {
	done   chan struct{}
	stream region.Stream
	err    error
	until  time.Time
}

func newLookups() *lookups { return &lookups{made: map[region.StreamID]*lookup{}} }

// of returns the lookup of a stream, and whether it is the caller who is to make it.
func (x *lookups) of(id region.StreamID, now time.Time) (l *lookup, mine bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if l := x.made[id]; l != nil && !l.over(now) {
		return l, false
	}
	if len(x.made) >= maxLookups {
		clear(x.made)
	}
	l = &lookup{done: make(chan struct{})}
	x.made[id] = l
	return l, true
}

// forget drops what was found of a stream.
func (x *lookups) forget(id region.StreamID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.made, id)
}

// over says whether a lookup has been made and is out of date.
func (l *lookup) over(now time.Time) bool {
	select {
	case <-l.done:
		return !now.Before(l.until)
	default:
		return false
	}
}

func (x *lookups) sweep(now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, l := range x.made {
		if l.over(now) {
			delete(x.made, id)
		}
	}
}

// find looks for a stream in the other regions. ErrUnknownStream if none is known
// to publish it.
func (l *leadership) find(ctx context.Context, id region.StreamID) (region.Stream, error) {
	found, mine := l.lookups.of(id, time.Now())
	if mine {
		ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
		defer cancel()
		found.stream, found.err = l.search(ctx, id)
		found.until = time.Now().Add(foundFor)
		if found.err != nil {
			found.until = time.Now().Add(missingFor)
		}
		close(found.done)
	}
	select {
	case <-found.done:
		return found.stream, found.err
	case <-ctx.Done():
		return region.Stream{}, context.Cause(ctx)
	}
}

// resolve asks the owner of a name where its stream is published, and then there
// for the stream.
func (s *Server) resolve(ctx context.Context, id region.StreamID, self region.ID) (region.Stream, error) {
	unknown := fmt.Errorf("%s: %w", id, region.ErrUnknownStream)
	owner := region.Owner(string(id), s.living())
	if owner == "" {
		return region.Stream{}, unknown
	}
	answer, err := s.ask(ctx, owner, id, "")
	if err != nil {
		return region.Stream{}, err
	}
	// Where it was published may have been divided since, and knows who took it along.
	home := region.ID(answer.Home)
	for range resolveHops {
		if answer.Stream != nil || home == "" || home == self || home.Community() != "" {
			break
		}
		if answer, err = s.ask(ctx, home, id, ""); err != nil {
			return region.Stream{}, err
		}
		home = cmp.Or(region.ID(answer.Home), home)
	}
	if answer.Stream == nil || home == self || home.Community() != "" {
		return region.Stream{}, unknown
	}
	stream, err := skeinv1.ToStream(answer.Stream)
	if err != nil {
		return region.Stream{}, fmt.Errorf("region %s: stream: %w", home, err)
	}
	stream.From = home
	return stream, nil
}

// ask asks the leader of a region what it knows of a stream, or, on behalf of a
// community that is not the own one, what that may know.
func (s *Server) ask(ctx context.Context, id region.ID, stream region.StreamID, community string) (answer *skeinv1.ResolveResponse, err error) {
	if id.Community() != "" {
		return s.askAbroad(ctx, id, stream)
	}
	err = s.consult(ctx, id, func(l *leadership) (err error) {
		answer, err = l.told(stream, community, time.Now())
		return err
	}, func(ctx context.Context, c skeinv1.DirectoryClient) (err error) {
		answer, err = c.Resolve(ctx, &skeinv1.ResolveRequest{Region: string(id), Stream: string(stream), Community: community})
		return err
	})
	return answer, err
}

// foreign is the stream of another region that a member at home here asks for; nil
// if the stream is in this one, or nowhere.
func (l *leadership) foreign(ctx context.Context, s stay, id region.StreamID) (*region.Stream, error) {
	r := l.replica.group.Region()
	if _, ok := r.Stream(id); ok {
		return nil, nil
	}
	if m, _ := r.Member(s.member); m.Home != "" {
		return nil, nil // it is to draw what is published here
	}
	stream, err := l.find(ctx, id)
	switch {
	case errors.Is(err, region.ErrUnknownStream):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look for %s in other regions: %w", id, err)
	}
	return &stream, nil
}

// viewAbroad is the view of a stream that nobody here draws yet: it has no
// candidates, so that the member asks to be placed.
func (l *leadership) viewAbroad(ctx context.Context, r *region.Region, s stay, id region.StreamID) (region.View, error) {
	stream, err := l.foreign(ctx, s, id)
	if err == nil && stream == nil {
		err = fmt.Errorf("%s: %w", id, region.ErrUnknownStream)
	}
	if err != nil {
		return region.View{}, err
	}
	return region.View{Region: r.ID(), Generation: r.Generation(), Revision: r.Revision(), Stream: *stream}, nil
}

// role tells what m is to do for a stream; nil if it has no place in its tree.
func (l *leadership) role(r *region.Region, id region.StreamID, m region.MemberID, now time.Time) *skeinv1.Role {
	role := l.signer.role(r, id, m, now)
	if role == nil {
		return nil
	}
	if s, _ := r.Stream(id); s.From != "" && (s.Origin == m || s.Standby == m) {
		self, _ := r.Member(m)
		home := r.ID()
		if s.From.Community() != "" {
			home = home.Of(l.replica.server.community())
		}
		role.Duty = &skeinv1.Duty{Region: string(s.From), Commission: trust.SignCommission(l.signer.key, trust.Commission{
			Region: home, To: s.From, Member: m, Lease: self.Lease, Expires: now.Add(l.cfg.GrantTTL),
		})}
		if e, ok := l.replica.server.known(s.From); ok {
			for _, h := range e.Replicas {
				role.Duty.Coordinators = append(role.Duty.Coordinators, &skeinv1.Coordinator{Id: string(h.ID), Address: h.GRPC})
			}
		}
	}
	return role
}

// pass is the region's word that a stay is one of its own, for whoever forms the
// region anew should all its coordinators be lost.
func (l *leadership) pass(s stay) []byte {
	return l.signer.pass(l.replica.region, s, l.cfg.Now())
}

// homeOf is the region of a visitor, by the commission it shows; empty if it shows
// none: then it wants to be at home here, which nobody of another community can be.
func (l *leadership) homeOf(s stay, community string, commission []byte, now time.Time) (region.ID, error) {
	if len(commission) == 0 {
		if community != "" {
			return "", disagreed(community, "a member of it as one of this region's")
		}
		return "", nil
	}
	claimed, err := trust.ReadCommission(commission)
	if err != nil {
		return "", fmt.Errorf("commission: %w: %w", region.ErrForbidden, err)
	}
	if claimed.Region.Community() != community {
		return "", fmt.Errorf("commission: %w: it is from region %.64q, which is not of the caller's community", region.ErrForbidden, claimed.Region)
	}
	here := l.replica.region
	if community != "" {
		here = here.Of(l.replica.server.community())
	}
	home, ok := l.replica.server.known(claimed.Region)
	if !ok {
		return "", fmt.Errorf("commission: region %.64q is not known here yet: %w", claimed.Region, region.ErrUnreachable)
	}
	c, err := trust.OpenCommission(home.Key[:], commission, now)
	switch {
	case err != nil:
		return "", fmt.Errorf("commission: %w: %w", region.ErrForbidden, err)
	case c.To != here || c.Member != s.member || c.Lease != s.lease:
		return "", fmt.Errorf("commission: %w: it is %s's for region %s in lease %d", region.ErrForbidden, c.Member, c.To, c.Lease)
	}
	return c.Region, nil
}
