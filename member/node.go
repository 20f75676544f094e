package member

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/member/gossip"
	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// A Node is a member of a region. Its methods may be called from any goroutine.
type Node struct {
	cfg   Config
	log   *slog.Logger
	creds *trust.Credentials
	id    region.MemberID

	group     *coordinators
	transport *link.Transport
	relay     *relay.Relay
	assigned  *assignments
	rtts      *rttBook
	out       *outbox
	events    *eventQueue

	stay      atomic.Pointer[stay]
	connected atomic.Bool
	leaving   atomic.Bool
	attached  chan struct{} // capacity 1: a child came or went

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu           sync.Mutex
	closed       bool
	placements   map[region.StreamID]*placement
	publications map[region.StreamID]*Publication
	pool         *gossip.Pool // nil if the member does not gossip
	poolStop     context.CancelFunc
}

// stay is what the coordinators granted with the last Join. It is not modified.
type stay struct {
	lease      region.Lease
	generation region.Generation
	grantKey   ed25519.PublicKey
	ttl        time.Duration
}

// Join enrols if need be, joins the region and starts gossip, links and relay.
// It blocks until the region has accepted the member or ctx, which bounds only
// that, ends: then the error says which coordinators were tried and what each
// answered. What cannot pass (a token of another cluster, an expired one, a
// wrong CA) is reported at once.
func Join(ctx context.Context, cfg Config) (*Node, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	creds, err := findCredentials(ctx, cfg)
	if err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, creds: creds, id: creds.ID(),
		log:          cfg.Logger.With("member", creds.ID()),
		group:        newCoordinators(cfg, creds.ClientTLS()),
		rtts:         newRTTBook(),
		out:          newOutbox(),
		events:       newEventQueue(),
		attached:     make(chan struct{}, 1),
		placements:   make(map[region.StreamID]*placement),
		publications: make(map[region.StreamID]*Publication),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if err := n.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("member: %w", err), n.Close())
	}
	return n, nil
}

// start opens the sockets, joins and sets everything going. What it has opened
// when it fails, Close closes.
func (n *Node) start(ctx context.Context) error {
	advertise := make([]netip.Addr, 0, len(n.cfg.Advertise))
	for _, a := range n.cfg.Advertise {
		ip, err := netip.ParseAddr(a)
		if err != nil {
			return fmt.Errorf("Config.Advertise: %q is no IP address: %w", a, region.ErrInvalid)
		}
		advertise = append(advertise, ip)
	}
	var err error
	links := link.DefaultConfig()
	links.ID, links.Certificate = n.id, n.creds.LinkCertificate()
	links.Listen, links.Advertise = n.cfg.Media, advertise
	links.Network, links.Logger = n.cfg.Network, n.log
	if n.transport, err = link.Listen(ctx, links); err != nil {
		return err
	}
	forwarding := relay.DefaultConfig()
	forwarding.Self, forwarding.Transport, forwarding.Uplink = n.id, n.transport, n.cfg.Uplink
	forwarding.OpenGrant, forwarding.Logger = n.openGrant, n.log
	if n.relay, err = relay.New(forwarding); err != nil {
		return err
	}
	n.assigned = newAssignments(n.relay)
	socket, err := n.listenGossip(ctx)
	if err != nil {
		return err
	}
	answer, err := n.join(ctx, 0, socket)
	if err != nil {
		if socket != nil {
			err = errors.Join(err, socket.Close())
		}
		return fmt.Errorf("join region %s: %w", n.cfg.Region, err)
	}
	if err := n.openGossip(answer, socket); err != nil {
		return err
	}
	n.wg.Go(func() { n.heedRelay(n.ctx) })
	n.wg.Go(func() { (&session{Node: n}).run(n.ctx) })
	n.wg.Go(func() { n.renewal(n.ctx) })
	return nil
}

