package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// ChannelName is that of the channel a directory runs on.
	ChannelName = "@directory"
	// firstRetry and lastRetry are when a coordinator that knows nobody looks
	// for others again; rejoinEvery is the longest that one which knows somebody
	// waits until it looks for those who are missing.
	firstRetry  = time.Second
	lastRetry   = 30 * time.Second
	rejoinEvery = time.Minute
	// updateTimeout bounds how long news of this coordinator may wait to be sent.
	updateTimeout = 2 * time.Second
	// retransmit times the logarithm of their number is to how many others news
	// are passed on by each who hears of them.
	retransmit = 6
	// packetSize bounds a packet of the pool: a few descriptors fit.
	packetSize = 16 << 10
)

// A Channel connects coordinators, see group.Channel.
type Channel interface {
	Accept() (net.Conn, error)
	Dial(ctx context.Context, node region.MemberID, address string) (net.Conn, error)
	Close() error
}

// A Config describes a coordinator's part in the directory.
type Config struct {
	// Channel that carries the pool; the Directory closes it.
	Channel Channel
	// Self is this coordinator, as others reach it.
	Self region.Host
	// MaxGroups is how many replicas it can host.
	MaxGroups int
	// Site, Operator and Volunteer are told to the others.
	Site, Operator string
	Volunteer      bool
	// Seeds are coordinators to meet first; this one may be among them.
	Seeds []region.Host
	// ProbeInterval is how often another coordinator is probed; 0 = the 5 s of
	// memberlist's profile for the Internet.
	ProbeInterval time.Duration
	// Vouched judges the voucher of a descriptor with which a region changes its
	// key: it was formed anew.
	Vouched func(*skeinv1.SignedDescriptor) error
	// Logger gets memberlist's own messages at debug level; nil discards.
	Logger *slog.Logger
}

// A Coordinator is one that the pool holds for alive.
type Coordinator struct {
	region.Host
	// Groups is how many replicas it hosts, of at most MaxGroups.
	Groups, MaxGroups int
	// Site and Operator are where it stands and who runs it, empty = unknown;
	// Retiring says that it wants to host no more.
	Site, Operator string
	Retiring       bool
	// Volunteer says that it runs beside a member, and gives its replicas back to
	// those that do not.
	Volunteer bool
	// RTT to it, 0 for this one; Known is false while it was not measured.
	RTT   time.Duration
	Known bool
}

// A Directory is a coordinator's knowledge of all regions. It is safe for
// concurrent use.
type Directory struct {
	self      region.Host
	maxGroups int
	seeds     []region.Host
	book      *Book
	rtts      *rtts
	list      *memberlist.Memberlist
	transport *transport
	queue     *memberlist.TransmitLimitedQueue
	logger    *slog.Logger
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	renew     chan struct{} // this coordinator has changed

	site, operator string
	volunteer      bool

	mu       sync.Mutex
	groups   int
	retiring bool
	peers    peers
}

// Open takes part in the pool. It does not wait for anybody.
func Open(cfg Config) (*Directory, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	host, portText, err := net.SplitHostPort(cfg.Self.Raft)
	port, portErr := strconv.ParseUint(portText, 10, 16)
	ip := net.ParseIP(host)
	if err != nil || portErr != nil || ip == nil {
		return nil, fmt.Errorf("directory: address %q: %w: want ip:port", cfg.Self.Raft, region.ErrInvalid)
	}
	d := &Directory{
		self: cfg.Self, maxGroups: cfg.MaxGroups, seeds: cfg.Seeds, book: NewBook(cfg.Vouched), rtts: newRTTs(), logger: cfg.Logger,
		renew: make(chan struct{}, 1), site: cfg.Site, operator: cfg.Operator, volunteer: cfg.Volunteer,
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	d.queue = &memberlist.TransmitLimitedQueue{NumNodes: d.size, RetransmitMult: retransmit}
	d.transport = newTransport(cfg.Channel, ip, int(port))
	m := memberlist.DefaultWANConfig()
	m.Name = string(cfg.Self.ID)
	m.Label = "skein/directory"
	m.Transport = d.transport
	m.EnableCompression = false
	m.DNSConfigPath = "/dev/null"
	m.UDPBufferSize = packetSize
	m.DeadNodeReclaimTime = time.Nanosecond // a coordinator may come back elsewhere
	m.Logger = slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug)
	m.Delegate, m.Ping, m.Events = delegate{d}, delegate{d}, delegate{d}
	if cfg.ProbeInterval > 0 {
		m.ProbeInterval = cfg.ProbeInterval
	}
	list, err := memberlist.Create(m)
	if err != nil {
		cancel()
		d.transport.end()
		return nil, fmt.Errorf("directory: %w", err)
	}
	d.mu.Lock()
	d.list = list
	d.mu.Unlock()
	d.wg.Go(func() { d.seek(ctx) })
	d.wg.Go(func() { d.tell(ctx) })
	return d, nil
}

