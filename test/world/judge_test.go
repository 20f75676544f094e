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
	w      *world
	region region.ID

	mu     sync.Mutex
	latest *region.Region // at the greatest revision seen
	hashes map[region.Revision][32]byte
	steps  []history.Step
	holes  bool // a replica was too fast to be read, so the log is not whole
}

func newJudge(w *world, id region.ID) *judge {
	return &judge{w: w, region: id, hashes: map[region.Revision][32]byte{}}
}

// follow reads a coordinator's feed until it ends.
func (j *judge) follow(s *seat, feed *group.Feed) {
	name := fmt.Sprintf("%s of %s", s.name, j.region)
	s.reading.Go(func() {
		for {
			a, err := feed.Next(context.Background())
			if err != nil {
				return
			}
			j.applied(name, a)
		}
	})
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
	if j.latest == nil || a.Revision > j.latest.Revision() {
		j.latest = a.Region
	}
	if a.Gap {
		j.holes = true
		return
	}
	if !a.Time.IsZero() {
		j.steps = append(j.steps, history.Step{Revision: a.Revision, Change: a.Change})
		j.w.note("%s r%d %s", j.region, a.Revision, brief(a.Change))
	}
}

// structure is the newest that any replica has applied.
func (j *judge) structure() *region.Region {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.latest.Clone()
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

// history replays the whole log from nothing, and judges by it what clerks were
// told.
func (j *judge) history() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.holes || len(j.steps) == 0 {
		return
	}
	slices.SortFunc(j.steps, func(a, b history.Step) int { return cmp.Compare(a.Revision, b.Revision) })
	max := j.w.coordinators[0].cfg.MaxMembers
	var calls []history.Call
	var claims []history.Claim
	if j.region == home { // where the office is
		calls, claims = j.w.office.records()
	}
	if err := history.Linearizable(claims); err != nil {
		j.w.fault("history: %v", err)
	}
	end, err := history.Check(region.New(j.region, max), j.steps, calls)
	if err != nil {
		j.w.fault("history of %s: %v", j.region, err)
		return
	}
	if last := j.steps[len(j.steps)-1].Revision; end.Hash() != j.hashes[last] {
		j.w.fault("history: the log does not replay to what the replicas hold at revision %d", last)
	}
}

// disagreement says in what the coordinators' structures differ from what the
// members hold; nil if in nothing.
func (w *world) disagreement() error {
	structures := map[region.ID]*region.Region{}
	for id := range w.judges {
		r, err := w.heldBy(id)
		if err != nil {
			return err
		}
		structures[id] = r
	}
	for _, p := range w.present() {
		r := structures[p.cfg.Region]
		if r == nil {
			continue // of a region without a judge
		}
		m, ok := r.Member(p.node.ID())
		if !ok || m.Lease != p.node.Lease() {
			return fmt.Errorf("%s holds lease %d, the coordinators say %d", p, p.node.Lease(), m.Lease)
		}
		if err := p.disagreement(structures); err != nil {
			return err
		}
	}
	for id, r := range structures {
		if err := w.miscounted(id, r, structures); err != nil {
			return err
		}
	}
	return nil
}

// heldBy is the structure that all coordinators of a region hold.
func (w *world) heldBy(id region.ID) (*region.Region, error) {
	leader := w.leaderOf(id)
	if leader == nil {
		return nil, fmt.Errorf("nobody leads %s", id)
	}
	r := leader.server.Region(id)
	for _, s := range w.coordinators {
		if s.server == nil {
			continue
		}
		other := s.server.Region(id)
		if other == nil {
			return nil, fmt.Errorf("%s hosts no replica of %s", s.name, id)
		}
		if other.Hash() != r.Hash() {
			return nil, fmt.Errorf("%s: %s is at revision %d, the leader %s at %d", id, s.name, other.Revision(), leader.name, r.Revision())
		}
	}
	return r, nil
}

// miscounted says who is in a region and should not be. A visitor draws a stream for
// its own region there, or stands by to.
func (w *world) miscounted(id region.ID, r *region.Region, structures map[region.ID]*region.Region) error {
	living := map[region.MemberID]bool{}
	for _, p := range w.present() {
		if p.cfg.Region == id {
			living[p.node.ID()] = true
		}
	}
	for m := range r.Members() {
		if m.Home == "" {
			if !living[m.ID] {
				return fmt.Errorf("the coordinators of %s count %s, which is not there", id, m.Name)
			}
			delete(living, m.ID)
			continue
		}
		sent := structures[m.Home]
		useful := sent == nil
		for s := range r.Places(m.ID) {
			if useful {
				break
			}
			there, _ := sent.Stream(s)
			useful = there.From != "" && (there.Origin == m.ID || there.Standby == m.ID)
		}
		if !useful {
			return fmt.Errorf("%s visits %s from %s for nothing", m.Name, id, m.Home)
		}
	}
	for m := range living {
		return fmt.Errorf("the coordinators of %s do not count %.6s", id, m)
	}
	return nil
}

// disagreement compares the places of one member.
func (p *participant) disagreement(structures map[region.ID]*region.Region) error {
	r, me := structures[p.cfg.Region], p.node.ID()
	places := map[region.StreamID]region.Node{}
	for id, n := range r.Places(me) {
		places[id] = n
	}
	for _, s := range p.node.Stats().Streams {
		n, placed := places[s.Stream]
		delete(places, s.Stream)
		stream, _ := r.Stream(s.Stream)
		fetches := stream.From != "" && stream.Origin == me
		wanted := p.views[s.Stream] != nil || p.publishes(s.Stream) || fetches
		if fetches { // it hangs in the other region's tree
			n, placed = structures[stream.From].Node(s.Stream, me)
		}
		switch {
		case s.Local && !placed: // no tree knows of it
		case placed != wanted:
			return fmt.Errorf("%s has a place in %s: %v, it wants one: %v", p, s.Stream, placed, wanted)
		case n.Parent != s.Parent:
			return fmt.Errorf("%s draws %s from %.6s, the coordinators say %.6s", p, s.Stream, s.Parent, n.Parent)
		case placed && n.State != region.Standing:
			return fmt.Errorf("%s in %s: the edge is %v", p, s.Stream, n.State)
		}
		held := slices.DeleteFunc(slices.Clone(s.Children), func(id region.MemberID) bool { return slices.Contains(s.Leaves, id) })
		if children := fed(structures, r, s.Stream, me); placed && !slices.Equal(held, children) {
			return fmt.Errorf("%s feeds %.6s in %s, the coordinators say %.6s", p, held, s.Stream, children)
		}
	}
	for id := range places {
		return fmt.Errorf("%s knows nothing of its place in %s", p, id)
	}
	return nil
}

// fed are the children that draw a stream from a member. A visitor that only stands by
// for its region's gateway keeps a place and draws nothing.
func fed(structures map[region.ID]*region.Region, r *region.Region, id region.StreamID, m region.MemberID) []region.MemberID {
	return slices.DeleteFunc(r.Children(id, m), func(c region.MemberID) bool {
		child, _ := r.Member(c)
		if sent := structures[child.Home]; sent != nil {
			s, _ := sent.Stream(id)
			return s.Origin != c
		}
		return false
	})
}

// books draws what the coordinators hold, and what the members do.
func (w *world) books() string {
	var b strings.Builder
	for id := range w.judges {
		for _, s := range w.coordinators {
			if s.server == nil {
				continue
			}
			if r := s.server.Region(id); r != nil {
				fmt.Fprintf(&b, "%s, leading %v: %s", s.name, s.server.Leading(id), r.Describe())
				break
			}
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