// join asks for a stay, or for the continuation of one. On success the node's
// stay is the new one.
func (n *Node) join(ctx context.Context, lease region.Lease, socket *gossip.Socket) (*skeinv1.JoinResponse, error) {
	endpoint := n.transport.Endpoint()
	endpoint.Gossip = n.gossipAddr(socket)
	request := &skeinv1.JoinRequest{
		Region: string(n.cfg.Region), RequestId: requestID(), Name: n.cfg.Name,
		UplinkKbps: uint32(n.cfg.Uplink), Endpoint: skeinv1.FromEndpoint(endpoint), Lease: uint64(lease),
	}
	var answer *skeinv1.JoinResponse
	err := n.group.call(ctx, func(ctx context.Context, c client) (err error) {
		answer, err = c.Join(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(answer.GetGrantKey()) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("answer: grant key of %d bytes: %w", len(answer.GetGrantKey()), region.ErrInvalid)
	}
	next := &stay{
		lease: region.Lease(answer.GetLease()), generation: region.Generation(answer.GetGeneration()),
		grantKey: answer.GetGrantKey(), ttl: time.Duration(answer.GetLeaseTtlMs()) * time.Millisecond,
	}
	if next.ttl <= 0 || next.ttl > time.Hour {
		return nil, fmt.Errorf("answer: lease of %v: %w", next.ttl, region.ErrInvalid)
	}
	n.stay.Store(next)
	n.transport.SetLease(next.lease)
	n.group.learn(answer.GetCoordinators())
	return answer, nil
}

// rejoin begins a new stay after the coordinators have forgotten the last one:
// streams are published, and places asked for, again.
func (n *Node) rejoin(ctx context.Context) error {
	old := n.stay.Load()
	answer, err := n.join(ctx, old.lease, nil)
	if err != nil {
		return err
	}
	if err := n.updateGossip(ctx, old, answer); err != nil {
		n.log.Warn("gossip does not follow", "err", err)
	}
	if region.Lease(answer.GetLease()) == old.lease {
		return nil
	}
	n.log.Info("joined anew", "lease", answer.GetLease())
	n.events.put(Event{Kind: Rejoined})
	n.assigned.reset()
	for _, p := range n.published() {
		n.republish(ctx, p)
	}
	for _, p := range n.placed() {
		p.want(region.Joining, "")
	}
	return nil
}

// republish announces a stream again. If its name was taken meanwhile, it ends.
func (n *Node) republish(ctx context.Context, p *Publication) {
	err := p.announce(ctx)
	if err != nil && ctx.Err() == nil {
		n.log.Warn("stream not published again", "stream", p.want.Name, "err", err)
		p.abandon(err)
	}
}

func (n *Node) openGrant(raw []byte) (trust.Grant, error) {
	return trust.OpenGrant(n.stay.Load().grantKey, raw, time.Now())
}

// published lists the publications by name.
func (n *Node) published() []*Publication {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]*Publication, 0, len(n.publications))
	for _, id := range slices.Sorted(maps.Keys(n.publications)) {
		list = append(list, n.publications[id])
	}
	return list
}

// placed lists the placements by stream.
func (n *Node) placed() []*placement {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]*placement, 0, len(n.placements))
	for _, id := range slices.Sorted(maps.Keys(n.placements)) {
		list = append(list, n.placements[id])
	}
	return list
}

func (n *Node) placement(id region.StreamID) *placement {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.placements[id]
}

func (n *Node) publication(id region.StreamID) *Publication {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.publications[id]
}

// assign carries out a role.
func (n *Node) assign(role *skeinv1.Role) error {
	placed, err := n.assigned.apply(role)
	if err != nil {
		n.log.Warn("role not understood", "err", err)
		return err
	}
	if !placed {
		n.displaced(region.StreamID(role.GetStream().GetId()))
	}
	return nil
}

// displaced reacts to the loss of a place that is still wanted.
func (n *Node) displaced(id region.StreamID) {
	if p := n.placement(id); p != nil {
		p.want(region.Joining, "")
	}
}

// ID names the member: the hash of its key.
func (n *Node) ID() region.MemberID { return n.id }

// Lease numbers the present stay.
func (n *Node) Lease() region.Lease { return n.stay.Load().lease }

// Events delivers what happens to the node. It holds the last MaxEvents; older
// ones are dropped. It is closed when the node is.
func (n *Node) Events() <-chan Event { return n.events.ch }
