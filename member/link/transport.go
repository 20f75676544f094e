package link

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/transport/v5/stdnet"
	"golang.org/x/time/rate"

	"github.com/skein-mesh/skein/region"
)

// A Transport is a member's one media socket and the links on it. Its methods may
// be called by any goroutine; only Probe, Forget, SetLease and Close wait.
type Transport struct {
	cfg      Config
	key      *ecdh.PrivateKey
	endpoint region.Endpoint
	local    netip.AddrPort // of the socket
	start    time.Time
	socket   socket
	mux      *ice.UDPMuxDefault
	net      *stdnet.Net
	networks []ice.NetworkType
	loggers  logging.LoggerFactory
	handler  atomic.Pointer[Handler]
	batch    Batch
	buffers  sync.Pool
	arrived  int64  // of the socket's goroutine: when the present datagrams came
	spare    []byte // of the socket's goroutine

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wait   sync.WaitGroup
	kicked chan struct{} // wakes the pulse goroutine

	// Read without locking, replaced whole under mu.
	routes atomic.Pointer[map[netip.AddrPort]*session]
	links  atomic.Pointer[[]*Link] // by peer

	builds builds

	outer outer
	relay atomic.Pointer[allocation] // that of outer; nil if there is none

	mu         sync.Mutex // guards what follows, and endpoint
	lease      region.Lease
	byPeer     map[region.MemberID]*Link
	byHandle   map[string]*Link
	probes     map[transaction]attempt
	probeLimit *rate.Limiter
	strayLimit *rate.Limiter // of the socket's goroutine

	malformed, strays, sendFailures atomic.Uint64
	control                         controlBooks
	// caution is added to the patience with silent peers, nanoseconds.
	caution atomic.Int64
	// late is how late the pulse goroutine has been of late, nanoseconds.
	late atomic.Int64
}

// Late is how much later than it wants this process gets a processor, at worst, of late. Who
// is late should not begin what can wait: links that are built then are built twice.
func (t *Transport) Late() time.Duration { return time.Duration(t.late.Load()) }

// Listen opens the socket. ctx bounds the opening only.
func Listen(ctx context.Context, cfg Config) (*Transport, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	t := &Transport{
		cfg: cfg, key: cfg.Key, start: time.Now(),
		loggers: &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled},
		kicked:  make(chan struct{}, 1),
		byPeer:  make(map[region.MemberID]*Link), byHandle: make(map[string]*Link),
		probes:     make(map[transaction]attempt),
		probeLimit: rate.NewLimiter(rate.Limit(cfg.ProbeRate), cfg.ProbeRate/4+1),
		strayLimit: newStrayLimit(),
	}
	t.batch.t = t
	t.outer.answers, t.outer.moved = make(map[[stun.TransactionIDSize]byte]chan *stun.Message), make(chan struct{}, 1)
	t.outer.fresh = make(chan struct{}, 1)
	t.Handle(nobody{})
	t.buffers.New = func() any { b := make([]byte, 0, MaxMessage+controlOverhead); return &b }
	t.routes.Store(&map[netip.AddrPort]*session{})
	t.links.Store(&[]*Link{})
	var err error
	if t.key == nil {
		if t.key, err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			return nil, fmt.Errorf("make the stay's key: %w", err)
		}
	}
	if t.net, err = stdnet.NewNet(); err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	conn, err := cfg.Network.ListenPacket(ctx, cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("open the media socket: %w", err)
	}
	if err := t.locate(conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	t.socket = newSocket(conn)
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.mux = ice.NewUDPMuxDefault(ice.UDPMuxParams{
		UDPConn: &demux{PacketConn: conn, t: t}, Net: t.net, Logger: t.loggers.NewLogger("mux"),
	})
	t.wait.Go(t.beatAll)
	return t, nil
}

// Handle sets who takes what the links receive. Call it once, before SetLease.
func (t *Transport) Handle(h Handler) { t.handler.Store(&h) }

func (t *Transport) hand() Handler { return *t.handler.Load() }

// Endpoint says how others reach this transport: the stay's key and the
// addresses of the socket. Gossip is not set.
func (t *Transport) Endpoint() region.Endpoint {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.endpoint
	e.Media = slices.Clone(e.Media)
	return e
}

// SetLease starts a stay. Links of an earlier stay end; none is built before
// the first stay. It waits for the ends of the old links.
func (t *Transport) SetLease(lease region.Lease) {
	t.mu.Lock()
	var old []*Link
	if lease != t.lease {
		t.lease = lease
		for _, l := range *t.links.Load() {
			old = append(old, l)
			t.remove(l)
		}
	}
	t.mu.Unlock()
	finish(old...)
}

