package coordinator

import (
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	"github.com/skein-mesh/skein/region"
)

// A hub knows which roles the sessions of a leader have still to be told. It is
// told what was applied and never waits: telling is up to each session.
type hub struct {
	// patience is how long a session may have something to be told without
	// taking it before it is cut off.
	patience time.Duration

	mu       sync.Mutex
	region   *region.Region // after the newest entry published
	sessions map[region.MemberID]*session
	closed   error
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
	if a.Gap {
		for _, s := range h.sessions {
			s.markAll(now)
			h.judge(s, a.Revision)
		}
		return
	}
	for key := range affected(before, a.Region, a.Change) {
		if s := h.sessions[key.member]; s != nil {
			s.mark(key.stream)
		}
	}
	for _, e := range a.Change.Edits {
		switch e := e.(type) {
		case region.PutMember:
			h.judge(h.sessions[e.Member.ID], a.Revision)
		case region.DropMember:
			h.judge(h.sessions[e.Member], a.Revision)
		}
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

// take returns what s has to be told: everything, or the roles for some streams,
// by name.
func (h *hub) take(s *session) (all bool, streams []region.StreamID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all = s.all
	for id := range s.dirty {
		streams = append(streams, id)
	}
	slices.Sort(streams)
	s.all = false
	clear(s.dirty)
	if all || len(streams) > 0 {
		s.telling = time.Now()
	}
	return all, streams
}

// told notes that s has taken what it was last told.
func (h *hub) told(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.telling = time.Time{}
}

// repeat marks a role that a member does not seem to know.
func (h *hub) repeat(s *session, id region.StreamID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.mark(id)
}

// sweep cuts off the sessions that do not take what they are told, and repeats
// everything to those whose grants grow old.
func (h *hub) sweep(now time.Time, renew time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.sessions {
		switch {
		case !s.telling.IsZero() && now.Sub(s.telling) > h.patience:
			s.cut(errSlow)
		case now.Sub(s.renewed) > renew:
			s.markAll(now)
		}
	}
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
