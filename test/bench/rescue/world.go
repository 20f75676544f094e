package rescue

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/latency"
	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

const (
	// uplink of everybody, kbit/s: more than is ever needed.
	uplink = 1 << 30
	// playout is how long a reader waits for what is missing.
	playout = 300 * time.Millisecond
	// patience with what has to happen sooner or later.
	patience = 5 * time.Second
	poll     = 5 * time.Millisecond
)

// A network gives all sockets the same distance to each other.
type network struct{ rtt time.Duration }

type system struct{}

func (system) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	return new(net.ListenConfig).ListenPacket(ctx, "udp", addr)
}

func (system) Listen(ctx context.Context, addr string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", addr)
}

func (system) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

func (n network) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	distance := func(netip.Addr) (time.Duration, bool) { return n.rtt, true }
	return latency.Network{Opener: system{}, RTT: distance}.ListenPacket(ctx, addr)
}

// A node is a member without session.
type node struct {
	t    *link.Transport
	r    *relay.Relay
	peer link.Peer
}

// newNode starts a member that trusts grants signed with key.
func newNode(key ed25519.PublicKey, rtt time.Duration) (*node, error) {
	ca, err := trust.NewAuthority(time.Now())
	if err != nil {
		return nil, err
	}
	id, err := trust.NewIdentity()
	if err != nil {
		return nil, err
	}
	cred, err := ca.Issue(id, trust.RoleMember, time.Hour, time.Now())
	if err != nil {
		return nil, err
	}
	lc := link.DefaultConfig()
	lc.ID, lc.Certificate, lc.Listen, lc.Network = id.ID(), cred.LinkCertificate(), "127.0.0.1:0", network{rtt}
	n := &node{}
	if n.t, err = link.Listen(context.Background(), lc); err != nil {
		return nil, err
	}
	rc := relay.DefaultConfig()
	rc.Self, rc.Transport, rc.Uplink, rc.Playout = id.ID(), n.t, uplink, playout
	rc.OpenGrant = func(b []byte) (trust.Grant, error) { return trust.OpenGrant(key, b, time.Now()) }
	if n.r, err = relay.New(rc); err != nil {
		_ = n.t.Close()
		return nil, err
	}
	n.t.SetLease(1)
	n.peer = link.Peer{ID: id.ID(), Lease: 1, Endpoint: n.t.Endpoint()}
	return n, nil
}

func (n *node) close() {
	_ = n.r.Close()
	_ = n.t.Close()
}

// up says whether the link to a peer is.
func (n *node) up(id region.MemberID) bool {
	l := n.t.Link(id)
	return l != nil && l.State() == link.Up
}

// parent is whom the node draws its one stream from.
func (n *node) parent() region.MemberID {
	for _, s := range n.r.Stats().Streams {
		return s.Parent
	}
	return ""
}

// A world plays the coordinators.
type world struct {
	rtt      time.Duration
	pub      ed25519.PublicKey
	key      ed25519.PrivateKey
	stream   region.Stream
	revision region.Revision
	origin   *node
	nodes    []*node
}

func newWorld(rtt time.Duration, s region.Stream) (*world, error) {
	w := &world{rtt: rtt, stream: s}
	var err error
	if w.pub, w.key, err = ed25519.GenerateKey(nil); err != nil {
		return nil, err
	}
	if w.origin, err = w.node(); err != nil {
		return nil, err
	}
	w.stream.ID, w.stream.SSRC, w.stream.Origin = "bench/stream", region.MaxLayers, w.origin.peer.ID
	return w, nil
}

func (w *world) node() (*node, error) {
	n, err := newNode(w.pub, w.rtt)
	if err == nil {
		w.nodes = append(w.nodes, n)
	}
	return n, err
}

func (w *world) close() {
	for _, n := range w.nodes {
		n.close()
	}
}

// upstream entitles child to draw from parent.
func (w *world) upstream(parent, child link.Peer, standby bool) relay.Upstream {
	return relay.Upstream{Peer: parent, Grant: trust.SignGrant(w.key, trust.Grant{
		Region: "bench", Stream: w.stream.ID, Child: child.ID, Lease: child.Lease, Parent: parent.ID,
		Standby: standby, Revision: w.revision, Expires: time.Now().Add(time.Hour),
	})}
}

// assignment is a place in the tree; parent is nil for the origin.
func (w *world) assignment(self link.Peer, parent *link.Peer, standbys ...link.Peer) relay.Assignment {
	a := relay.Assignment{Stream: w.stream, Revision: w.revision, Layers: 1}
	if parent != nil {
		a.Parent = w.upstream(*parent, self, false)
	}
	for _, s := range standbys {
		a.Standbys = append(a.Standbys, w.upstream(s, self, true))
	}
	return a
}

// await waits until all that is asked for holds.
func await(ctx context.Context, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !holds() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case <-time.After(poll):
		}
	}
	return nil
}
