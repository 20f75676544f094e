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

	// The stay at home.
	*residence
	transport *link.Transport
	relay     *relay.Relay
	duties    *duties
	events    *eventQueue
	restless  restlessness
	delegated delegation
	grants    trust.Opener

	leaving  atomic.Bool
	longing  atomic.Pointer[region.ID] // a region that is clearly nearer
	attached chan struct{}             // capacity 1: a child came or went

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu           sync.Mutex
	closed       bool
	visits       map[region.ID]*visit
	publications map[region.StreamID]*Publication
	withdrawn    map[region.StreamID]bool // ended here; the coordinators are being told
	offences     map[Offence]uint64       // how often each was named
	presences    map[string]*Presence     // by name; that of the node itself has none
	pool         *gossip.Pool             // nil if the member does not gossip
	former       []superseded             // oldest first
	poolStop     context.CancelFunc
}

// stay is what the coordinators granted with the last Join. It is not modified.
type stay struct {
	region     region.ID
	lease      region.Lease
	generation region.Generation
	grantKey   ed25519.PublicKey
	ttl        time.Duration
	servers    []ICEServer
	// began is when the stay under this lease began.
	began time.Time
}

// follow makes s the stay after before, which may be nil.
func (s *stay) follow(before *stay) {
	if before == nil || before.lease != s.lease {
		return
	}
	s.began = before.began
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
		residence:    newResidence(cfg.Region, newCoordinators(cfg, creds.ClientTLS())),
		events:       newEventQueue(),
		attached:     make(chan struct{}, 1),
		visits:       make(map[region.ID]*visit),
		publications: make(map[region.StreamID]*Publication),
		withdrawn:    make(map[region.StreamID]bool),
		offences:     make(map[Offence]uint64),
		presences:    make(map[string]*Presence),
	}
	n.again, n.settles, n.arriving = n.rejoin, true, n.dropVisit
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
	n.duties = newDuties(n.id, n.relay)
	n.assigned = newAssignments(side{n.duties, ""})
	socket, err := n.listenGossip(ctx)
	if err != nil {
		return err
	}
	answer, err := n.settle(ctx, socket)
	if err != nil {
		if socket != nil {
			err = errors.Join(err, socket.Close())
		}
		return fmt.Errorf("join region %s: %w", n.cfg.Region, err)
	}
	if err := n.openGossip(answer, socket); err != nil {
		return err
	}
	if err := n.lookOutside(ctx, socket); err != nil {
		return fmt.Errorf("join region %s: %w", n.cfg.Region, err)
	}
	n.wg.Go(func() { n.followAddress(n.ctx) })
	n.wg.Go(func() { n.heedRelay(n.ctx) })
	n.wg.Go(func() { newSession(n, n.residence).run(n.ctx) })
	n.wg.Go(func() { n.renewal(n.ctx) })
	if n.cfg.Region == NearestRegion {
		n.wg.Go(func() { n.lookAround(n.ctx) })
	}
	return nil
}

