package relay

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/world/simnet"
)

// A world plays the coordinators' part: it knows all nodes and signs grants.
type world struct {
	t    testing.TB
	ca   *trust.Authority
	pub  ed25519.PublicKey
	key  ed25519.PrivateKey
	rev  region.Revision
	kind region.Kind
	// plain gives nodes the kernel's socket, with batches, instead of a flaky one.
	plain bool
	// net is the network if it is a simulated one; hosts counts those on it.
	net   *simnet.Net
	hosts int
	nodes []*node
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ca, err := trust.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, ca: ca, pub: pub, key: key, kind: region.Video}
}

// A node is a member without session: a transport and a relay.
type node struct {
	*Relay
	w        *world
	tr       *link.Transport
	net      *flaky
	host     *simnet.Host // on a simulated network
	identity *trust.Identity
	lease    region.Lease
	once     sync.Once
}

func (w *world) node(change ...func(*Config)) *node {
	w.t.Helper()
	id, err := trust.NewIdentity()
	if err != nil {
		w.t.Fatal(err)
	}
	return w.stay(id, 1, change...)
}

func (w *world) stay(id *trust.Identity, lease region.Lease, change ...func(*Config)) *node {
	w.t.Helper()
	cred, err := w.ca.Issue(id, trust.RoleMember, time.Hour, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	n := &node{w: w, net: &flaky{plain: w.plain}, identity: id, lease: lease}
	cfg := link.DefaultConfig()
	cfg.ID, cfg.Certificate, cfg.Listen, cfg.Network = id.ID(), cred.LinkCertificate(), "127.0.0.1:0", n.net
	if w.net != nil {
		w.hosts++
		n.host = w.net.Host(fmt.Sprintf("10.0.0.%d", w.hosts))
		cfg.Network, cfg.Listen = n.host, netip.AddrPortFrom(n.host.Addr(), 7500).String()
	}
	cfg.Logger = testLogger().With("self", id.ID()[:4])
	if n.tr, err = link.Listen(context.Background(), cfg); err != nil {
		w.t.Fatal(err)
	}
	rc := DefaultConfig()
	rc.Self, rc.Transport, rc.Uplink, rc.Logger = id.ID(), n.tr, 100_000, cfg.Logger
	rc.OpenGrant = func(b []byte) (trust.Grant, error) { return trust.OpenGrant(w.pub, b, time.Now()) }
	for _, f := range change {
		f(&rc)
	}
	if n.Relay, err = New(rc); err != nil {
		w.t.Fatal(err)
	}
	n.tr.SetLease(lease)
	w.nodes = append(w.nodes, n)
	w.t.Cleanup(n.end)
	return n
}

func testLogger() *slog.Logger {
	if os.Getenv("SKEIN_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (n *node) end() {
	n.once.Do(func() {
		_ = n.Relay.Close()
		_ = n.tr.Close()
	})
}

// kill ends a node as a power failure would: nobody hears of it.
func (n *node) kill() {
	n.net.mute.Store(true)
	n.end()
}

func (n *node) peer() link.Peer {
	return link.Peer{ID: n.identity.ID(), Lease: n.lease, Endpoint: n.tr.Endpoint()}
}

// flaky is a network that loses what is sent.
type flaky struct {
	mute atomic.Bool
	// loss in per mille of the datagrams sent that look like media.
	loss  atomic.Int32
	plain bool
}

func (f *flaky) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", addr)
	if err != nil {
		return nil, err
	}
	if f.plain {
		return conn, nil
	}
	return &flakyConn{PacketConn: conn, f: f, rand: rand.New(rand.NewPCG(1, 2))}, nil
}

type flakyConn struct {
	net.PacketConn
	f    *flaky
	mu   sync.Mutex
	rand *rand.Rand
}

func (c *flakyConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if c.f.mute.Load() {
		return len(b), nil
	}
	if loss := c.f.loss.Load(); loss > 0 && len(b) > 0 && b[0]&0xC0 == 0x80 {
		c.mu.Lock()
		hit := c.rand.Int32N(1000) < loss
		c.mu.Unlock()
		if hit {
			return len(b), nil
		}
	}
	return c.PacketConn.WriteTo(b, to)
}

func (w *world) stream(origin *node) region.Stream {
	return region.Stream{
		ID: "plaza/camera-1", Origin: origin.identity.ID(), Kind: w.kind, Layers: []region.Rate{1000},
		SSRC: 8000, Codec: "VP8",
	}
}

func (w *world) upstream(s region.Stream, parent, child *node, standby bool) Upstream {
	return Upstream{Peer: parent.peer(), Grant: trust.SignGrant(w.key, trust.Grant{
		Region: "r1", Stream: s.ID, Child: child.identity.ID(), Lease: child.lease, Parent: parent.identity.ID(),
		Standby: standby, Revision: w.rev, Expires: time.Now().Add(time.Minute),
	})}
}

// A role is a node's place: parent nil for the origin.
type role struct {
	n        *node
	parent   *node
	standbys []*node
}

// assign tells all nodes their roles in a tree, as a new revision.
func (w *world) assign(s region.Stream, roles ...role) {
	w.t.Helper()
	w.rev++
	for _, r := range roles {
		a := Assignment{Stream: s, Revision: w.rev, Layers: region.AllLayers}
		if r.parent != nil {
			a.Parent = w.upstream(s, r.parent, r.n, false)
		}
		for _, n := range r.standbys {
			a.Standbys = append(a.Standbys, w.upstream(s, n, r.n, true))
		}
		for _, other := range roles {
			if other.parent == r.n {
				a.Children = append(a.Children, other.n.peer())
			}
			for _, sb := range other.standbys {
				if sb == r.n {
					a.Dependents = append(a.Dependents, other.n.peer())
				}
			}
		}
		if err := r.n.Assign(a); err != nil {
			w.t.Fatal(err)
		}
	}
}

// A player publishes numbered packets until it is stopped.
type player struct {
	src  *Source
	sent atomic.Int64
	stop chan struct{}
	done sync.WaitGroup
}

func (w *world) play(n *node, s region.Stream, every time.Duration) *player {
	w.t.Helper()
	src, err := n.Publish(s)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &player{src: src, stop: make(chan struct{})}
	p.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-p.stop:
				return
			case <-tick.C:
			}
			payload := []byte{0x10, 1, byte(i >> 8), byte(i)} // VP8, no keyframe
			pkt := &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: uint16(65000 + i), Timestamp: uint32(i) * 3000, Marker: true}, Payload: payload}
			if err := src.WriteRTP(0, pkt, time.Time{}); err != nil {
				w.t.Error(err)
				return
			}
			p.sent.Add(1)
		}
	})
	w.t.Cleanup(p.end)
	return p
}