// size counts the coordinators; memberlist asks before Create has returned.
func (d *Directory) size() int {
	d.mu.Lock()
	list := d.list
	d.mu.Unlock()
	if list == nil {
		return 1
	}
	return list.NumMembers()
}

// seek meets others at the seeds, as long as any are missing, so that halves of a pool
// find together: often while it still finds somebody, then less and less.
func (d *Directory) seek(ctx context.Context) {
	wait, known := firstRetry, 1
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		alive := map[region.MemberID]bool{d.self.ID: true}
		for _, c := range d.Coordinators() {
			alive[c.ID] = true
		}
		missing := slices.DeleteFunc(slices.Clone(d.seeds), func(h region.Host) bool { return alive[h.ID] })
		if len(missing) > 0 {
			h := missing[rand.IntN(len(missing))]
			// Whether it helped shows in the list.
			_, _ = d.list.Join([]string{string(h.ID) + "/" + h.Raft})
		}
		now := d.list.NumMembers()
		switch {
		case now > known:
			wait = firstRetry // a cluster is starting: pairs find one another, then the pairs
		case now > 1:
			wait = min(2*wait, rejoinEvery)
		default:
			wait = min(2*wait, lastRetry)
		}
		known = now
		timer.Reset(wait/2 + rand.N(wait/2))
	}
}

// Publish tells the world the newest descriptor of a region. What is not newer
// than what is known changes nothing.
func (d *Directory) Publish(s *skeinv1.SignedDescriptor) error {
	e, err := d.book.take(s, time.Now())
	switch {
	case err == nil:
		d.pass(e)
	case !errors.Is(err, errOld):
		return fmt.Errorf("publish a descriptor: %w", err)
	}
	return nil
}

// pass queues an entry for the others.
func (d *Directory) pass(e Entry) {
	data, err := proto.Marshal(e.Signed)
	if err != nil {
		d.logger.Error("cannot pass on a descriptor", "region", e.Region, "err", err)
		return
	}
	d.queue.QueueBroadcast(&news{name: string(e.Region), data: data})
}

// Regions lists all regions that are known, by ID, those that are over among them.
func (d *Directory) Regions() []Entry { return d.book.List(time.Now()) }

// Region finds a region.
func (d *Directory) Region(id region.ID) (Entry, bool) { return d.book.Find(id) }

// Changed is closed when the directory knows more than now.
func (d *Directory) Changed() <-chan struct{} { return d.book.changed() }

// Coordinators lists those that seem to be alive, this one included, by ID.
func (d *Directory) Coordinators() []Coordinator {
	d.mu.Lock()
	list := []Coordinator{{
		Host: d.self, Groups: d.groups, MaxGroups: d.maxGroups, Known: true,
		Site: d.site, Operator: d.operator, Retiring: d.retiring, Volunteer: d.volunteer,
	}}
	d.mu.Unlock()
	for _, c := range d.peers.list() {
		if c.ID == d.self.ID {
			continue
		}
		c.RTT, c.Known = d.rtts.of(c.ID)
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Coordinator) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// Coordinator finds one that seems to be alive.
func (d *Directory) Coordinator(id region.MemberID) (Coordinator, bool) {
	for _, c := range d.Coordinators() {
		if c.ID == id {
			return c, true
		}
	}
	return Coordinator{}, false
}

// Distance is the round-trip time to the nearest replica of a region: 0 if it is
// this coordinator, unknown if none was measured.
func (d *Directory) Distance(of region.Descriptor) (rtt time.Duration, known bool) {
	for _, h := range of.Replicas {
		if h.ID == d.self.ID {
			return 0, true
		}
		if r, ok := d.rtts.of(h.ID); ok && (!known || r < rtt) {
			rtt, known = r, true
		}
	}
	return rtt, known
}

// SetGroups tells the others, soon, how many replicas this coordinator hosts.
func (d *Directory) SetGroups(n int) {
	d.mu.Lock()
	same := d.groups == n
	d.groups = n
	d.mu.Unlock()
	if !same {
		d.restate()
	}
}

// SetRetiring tells the others, soon, whether this coordinator wants to host no more.
func (d *Directory) SetRetiring(retiring bool) {
	d.mu.Lock()
	d.retiring = retiring
	d.mu.Unlock()
	d.restate()
}

// restate has the others told of this coordinator.
func (d *Directory) restate() {
	select {
	case d.renew <- struct{}{}:
	default:
	}
}

// tell lets the others know what has changed of this coordinator.
func (d *Directory) tell(ctx context.Context) {
	for {
		select {
		case <-d.renew:
			// That nobody was told is no error: pushes and pulls repair it.
			_ = d.list.UpdateNode(updateTimeout)
		case <-ctx.Done():
			return
		}
	}
}

// Close leaves the pool without a farewell and closes the channel.
func (d *Directory) Close() error {
	d.cancel()
	d.transport.stop() // or a dial would hold up the seeker
	d.wg.Wait()
	err := d.list.Shutdown()
	d.transport.end()
	return err
}
