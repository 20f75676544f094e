package world

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/skein-mesh/skein/coordinator/group"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/history"
)

// A judge reads what every replica applies: each structure keeps the invariants,
// no two replicas differ at any revision, and the log replays to the same end.
type judge struct {
	w *world

	mu     sync.Mutex
	hashes map[region.Revision][32]byte
	steps  []history.Step
	holes  bool // a replica was too fast to be read, so the log is not whole
}

// follow reads a coordinator's feed until it ends.
func (j *judge) follow(s *seat, feed *group.Feed) {
	read, name := s.read, s.name
	go func() {
		defer close(read)
		for {
			a, err := feed.Next(context.Background())
			if err != nil {
				return
			}
			j.applied(name, a)
		}
	}()
}

func (j *judge) applied(name string, a group.Applied) {
	if err := a.Region.Check(); err != nil {
		j.w.fault("%s at revision %d: %v", name, a.Revision, err)
	}
	hash := a.Region.Hash()
	j.mu.Lock()
	defer j.mu.Unlock()
	if known, ok := j.hashes[a.Revision]; ok {
		if known != hash {
			j.w.fault("%s holds another structure at revision %d than a replica before it", name, a.Revision)
		}
		return
	}
	j.hashes[a.Revision] = hash
	if a.Gap {
		j.holes = true
		return
	}
	if !a.Time.IsZero() {
		j.steps = append(j.steps, history.Step{Revision: a.Revision, Change: a.Change})
		j.w.note("r%d %s", a.Revision, brief(a.Change))
	}
}

// brief tells what a change is about.
func brief(c region.Change) string {
	var b strings.Builder
	for i, e := range c.Edits {
		if i == 6 {
			fmt.Fprintf(&b, " and %d more", len(c.Edits)-i)
			break
		}
		switch e := e.(type) {
		case region.SetNode:
			fmt.Fprintf(&b, " %s %.6s<-%.6s %v", e.Stream, e.Node.Member, e.Node.Parent, e.Node.State)
		case region.DropNode:
			fmt.Fprintf(&b, " %s drop %.6s", e.Stream, e.Member)
		case region.Confirm:
			fmt.Fprintf(&b, " %s confirm %.6s", e.Stream, e.Member)
		case region.PutMember:
			fmt.Fprintf(&b, " member %.6s (%s) lease %d", e.Member.ID, e.Member.Name, e.Member.Lease)
		case region.DropMember:
			fmt.Fprintf(&b, " gone %.6s", e.Member)
		default:
			fmt.Fprintf(&b, " %T", e)
		}
	}
	return b.String()
}

// history replays the whole log from nothing.
func (j *judge) history() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.holes || len(j.steps) == 0 {
		return
	}
	slices.SortFunc(j.steps, func(a, b history.Step) int { return cmp.Compare(a.Revision, b.Revision) })
	max := j.w.coordinators[0].cfg.MaxMembers
	end, err := history.Check(region.New(home, max), j.steps, nil)
	if err != nil {
		j.w.fault("history: %v", err)
		return
	}
	if last := j.steps[len(j.steps)-1].Revision; end.Hash() != j.hashes[last] {
		j.w.fault("history: the log does not replay to what the replicas hold at revision %d", last)
	}
}

// disagreement says in what the coordinators' structure differs from what the
// members hold; nil if in nothing.
func (w *world) disagreement() error {
	leader := w.leader()
	if leader == nil {
		return fmt.Errorf("nobody leads")
	}
	r := leader.server.Region(home)
	for _, s := range w.coordinators {
		if s.server == nil {
			continue
		}
		if other := s.server.Region(home); other.Hash() != r.Hash() {
			return fmt.Errorf("%s is at revision %d, the leader %s at %d", s.name, other.Revision(), leader.name, r.Revision())
		}
	}
	present := w.present()
	for _, p := range present {
		if m, ok := r.Member(p.node.ID()); !ok || m.Lease != p.node.Lease() {
			return fmt.Errorf("%s holds lease %d, the coordinators say %d", p, p.node.Lease(), m.Lease)
		}
		if err := p.disagreement(r); err != nil {
			return err
		}
	}
	if r.MemberCount() != len(present) {
		return fmt.Errorf("the coordinators count %d members, there are %d", r.MemberCount(), len(present))
	}
	return nil
}

// disagreement compares the places of one member.
func (p *participant) disagreement(r *region.Region) error {
	places := map[region.StreamID]region.Node{}
	for id, n := range r.Places(p.node.ID()) {
		places[id] = n
	}
	for _, s := range p.node.Stats().Streams {
		n, placed := places[s.Stream]
		delete(places, s.Stream)
		wanted := p.views[s.Stream] != nil || p.publishes(s.Stream)
		switch {
		case placed != wanted:
			return fmt.Errorf("%s has a place in %s: %v, it wants one: %v", p, s.Stream, placed, wanted)
		case n.Parent != s.Parent:
			return fmt.Errorf("%s draws %s from %.6s, the coordinators say %.6s", p, s.Stream, s.Parent, n.Parent)
		case placed && n.State != region.Standing:
			return fmt.Errorf("%s in %s: the edge is %v", p, s.Stream, n.State)
		case placed && !slices.Equal(s.Children, r.Children(s.Stream, p.node.ID())):
			return fmt.Errorf("%s feeds %.6s in %s, the coordinators say %.6s", p, s.Children, s.Stream, r.Children(s.Stream, p.node.ID()))
		}
	}
	for id := range places {
		return fmt.Errorf("%s knows nothing of its place in %s", p, id)
	}
	return nil
}

// books draws what the coordinators hold, and what the members do.
func (w *world) books() string {
	var b strings.Builder
	for _, s := range w.coordinators {
		if s.server != nil {
			fmt.Fprintf(&b, "%s, leading %v: %s", s.name, s.server.Leading(home), s.server.Region(home).Describe())
			break
		}
	}
	for _, p := range w.present() {
		now := p.node.Stats()
		fmt.Fprintf(&b, "%s: lease %d, connected %v, %d links\n", p, now.Lease, now.Connected, now.Links)
		for _, s := range now.Streams {
			fmt.Fprintf(&b, "  %s from %.6s to %.6s, standbys %.6s, received %d\n", s.Stream, s.Parent, s.Children, s.Standbys, s.Received)
		}
	}
	return b.String()
}