func (p *player) end() {
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.done.Wait()
}

// A listener reads a sink and checks that numbers are consecutive.
type listener struct {
	t      *testing.T
	mu     sync.Mutex
	cond   *sync.Cond
	first  uint64
	next   uint64
	gaps   int
	count  int
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func listen(t *testing.T, n *node, id region.StreamID) *listener {
	t.Helper()
	sink, err := n.Subscribe(id)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{t: t, cancel: cancel}
	l.cond = sync.NewCond(&l.mu)
	l.done.Go(func() {
		for {
			p, err := sink.ReadRTP(ctx)
			if err != nil {
				return
			}
			l.mu.Lock()
			if l.count == 0 {
				l.first = p.Index
			} else if p.Index != l.next {
				l.gaps++
			}
			l.next = p.Index + 1
			l.count++
			l.cond.Broadcast()
			l.mu.Unlock()
		}
	})
	t.Cleanup(func() { cancel(); l.done.Wait() })
	return l
}

// more waits until n more packets were delivered.
func (l *listener) more(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for end := l.count + n; l.count < end; {
		l.cond.Wait()
	}
}

// reach waits until n packets were delivered.
func (l *listener) reach(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.count < n {
		l.cond.Wait()
	}
}

// whole checks that nothing was missed or delivered twice.
func (l *listener) whole() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gaps != 0 {
		l.t.Errorf("%d gaps in what was delivered", l.gaps)
	}
	if got := l.next - l.first; got != uint64(l.count) {
		l.t.Errorf("%d packets delivered, numbers span %d", l.count, got)
	}
}

// await waits for an event of type E that f accepts; other events are skipped.
func await[E Event](n *node, f func(E) bool) E {
	for e := range n.Events() {
		if got, ok := e.(E); ok && f(got) {
			return got
		}
	}
	panic("events ended")
}

func (n *node) stats(t *testing.T) StreamStats {
	t.Helper()
	st := n.Stats()
	if len(st.Streams) != 1 {
		t.Fatalf("%d streams", len(st.Streams))
	}
	return st.Streams[0]
}
