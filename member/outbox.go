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
	maxRumours = 64
	maxReports = 64
)

// outbox gathers what the session will tell the coordinators. It outlives
// sessions: what could not be sent waits for the next one.
type outbox struct {
	wake chan struct{} // capacity 1

	mu       sync.Mutex
	confirms map[region.StreamID]*skeinv1.Confirmation // the latest of each stream
	rumours  []*skeinv1.Rumour
	reports  []*skeinv1.PeerReport
}

func newOutbox() *outbox {
	return &outbox{wake: make(chan struct{}, 1), confirms: make(map[region.StreamID]*skeinv1.Confirmation)}
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
	o.mu.Lock()
	if len(o.rumours) < maxRumours {
		o.rumours = append(o.rumours, &skeinv1.Rumour{Member: string(id), Lease: uint64(lease)})
	}
	o.mu.Unlock()
	o.ring()
}

// report says what a peer did.
func (o *outbox) report(r *skeinv1.PeerReport) {
	o.mu.Lock()
	if len(o.reports) < maxReports {
		o.reports = append(o.reports, r)
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
	m.Rumours, m.Reports = o.rumours, o.reports
	clear(o.confirms)
	o.rumours, o.reports = nil, nil
	return len(m.Confirmations)+len(m.Rumours)+len(m.Reports) > 0
}

// putBack keeps what a message that could not be sent carried, except where
// something newer is known.
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