// Expect lets p build a link with this member, and starts to build it from this
// side. Repeating it is harmless; a newer lease replaces the link of an older
// one. It reports region.ErrLimit, region.ErrLease (p's is older than known, or
// this member has none yet) or region.ErrInvalid.
func (t *Transport) Expect(p Peer) (*Link, error) {
	if p.ID == "" || p.ID == t.cfg.ID || len(p.Endpoint.Media) > region.MaxAddresses {
		return nil, fmt.Errorf("%w: peer %q with %d addresses", region.ErrInvalid, p.ID, len(p.Endpoint.Media))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lease == 0 || t.ctx.Err() != nil {
		return nil, fmt.Errorf("expect %s: %w: no stay", p.ID, region.ErrLease)
	}
	if l := t.byPeer[p.ID]; l != nil {
		switch {
		case p.Lease < l.peer.Lease:
			return nil, fmt.Errorf("expect %s: %w: %d, known is %d", p.ID, region.ErrLease, p.Lease, l.peer.Lease)
		case p.Lease == l.peer.Lease && p.Endpoint.Key == l.peer.Endpoint.Key:
			return l, nil
		}
		t.remove(l) // ends by itself
	}
	if len(t.byPeer) >= t.cfg.MaxLinks {
		return nil, fmt.Errorf("expect %s: %w: %d links", p.ID, region.ErrLimit, t.cfg.MaxLinks)
	}
	pair, err := newPairing(t.key, party{t.cfg.ID, t.lease}, party{p.ID, p.Lease}, p.Endpoint.Key)
	if err != nil {
		return nil, err
	}
	p.Endpoint.Media = slices.Clone(p.Endpoint.Media)
	l := newLink(t, p, pair)
	ctx, cancel := context.WithCancel(t.ctx)
	l.cancel = cancel
	t.byPeer[p.ID] = l
	t.byHandle[pair.handle] = l
	t.relist()
	select {
	case t.outer.fresh <- struct{}{}:
	default:
	}
	t.wait.Go(func() { l.run(ctx) })
	return l, nil
}

// Forget ends the link to a peer and waits for its end.
func (t *Transport) Forget(id region.MemberID) {
	t.mu.Lock()
	l := t.byPeer[id]
	if l != nil {
		t.remove(l)
	}
	t.mu.Unlock()
	if l != nil {
		finish(l)
	}
}

// remove takes l out of the tables and tells it to end. t.mu is held.
func (t *Transport) remove(l *Link) {
	delete(t.byPeer, l.peer.ID)
	delete(t.byHandle, l.pair.handle)
	t.relist()
	l.cancel()
}

func finish(links ...*Link) {
	for _, l := range links {
		<-l.done
	}
}

// relist publishes the links. t.mu is held.
func (t *Transport) relist() {
	list := slices.SortedFunc(maps.Values(t.byPeer), func(a, b *Link) int {
		if a.peer.ID < b.peer.ID {
			return -1
		}
		return 1
	})
	t.links.Store(&list)
}

// Link returns the link to a peer, nil if there is none.
func (t *Transport) Link(id region.MemberID) *Link {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byPeer[id]
}

// Control counts what control messages took so far.
func (t *Transport) Control() ControlBytes { return t.control.read() }

// Links lists the links by peer.
func (t *Transport) Links() []Status {
	now := t.now()
	links := *t.links.Load()
	list := make([]Status, 0, len(links))
	for _, l := range links {
		list = append(list, l.status(now))
	}
	return list
}

// route makes the socket's goroutine deliver what comes from s's address to s, if
// s is its link's session.
func (t *Transport) route(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	dest := s.dest.Load()
	if s.link.session.Load() != s || dest == nil {
		return
	}
	routes := maps.Clone(*t.routes.Load())
	maps.DeleteFunc(routes, func(_ netip.AddrPort, other *session) bool { return other == s })
	routes[dest.addr] = s
	t.routes.Store(&routes)
}

func (t *Transport) unroute(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	routes := maps.Clone(*t.routes.Load())
	maps.DeleteFunc(routes, func(_ netip.AddrPort, other *session) bool { return other == s })
	t.routes.Store(&routes)
}

// now is the time since the transport began, in nanoseconds.
func (t *Transport) now() int64 { return int64(time.Since(t.start)) }

// kick wakes the pulse goroutine.
func (t *Transport) kick() {
	select {
	case t.kicked <- struct{}{}:
	default:
	}
}

// Close ends all links, telling the peers, and waits for what it started.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.lease = 0
	for _, l := range *t.links.Load() {
		t.remove(l)
	}
	t.mu.Unlock()
	t.cancel()
	t.wait.Wait()
	if err := t.mux.Close(); err != nil {
		return fmt.Errorf("close the media socket: %w", err)
	}
	return nil
}
