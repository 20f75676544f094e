package link

import (
	"context"
	"net/netip"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A Transport is a member's one media socket and the links on it. All methods
// may be called by any goroutine; none but Probe and Close waits.
type Transport struct{}

// Listen opens the socket. ctx bounds the opening only.
func Listen(ctx context.Context, cfg Config) (*Transport, error) { panic("unfinished") }

// Endpoint says how others reach this transport: the stay's key and the
// addresses of the socket. Gossip is not set.
func (t *Transport) Endpoint() region.Endpoint { panic("unfinished") }

// SetLease starts a stay. Links of an earlier stay end; none is built before
// the first stay.
func (t *Transport) SetLease(lease region.Lease) { panic("unfinished") }

// Expect lets p build a link with this member, and starts to build it from this
// side. Repeating it is harmless; a newer lease replaces the link of an older
// one. It reports region.ErrLimit, region.ErrLease (older than known) or
// region.ErrInvalid.
func (t *Transport) Expect(p Peer) error { panic("unfinished") }

// Forget ends the link to a peer.
func (t *Transport) Forget(id region.MemberID) { panic("unfinished") }

// Links lists the links by peer.
func (t *Transport) Links() []Status { panic("unfinished") }

// Probe measures the round-trip time to any member's media address without a
// link. It blocks until the answer or the end of ctx, and repeats the question
// a few times.
func (t *Transport) Probe(ctx context.Context, addr netip.AddrPort) (time.Duration, error) {
	panic("unfinished")
}

// Close ends all links, telling the peers, and waits for what it started.
func (t *Transport) Close() error { panic("unfinished") }
