package coordinator

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// A hub knows which roles the sessions of a leader have still to be told. It is
// told what was applied and never waits: telling is up to each session.
type hub struct {
	// patience is how long a session may have something to be told without
	// taking it before it is cut off.
	patience time.Duration
	// whereabouts says where a stay is that is not at home here any more; nil if
	// that is not known.
	whereabouts func(stay, region.Generation) error

	mu       sync.Mutex
	region   *region.Region // after the newest entry published
	sessions map[region.MemberID]*session
	closed   error
	// anew is when members are to hear that revisions begin again; zero: they do
	// not.
	anew time.Time
	// refuges are the coordinators of other regions that members were told of last.
	refuges []*skeinv1.Coordinator
	// group are the region's own ones, in one line.
	group string
	// spared is when members were last asked to give back what they do not use.
	spared time.Time
}

func newHub(r *region.Region, patience time.Duration) *hub {
	return &hub{patience: patience, region: r, sessions: map[region.MemberID]*session{}}
}

// publish marks the roles that an applied entry has altered, and ends the
// sessions of stays that are over.
func (h *hub) publish(a group.Applied) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.region
	h.region = a.Region
	now := time.Now()
	if before.Generation() != a.Region.Generation() {
		h.part(before)
		return
	}
	if a.Gap {
		for _, s := range h.sessions {
			s.markAll(now)
			h.judge(s, a.Revision)
		}
		return
	}
	for key, anew := range affected(before, a.Region, a.Change) {
		if s := h.sessions[key.member]; s != nil {
			s.mark(key.stream, anew)
		}
	}
	for _, e := range a.Change.Edits {
		switch e := e.(type) {
		case region.PutMember:
			s := h.sessions[e.Member.ID]
			if was, _ := before.Member(e.Member.ID); s != nil && was.Leaf != e.Member.Leaf {
				s.budget = true
				s.wake()
			}
			h.judge(s, a.Revision)
		case region.DropMember:
			h.judge(h.sessions[e.Member], a.Revision)
		}
	}
}

// part ends all sessions after the boundary has moved: some members are at home
// elsewhere now, the others have to hear of the generation. It must be called with
// mu held.
func (h *hub) part(before *region.Region) {
	for _, s := range h.sessions {
		was, _ := before.Member(s.stay.member)
		now, ok := h.region.Member(s.stay.member)
		reason := fmt.Errorf("region %s: %w: it is %d now", h.region.ID(), region.ErrGeneration, h.region.Generation())
		switch {
		case was.Home == "" && (!ok || now.Home != ""):
			if moved := h.whereabouts(s.stay, before.Generation()); moved != nil {
				reason = moved
			}
		case !ok || now.Lease != s.stay.lease:
			reason = region.ErrLease
		}
		s.cut(reason)
	}
}

// judge ends a session whose stay is over at revision. A session that began
// later was checked against a newer structure.
func (h *hub) judge(s *session, revision region.Revision) {
	if s == nil || revision <= s.since {
		return
	}
	if m, ok := h.region.Member(s.stay.member); !ok || m.Lease != s.stay.lease {
		s.cut(region.ErrLease)
	}
}

// current returns the structure after the newest entry published.
func (h *hub) current() *region.Region {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.region.Clone()
}

// attach adds a session, which is to be told all its roles first. An earlier
// session of the same stay ends.
func (h *hub) attach(s *session) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed != nil {
		return h.closed
	}
	if old := h.sessions[s.stay.member]; old != nil {
		if old.stay.lease > s.stay.lease {
			return region.ErrLease
		}
		old.cut(errReplaced)
	}
	h.sessions[s.stay.member] = s
	s.markAll(time.Now())
	return nil
}

func (h *hub) detach(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sessions[s.stay.member] == s {
		delete(h.sessions, s.stay.member)
	}
}

// propose has a member shown a move. One that has no session, or does not take
// what it is told, is not shown it, and so does not agree.
func (h *hub) propose(m region.MemberID, p *skeinv1.MoveProposal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.sessions[m]; s != nil && len(s.proposals) < maxProposals {
		s.proposals = append(s.proposals, p)
		s.wake()
	}
}

// probe has a member measure the way to peers.
func (h *hub) probe(m region.MemberID, peers []*skeinv1.Peer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.sessions[m]; s != nil && len(s.probes) == 0 {
		s.probes = peers[:min(len(peers), maxProbes)]
		s.wake()
	}
}

// votes counts the sessions, and those of members whose regret is at least so
// much. Every member has one vote, whatever it says.
func (h *hub) votes(regret float64) (against, all int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.sessions {
		if float64(s.regret.Load()) >= 1000*regret {
			against++
		}
	}
	return against, len(h.sessions)
}

