package member

import (
	"fmt"
	"sync"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// assignments holds what the coordinators want this member to do for each
// stream, and hands it to the relay. Roles arrive by two ways, the session and
// the answers to admissions; their revisions order them.
type assignments struct {
	relay assignee

	mu   sync.Mutex
	held map[region.StreamID]held
	// era counts the regions that roles came from; those of an earlier one are
	// of no account any more.
	era uint64
	// named lists the streams named since the session's begin marker; nil
	// outside of the markers.
	named map[region.StreamID]bool
	// anew says that the account is of a log that was restored from something
	// older, so that what is held under later revisions is of no account.
	anew bool
}

// held is the latest word on one stream.
type held struct {
	revision region.Revision
	placed   bool
	stream   region.Stream
	layers   region.LayerMask
	parent   region.MemberID
	standbys []region.MemberID
}

// An assignee is given the assignments: a side of duties.
type assignee interface {
	Assign(relay.Assignment) error
	Unassign(region.StreamID)
	// Renumber says that revisions are counted from anew.
	Renumber()
}

func newAssignments(r assignee) *assignments {
	return &assignments{relay: r, held: make(map[region.StreamID]held)}
}

// apply carries out a role unless a newer one is known. It reports whether the
// member has a place now.
func (a *assignments) apply(role *skeinv1.Role, era uint64) (placed bool, err error) {
	next, err := toAssignment(role)
	if err != nil {
		return false, fmt.Errorf("role: %w", err)
	}
	id := next.Stream.ID
	a.mu.Lock()
	defer a.mu.Unlock()
	if era != a.era {
		return true, nil // the new region tells the role anew
	}
	old, known := a.held[id]
	if known && next.Revision < old.revision && !a.anew {
		return old.placed, nil
	}
	next.Anew = a.anew
	if !known && len(a.held) >= region.MaxStreams {
		return false, fmt.Errorf("role in more than %d streams: %w", region.MaxStreams, region.ErrLimit)
	}
	if a.named != nil {
		a.named[id] = true
	}
	if !role.GetPlaced() {
		a.drop(id, next.Revision)
		return false, nil
	}
	if err := a.relay.Assign(next); err != nil {
		return false, fmt.Errorf("role in %s: %w", id, err)
	}
	h := held{revision: next.Revision, placed: true, stream: next.Stream, layers: next.Layers, parent: next.Parent.Peer.ID}
	for _, s := range next.Standbys {
		h.standbys = append(h.standbys, s.Peer.ID)
	}
	a.held[id] = h
	return true, nil
}

// lose ends the place in a stream as of revision rev, and reports whether there
// was one.
func (a *assignments) lose(id region.StreamID, rev region.Revision) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.held[id]
	if !old.placed || rev < old.revision {
		return false
	}
	a.drop(id, rev)
	return true
}

// drop is called with mu held. The revision stays, so that an older role which
// is still on its way does not bring the place back.
func (a *assignments) drop(id region.StreamID, rev region.Revision) {
	a.relay.Unassign(id)
	a.held[id] = held{revision: rev, stream: a.held[id].stream}
}

// begin starts a full account of all roles; anew is the log's that has forgotten.
func (a *assignments) begin(anew bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.named, a.anew = make(map[region.StreamID]bool), anew
}

// end closes the account, as of revision rev, and returns the streams in which
// the member has no place any more.
func (a *assignments) end(rev region.Revision) []region.StreamID {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.named == nil {
		return nil
	}
	var lost []region.StreamID
	for id, h := range a.held {
		switch {
		case a.named[id] || h.revision > rev && !a.anew:
		case h.placed:
			a.drop(id, rev)
			lost = append(lost, id)
		case a.anew:
			a.held[id] = held{revision: rev, stream: h.stream}
		}
	}
	a.named, a.anew = nil, false
	return lost
}

// reset forgets everything: the stay to which it belonged is over.
func (a *assignments) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, h := range a.held {
		if h.placed {
			a.relay.Unassign(id)
		}
	}
	clear(a.held)
	a.named, a.anew = nil, false
}

// migrate begins another era: the region has been divided or merged, and what is
// held goes on under the revisions of another log.
func (a *assignments) migrate(era uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.era = era
	for id, h := range a.held {
		h.revision = 0
		a.held[id] = h
	}
	a.named, a.anew = nil, false
	a.relay.Renumber()
}

// forget drops the last trace of a stream nobody here is interested in.
func (a *assignments) forget(id region.StreamID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if h, ok := a.held[id]; ok {
		if h.placed {
			a.relay.Unassign(id)
		}
		delete(a.held, id)
	}
}

// place returns the latest word on a stream.
func (a *assignments) place(id region.StreamID) held {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held[id]
}

// toAssignment converts and judges a role.
func toAssignment(role *skeinv1.Role) (relay.Assignment, error) {
	var a relay.Assignment
	var err error
	if a.Stream, err = skeinv1.ToStream(role.GetStream()); err != nil {
		return a, fmt.Errorf("stream: %w", err)
	}
	a.Revision = region.Revision(role.GetRevision())
	if a.Layers, err = skeinv1.ToLayers(role.GetLayers()); err != nil {
		return a, fmt.Errorf("layers: %w", err)
	}
	if role.GetParent() != nil {
		if a.Parent, err = toUpstream(role.GetParent()); err != nil {
			return a, fmt.Errorf("parent: %w", err)
		}
	}
	if len(role.GetStandbys()) > region.MaxStandbys {
		return a, fmt.Errorf("%d standbys, at most %d: %w", len(role.GetStandbys()), region.MaxStandbys, region.ErrInvalid)
	}
	for i, s := range role.GetStandbys() {
		up, err := toUpstream(s)
		if err != nil {
			return a, fmt.Errorf("standbys[%d]: %w", i, err)
		}
		a.Standbys = append(a.Standbys, up)
	}
	if a.Children, err = toPeers(role.GetChildren()); err != nil {
		return a, fmt.Errorf("children%w", err)
	}
	if a.Dependents, err = toPeers(role.GetDependents()); err != nil {
		return a, fmt.Errorf("dependents%w", err)
	}
	return a, nil
}

func toUpstream(u *skeinv1.Upstream) (relay.Upstream, error) {
	peer, err := toPeer(u.GetPeer())
	return relay.Upstream{Peer: peer, Grant: u.GetGrant()}, err
}

func toPeers(list []*skeinv1.Peer) ([]link.Peer, error) {
	if len(list) > region.MaxMembers {
		return nil, fmt.Errorf(": %d peers, at most %d: %w", len(list), region.MaxMembers, region.ErrInvalid)
	}
	peers := make([]link.Peer, 0, len(list))
	for i, p := range list {
		peer, err := toPeer(p)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		peers = append(peers, peer)
	}
	return peers, nil
}

func toPeer(p *skeinv1.Peer) (link.Peer, error) {
	id, err := skeinv1.ToMemberID(p.GetId())
	if err != nil {
		return link.Peer{}, err
	}
	endpoint, err := skeinv1.ToEndpoint(p.GetEndpoint())
	if err != nil {
		return link.Peer{}, fmt.Errorf("endpoint: %w", err)
	}
	return link.Peer{ID: id, Lease: region.Lease(p.GetLease()), Endpoint: endpoint}, nil
}
