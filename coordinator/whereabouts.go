package coordinator

import (
	"context"
	"crypto/ed25519"
	"slices"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	"github.com/skein-mesh/skein/region"
)

// sourceEvery is how often a leader looks whether the regions it draws streams from
// have changed.
const sourceEvery = 500 * time.Millisecond

// Who was here, and what, and is elsewhere since the boundary moved.

// movedAway is whereabouts for a caller that takes itself for somebody at home here;
// nil if it is.
func (l *leadership) movedAway(s stay, generation region.Generation) error {
	m, ok := l.replica.group.Region().Member(s.member)
	if s.lease == 0 || ok && m.Home == "" {
		return nil
	}
	return l.whereabouts(s, generation)
}

// whereabouts says where a stay is at home now that was at home here at a generation;
// nil if nothing is known of it.
func (l *leadership) whereabouts(s stay, generation region.Generation) error {
	state := l.replica.group.State()
	e := &region.ElsewhereError{Region: l.replica.region, Cause: region.ErrElsewhere}
	here := l.brief(state)
	if here.Over() {
		e.Now = []region.Descriptor{here}
		if into, ok := l.replica.directory.Region(here.Into); ok {
			e.Now = append(e.Now, into.Descriptor)
		}
		return e
	}
	for _, child := range slices.Backward(state.Children) {
		m, went := child.State.Region.Member(s.member)
		if went && m.Home == "" && m.Lease == s.lease && child.State.Region.Generation() > generation {
			e.Now = []region.Descriptor{here, l.replica.describeChild(child)}
			return e
		}
	}
	return nil
}

// brief is the descriptor of this region as the log has it, without what only serves
// those who look for a home.
func (l *leadership) brief(state *group.State) region.Descriptor {
	r := state.Region
	d := region.Descriptor{Region: r.ID(), Generation: r.Generation(), MaxMembers: r.MaxMembers(), Into: r.Fate().Into}
	copy(d.Key[:], l.signer.public())
	if r.Fate().Over {
		return d
	}
	d.Into = ""
	for _, p := range l.replica.members() {
		d.Replicas = append(d.Replicas, region.Host{ID: p.ID, GRPC: p.GRPC, Raft: p.Raft})
	}
	return d
}

// describeChild is what the world knows of a child, or, before it does, what the
// parent's log says.
func (r *replica) describeChild(child group.Child) region.Descriptor {
	id := child.State.Region.ID()
	if e, ok := r.directory.Region(id); ok && len(e.Replicas) > 0 {
		return e.Descriptor
	}
	d := region.Descriptor{
		Region: id, Generation: child.State.Region.Generation(), Parent: r.region,
		Members: child.State.Region.HomedCount(), MaxMembers: child.State.Region.MaxMembers(),
	}
	copy(d.Key[:], ed25519.NewKeyFromSeed(child.State.Secrets.SigningSeed).Public().(ed25519.PublicKey))
	for _, p := range child.Peers {
		d.Replicas = append(d.Replicas, region.Host{ID: p.Node, GRPC: r.peer(p.Node).GRPC, Raft: p.Address})
	}
	return d
}

// takenBy is the region that took a stream along when it was split off; empty if
// none did.
func (l *leadership) takenBy(id region.StreamID) region.ID {
	for _, child := range slices.Backward(l.replica.group.State().Children) {
		if s, ok := child.State.Region.Stream(id); ok && s.From != l.replica.region {
			return child.State.Region.ID()
		}
	}
	return ""
}

// resource follows the regions that streams are drawn from, for as long as the
// office lasts: where one has been merged its heir is the source, and where one has
// been divided, it says which part has the stream.
func (l *leadership) resource(ctx context.Context) {
	ticker := time.NewTicker(sourceEvery)
	defer ticker.Stop()
	seen := map[region.StreamID]source{}
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		r := l.hub.current()
		for s := range r.Streams() {
			if s.From == "" {
				continue
			}
			now, ok := l.source(ctx, s, seen[s.ID])
			if !ok {
				continue
			}
			seen[s.ID] = now
			if len(r.Resource(s.ID, now.region)) > 0 {
				_ = l.order(func(d *draft) error { return d.carry(d.region.Resource(s.ID, now.region)) })
			}
		}
		for id := range seen {
			if s, ok := r.Stream(id); !ok || s.From == "" {
				delete(seen, id)
			}
		}
	}
}

// A source is the region that has a stream, as of the generation at which that was
// found out.
type source struct {
	region     region.ID
	generation region.Generation
}

// source finds out where a foreign stream is to be had now; ok is false if nothing
// has changed, or cannot be found out yet.
func (l *leadership) source(ctx context.Context, s region.Stream, last source) (now source, ok bool) {
	e, known := l.replica.server.known(s.From)
	switch {
	case !known || last == source{s.From, e.Generation}:
		return last, false
	case e.Over():
		if c := s.From.Community(); c != "" {
			return source{region: e.Into.Of(c)}, true
		}
		return source{region: e.Into}, true
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	answer, err := l.replica.server.ask(ctx, s.From, s.ID, "")
	home := region.ID(answer.GetHome())
	switch {
	case err != nil:
		return last, false
	case answer.Drawn:
		// It has it from another one; here it is drawn from where it is published.
		if published, err := l.search(ctx, s.ID); err == nil {
			return source{region: published.From}, true
		}
		return last, false
	case answer.Stream != nil || home == "" || home == l.replica.region:
		return source{s.From, e.Generation}, true
	}
	return source{region: home}, true
}