// join asks for a stay, or for the continuation of one. On success the node's
// stay is the new one.
func (n *Node) join(ctx context.Context, lease region.Lease, socket *gossip.Socket) (*skeinv1.JoinResponse, error) {
	endpoint := n.transport.Endpoint()
	endpoint.Gossip = n.gossipAddr(socket)
	request := &skeinv1.JoinRequest{
		RequestId: requestID(), Name: n.cfg.Name,
		UplinkKbps: uint32(n.cfg.Uplink), Endpoint: skeinv1.FromEndpoint(endpoint), Lease: uint64(lease),
	}
	before := n.stay.Load()
	answer, err := n.enter(ctx, request)
	if err != nil {
		return nil, err
	}
	n.supersede(before, time.Now())
	n.transport.SetLease(n.Lease())
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
	n.mu.Lock()
	for _, v := range n.visits {
		for id := range v.placements {
			v.unwant(id)
		}
	}
	n.mu.Unlock()
	for _, p := range n.published() {
		n.republish(ctx, p)
	}
	n.standAgain()
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

// A stay that another one has superseded counts for as long as others may not have
// heard of it yet that the region's boundary has moved.
const (
	supersededFor = time.Minute
	maxSuperseded = 4
)

// superseded is a stay whose grants count until then.
type superseded struct {
	*stay
	until time.Time
}

// supersede keeps a stay for the sake of its grants, if the next one has others.
func (n *Node) supersede(before *stay, now time.Time) {
	after := n.stay.Load()
	if before == nil || before.region == after.region && before.generation == after.generation {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.former = append(n.former, superseded{before, now.Add(supersededFor)})
	n.former = n.former[max(0, len(n.former)-maxSuperseded):]
}

// openGrant accepts grants of this region only, and none of an earlier generation; but
// for a while after the boundary has moved, or the region was formed anew, those from
// before, and those to come once it is told that the region will be formed anew.
func (n *Node) openGrant(raw []byte) (trust.Grant, error) {
	st, now := n.stay.Load(), n.asOf(time.Now())
	g, err := st.open(&n.grants, raw, now)
	if err == nil {
		return g, nil
	}
	if other, ok := n.otherGrant(st, raw, now); ok {
		return other, nil
	}
	return g, err
}

// open accepts the grants that were given in a stay.
func (st *stay) open(grants *trust.Opener, raw []byte, now time.Time) (trust.Grant, error) {
	g, err := grants.Open(st.grantKey, raw, now)
	switch {
	case err != nil:
		return g, err
	case g.Region != st.region:
		return g, fmt.Errorf("grant for region %s: %w", g.Region, region.ErrInvalid)
	case g.Generation < st.generation:
		return g, fmt.Errorf("grant of generation %d, now %d: %w", g.Generation, st.generation, region.ErrGeneration)
	}
	return g, nil
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

func (n *Node) placement(id region.StreamID) *placement { return n.placementAt(n.residence, id) }

func (n *Node) placementAt(at *residence, id region.StreamID) *placement {
	n.mu.Lock()
	defer n.mu.Unlock()
	return at.placements[id]
}

func (n *Node) publication(id region.StreamID) *Publication {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.publications[id]
}

// assign carries out a role.
// It is ignored if the residence has moved to another region since era.
func (n *Node) assign(at *residence, role *skeinv1.Role, era uint64) error {
	placed, err := at.assigned.apply(role, era)
	if err != nil {
		n.log.Warn("role not understood", "region", at.region(), "err", err)
		return err
	}
	id := region.StreamID(role.GetStream().GetId())
	if !placed {
		n.displaced(at, id)
		return nil
	}
	if at == n.residence {
		n.heedDuty(id, role.GetDuty())
		return nil
	}
	there, here := at.assigned.place(id), n.assigned.place(id)
	switch {
	case here.placed && here.stream.SSRC != there.stream.SSRC:
		// It was published anew; so it has to be here.
		n.wg.Go(func() { n.lapse(id) })
	case here.parent != "" && there.parent != "":
		// It is ready to draw the stream there, and does not yet.
		at.out.confirm(id, there.parent, there.revision)
		n.drawnFrom(at, id, true)
	default:
		n.drawnFrom(at, id, false)
	}
	return nil
}

// displaced reacts to the loss of a place that is still wanted.
func (n *Node) displaced(at *residence, id region.StreamID) {
	if at == n.residence {
		n.heedDuty(id, nil)
	}
	n.mu.Lock()
	p := at.placements[id]
	n.mu.Unlock()
	if p != nil {
		p.want(region.Joining, "")
	}
}

// ID names the member: the hash of its key.
func (n *Node) ID() region.MemberID { return n.id }

// Region is where the member is at home at present: regions are divided and merged,
// and their members follow.
func (n *Node) Region() region.ID { return n.residence.region() }

// Coordinators lists the gRPC addresses of the coordinators of its region that it knows,
// host:port; the leader first, if it is known.
func (n *Node) Coordinators() []string {
	list := n.group.known()
	if leader := n.group.leaderAddr(); leader != "" {
		list = slices.DeleteFunc(list, func(a string) bool { return a == leader })
		list = append([]string{leader}, list...)
	}
	return list
}

// Lease numbers the present stay.
func (n *Node) Lease() region.Lease { return n.lease() }

// Events delivers what happens to the node. It holds the last MaxEvents; older
// ones are dropped. It is closed when the node is.
func (n *Node) Events() <-chan Event { return n.events.ch }