// longings are the members that find another region clearly nearer, by region.
func (h *hub) longings() map[region.ID][]region.MemberID {
	h.mu.Lock()
	defer h.mu.Unlock()
	said := make(map[region.ID][]region.MemberID)
	for id, s := range h.sessions {
		if nearer := s.longing.Load(); nearer != nil && *nearer != "" {
			said[*nearer] = append(said[*nearer], id)
		}
	}
	return said
}

// forwarding is how long members say that packets stay with them; those that
// forward nothing are left out.
func (h *hub) forwarding() map[region.MemberID]time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	said := make(map[region.MemberID]time.Duration)
	for id, s := range h.sessions {
		if us := s.health.Load().GetForwardUs(); us > 0 {
			said[id] = time.Duration(min(us, region.MaxDelay.Microseconds())) * time.Microsecond
		}
	}
	return said
}

// questions returns what s has to be asked, and nothing of it again.
func (h *hub) questions(s *session) (proposals []*skeinv1.MoveProposal, probes []*skeinv1.Peer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	proposals, probes = s.proposals, s.probes
	s.proposals, s.probes = nil, nil
	return proposals, probes
}

// move has everybody told of the coordinators of other regions, and of the region's
// own, if any of them are others than before.
func (h *hub) move(refuges []*skeinv1.Coordinator, group string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.group == group && slices.EqualFunc(h.refuges, refuges, func(a, b *skeinv1.Coordinator) bool { return a.Id == b.Id && a.Address == b.Address }) {
		return
	}
	h.refuges, h.group = refuges, group
	for _, s := range h.sessions {
		s.refuges = true
		s.wake()
	}
}

// moved returns the coordinators that s has to be told of, and not again.
func (h *hub) moved(s *session) (refuges []*skeinv1.Coordinator, any bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	any = s.refuges
	s.refuges = false
	return h.refuges, any
}

// A due role is one that is to be told: if it is another one than was told last, or
// anew.
type due struct {
	stream region.StreamID
	anew   bool
}

// take returns what s has to be told: everything, or the roles for some streams,
// by name.
func (h *hub) take(s *session) (all bool, roles []due) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all = s.all
	for id, anew := range s.dirty {
		roles = append(roles, due{id, anew})
	}
	slices.SortFunc(roles, func(a, b due) int { return cmp.Compare(a.stream, b.stream) })
	s.all = false
	clear(s.dirty)
	if all || len(roles) > 0 {
		s.telling = time.Now()
	}
	return all, roles
}

// told notes that s has taken what it was last told.
func (h *hub) told(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.telling = time.Time{}
}

// gave notes the roles that s has taken.
func (h *hub) gave(s *session, m *skeinv1.SessionResponse) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, role := range m.Roles {
		s.given[region.StreamID(role.Stream.Id)] = region.Revision(role.Revision)
	}
	for _, id := range m.Dropped {
		delete(s.given, region.StreamID(id))
	}
}

// given is the revision of the role for a stream that s took last; 0 if it took
// none.
func (h *hub) given(s *session, id region.StreamID) region.Revision {
	h.mu.Lock()
	defer h.mu.Unlock()
	return s.given[id]
}

// repeat marks a role that a member does not seem to know.
func (h *hub) repeat(s *session, id region.StreamID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.mark(id, true)
}

// sweep cuts off the sessions that do not take what they are told, and repeats
// everything to those whose grants grow old or for whom revisions begin again.
func (h *hub) sweep(now time.Time, renew time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.sessions {
		renew := renew
		if s.visits {
			renew = min(renew, visitTTL/4)
		}
		switch {
		case !s.telling.IsZero() && now.Sub(s.telling) > h.patience:
			s.cut(errSlow)
		case now.Sub(s.renewed) > renew, !h.anew.IsZero() && now.After(h.anew) && s.renewed.Before(h.anew):
			s.markAll(now)
		}
	}
}

// renew repeats everything to a member.
func (h *hub) renew(m region.MemberID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.sessions[m]; s != nil {
		s.markAll(time.Now())
	}
}

// begins says that revisions begin again at that time.
func (h *hub) begins(anew time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.anew = anew
}

// begun says whether revisions have begun again.
func (h *hub) begun(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.anew.IsZero() && !now.Before(h.anew)
}

// session returns the session of a member; nil if it has none.
func (h *hub) session(m region.MemberID) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[m]
}

// reason says why a session was cut.
func (h *hub) reason(s *session) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return s.reason
}

// close ends all sessions, and those to come.
func (h *hub) close(reason error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = reason
	for _, s := range h.sessions {
		s.cut(reason)
	}
}
