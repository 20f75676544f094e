package member

import (
	"slices"
	"strings"
	"sync"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// Bounds of what waits for the coordinators. What does not fit is left out:
// they learn it from digests, leases and other members.
const (
	maxRumours    = 64
	maxReports    = 64
	maxAnswers    = 16
	maxMismatches = 16
)

// outbox gathers what the session will tell the coordinators. It outlives
// sessions: what could not be sent waits for the next one.
type outbox struct {
	wake chan struct{} // capacity 1

	mu         sync.Mutex
	confirms   map[region.StreamID]*skeinv1.Confirmation // the latest of each stream
	rumours    []*skeinv1.Rumour
	reports    []*skeinv1.PeerReport
	answers    []*skeinv1.MoveAnswer
	mismatches []*skeinv1.Mismatch
	presences  map[string]*skeinv1.Presence // by name, the latest; nil: it is gone
	everybody  bool                         // presences are all there are
	leaf       *skeinv1.LeafReport          // nil: nothing new
}

func newOutbox() *outbox {
	return &outbox{
		wake: make(chan struct{}, 1), confirms: make(map[region.StreamID]*skeinv1.Confirmation),
		presences: make(map[string]*skeinv1.Presence),
	}
}

// confirm says that parent carries a stream. At most one per stream waits.
func (o *outbox) confirm(s region.StreamID, parent region.MemberID, rev region.Revision) {
	o.mu.Lock()
	o.confirms[s] = &skeinv1.Confirmation{Stream: string(s), Parent: string(parent), Revision: uint64(rev)}
	o.mu.Unlock()
	o.ring()
}

// rumour says that gossip holds a stay for dead.
func (o *outbox) rumour(id region.MemberID, lease region.Lease) {
	post(o, &o.rumours, &skeinv1.Rumour{Member: string(id), Lease: uint64(lease)}, maxRumours)
}

// report says what a peer did.
func (o *outbox) report(r *skeinv1.PeerReport) { post(o, &o.reports, r, maxReports) }

// answer says what this member thinks of a move. An answer that the session could
// not send is of no use to the next one.
func (o *outbox) answer(a *skeinv1.MoveAnswer) { post(o, &o.answers, a, maxAnswers) }

// mismatch says what a neighbour believes differently.
func (o *outbox) mismatch(m *skeinv1.Mismatch) { post(o, &o.mismatches, m, maxMismatches) }

// stand says where one who stands in a space is; nil: nowhere any more. A new place
// leaves the rest as it waits.
func (o *outbox) stand(name string, p *skeinv1.Presence) {
	o.mu.Lock()
	if waits := o.presences[name]; waits != nil && p.GetMoved() {
		waits.Spot = p.Spot
	} else {
		o.presences[name] = p
	}
	o.mu.Unlock()
	o.ring()
}

// restand says again who stands in spaces: whoever is not among them does not.
func (o *outbox) restand(all []*skeinv1.Presence) {
	o.mu.Lock()
	clear(o.presences)
	for _, p := range all {
		o.presences[p.Name] = p
	}
	o.everybody = true
	o.mu.Unlock()
	o.ring()
}

// admits says how local admissions are doing. Heartbeats say it again.
func (o *outbox) admits(r *skeinv1.LeafReport) {
	o.mu.Lock()
	o.leaf = r
	o.mu.Unlock()
	o.ring()
}

// post adds to one of o's lists, unless it is full.
func post[T any](o *outbox, list *[]T, v T, most int) {
	o.mu.Lock()
	if len(*list) < most {
		*list = append(*list, v)
	}
	o.mu.Unlock()
	o.ring()
}

// drain moves all that waits into m and reports whether there was anything.
func (o *outbox) drain(m *skeinv1.SessionRequest) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.confirms {
		m.Confirmations = append(m.Confirmations, c)
	}
	slices.SortFunc(m.Confirmations, func(a, b *skeinv1.Confirmation) int {
		return strings.Compare(a.Stream, b.Stream)
	})
	m.Rumours, m.Reports, m.Answers, m.Mismatches = o.rumours, o.reports, o.answers, o.mismatches
	for name, p := range o.presences {
		if p != nil {
			m.Presences = append(m.Presences, p)
		} else {
			m.Departures = append(m.Departures, name)
		}
	}
	m.AllPresences, o.everybody = o.everybody, false
	clear(o.presences)
	clear(o.confirms)
	o.rumours, o.reports, o.answers, o.mismatches = nil, nil, nil, nil
	leaf := o.leaf
	if o.leaf = nil; leaf != nil {
		m.Leaf = leaf
	}
	return len(m.Confirmations)+len(m.Rumours)+len(m.Reports)+len(m.Answers)+len(m.Mismatches)+
		len(m.Presences)+len(m.Departures) > 0 || m.AllPresences || leaf != nil
}

// putBack keeps what a message that could not be sent carried, except where
// something newer is known. Who stands in spaces the next session says anyway.
func (o *outbox) putBack(m *skeinv1.SessionRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range m.Confirmations {
		if s := region.StreamID(c.Stream); o.confirms[s] == nil {
			o.confirms[s] = c
		}
	}
	o.rumours = append(m.Rumours, o.rumours...)
	o.rumours = o.rumours[:min(len(o.rumours), maxRumours)]
	o.reports = append(m.Reports, o.reports...)
	o.reports = o.reports[:min(len(o.reports), maxReports)]
}

func (o *outbox) ring() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func peerReport(s region.StreamID, peer region.MemberID, f link.Fault) *skeinv1.PeerReport {
	return &skeinv1.PeerReport{Peer: string(peer), Stream: string(s), Fault: skeinv1.PeerFault(f)}
}
