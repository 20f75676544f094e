package gossip

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/skein-mesh/skein/region"
)

// Limits and periods.
const (
	// maxEvents is how many events wait for the reader of Pool.Events; the
	// newest are dropped and counted.
	maxEvents = 1024
	// maxKeys of a ring: the present one and those still being phased out.
	maxKeys = 8
	// seedsAtOnce bounds how many seeds one attempt to join contacts: one
	// answer brings the whole list.
	seedsAtOnce = 3
	// A member that knows nobody looks for seeds again after 1 s, doubling to
	// 30 s; one that knows somebody looks for those it has lost.
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
	// tablesEvery is how often a member compares its table with another's; in large
	// pools memberlist does it more seldom, 500 members every 25 min. A table of 500
	// is 50 kB, there and back. What is lost otherwise shows in probes, or is found
	// by looking for those who are gone.
	tablesEvery = 5 * time.Minute
	// broadcastTimeout bounds how long an update or a farewell may wait to be
	// sent; memberlist would wait for ever.
	broadcastTimeout = 2 * time.Second
)

// A Config describes one stay in a pool.
type Config struct {
	Socket *Socket
	// Advertise is the address others reach Socket at.
	Advertise netip.AddrPort

	Self       region.MemberID
	Lease      region.Lease
	Region     region.ID
	Generation region.Generation
	// Keys are AES keys of 32 bytes, newest first; at least one.
	Keys [][]byte
	// Seeds are gossip addresses (ip:port) of members to join at.
	Seeds []string

	// ProbeInterval is how often one other member is probed, and thereby one
	// RTT measured. Default 1 s.
	ProbeInterval time.Duration
	// ProbeTimeout is when a probe is tried through others. Default 500 ms.
	ProbeTimeout time.Duration
	// Logger gets memberlist's own messages at debug level. Default: discard.
	Logger *slog.Logger
}

// A Peer is a member as the pool knows it.
type Peer struct {
	ID    region.MemberID
	Lease region.Lease
	Addr  netip.AddrPort
}

// An EventKind says what the pool noticed.
type EventKind uint8

// The kinds of events.
const (
	// Seen: a member came up, or its lease changed.
	Seen EventKind = iota + 1
	// Gone: a member left or is held for dead; the pool does not tell which.
	Gone
	// RTT: a probe of the member was answered.
	RTT
)

// An Event is a hint from the pool.
type Event struct {
	Kind EventKind
	Peer Peer
	RTT  time.Duration // with kind RTT
}

// A Pool is a member's part in the gossip of its region. Its methods may be
// called from any goroutine.
type Pool struct {
	list    *memberlist.Memberlist
	ring    *memberlist.Keyring
	socket  *Socket
	self    region.MemberID
	addr    netip.AddrPort
	lease   atomic.Uint64
	events  chan Event
	dropped atomic.Uint64
	news    atomic.Uint64
	seeds   chan []string
	present present
	lost    lost
	// comparisons are still to be made; of seek.
	comparisons int
	cancel      context.CancelFunc
	wg          sync.WaitGroup
}

// Open starts the pool on c.Socket and joins it in the background; it does not
// wait for anybody. On success the Pool owns the Socket.
func Open(c Config) (*Pool, error) {
	if len(c.Keys) == 0 {
		return nil, fmt.Errorf("gossip: no key: %w", region.ErrInvalid)
	}
	if len(c.Keys) > maxKeys {
		return nil, fmt.Errorf("gossip: %d keys, at most %d: %w", len(c.Keys), maxKeys, region.ErrLimit)
	}
	ring, err := memberlist.NewKeyring(c.Keys, c.Keys[0])
	if err != nil {
		return nil, fmt.Errorf("gossip: keys: %w", err)
	}
	p := &Pool{ring: ring, socket: c.Socket, self: c.Self, addr: c.Advertise, events: make(chan Event, maxEvents), seeds: make(chan []string, 1)}
	p.lease.Store(uint64(c.Lease))
	if p.list, err = memberlist.Create(p.settings(c)); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.wg.Go(func() { p.seek(ctx, c.Seeds) })
	return p, nil
}

func (p *Pool) settings(c Config) *memberlist.Config {
	log := c.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	m := memberlist.DefaultLANConfig()
	m.Name = string(c.Self)
	m.Label = fmt.Sprintf("skein/%s@%d", c.Region, c.Generation)
	m.Transport = transport{Socket: c.Socket, advertise: c.Advertise}
	m.Keyring = p.ring
	m.EnableCompression = false
	m.PushPullInterval = tablesEvery
	m.DNSConfigPath = "/dev/null"
	m.RequireNodeNames = false
	// A member that comes back at another address takes its name back at once.
	m.DeadNodeReclaimTime = time.Nanosecond
	m.Logger = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	d := delegate{p}
	m.Delegate, m.Events, m.Ping, m.Alive = d, d, d, d
	if c.ProbeInterval > 0 {
		m.ProbeInterval = c.ProbeInterval
	}
	if c.ProbeTimeout > 0 {
		m.ProbeTimeout = c.ProbeTimeout
	}
	return m
}

// seek joins the pool at some of the seeds, again whenever nobody is known, and
// looks for those who are gone. It is the only caller of memberlist's Join.
func (p *Pool) seek(ctx context.Context, seeds []string) {
	wait := time.Duration(0)
	timer := time.NewTimer(0)
	defer timer.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			p.look()
			continue
		case seeds = <-p.seeds:
			wait = 0
		case <-timer.C:
		}
		if p.list.NumMembers() < 2 && len(seeds) > 0 {
			rand.Shuffle(len(seeds), func(i, j int) { seeds[i], seeds[j] = seeds[j], seeds[i] })
			// A failure shows in NumMembers, and is tried again. Others may come at the same
			// moment, of whom the seed has not heard yet: somebody's table tells a little later.
			if n, _ := p.list.Join(seeds[:min(len(seeds), seedsAtOnce)]); n > 0 {
				p.comparisons = max(p.comparisons, 1)
			}
		}
		wait = min(max(2*wait, firstRetry), lastRetry)
		timer.Reset(wait/2 + rand.N(wait/2))
	}
}

// look looks for somebody who is gone, and after a cut compares tables with
// somebody who is not.
func (p *Pool) look() {
	known := p.list.NumMembers()
	if p.lost.healed(known) {
		p.comparisons = comparisons
	}
	addr := p.lost.one(known)
	if peers := p.Peers(); addr == "" && p.comparisons > 0 && len(peers) > 0 {
		p.comparisons--
		addr = peers[rand.IntN(len(peers))].Addr.String()
	}
	if addr != "" {
		_, _ = p.list.Join([]string{addr}) // most of those who are gone are so for good
	}
}

// Events delivers what the pool notices, in order. The channel is never closed.
func (p *Pool) Events() <-chan Event { return p.events }

// Dropped counts events, packets and connections that a limit kept out.
func (p *Pool) Dropped() uint64 { return p.dropped.Load() + p.socket.dropped.Load() }

// News counts how often a member came up, changed its lease or was gone.
func (p *Pool) News() uint64 { return p.news.Load() }

// Peers lists the members that the pool holds for alive, this one excepted, in
// no particular order. The list may lack some.
func (p *Pool) Peers() []Peer { return p.present.list() }

// Size counts the members that the pool holds for alive, this one included.
func (p *Pool) Size() int { return p.list.NumMembers() }

// Bytes counts what the pool has sent and received.
func (p *Pool) Bytes() uint64 { return p.socket.bytes.Load() }

// Addr is the address others reach the pool's socket at.
func (p *Pool) Addr() netip.AddrPort { return p.addr }

// SetSeeds gives other members to join at, should nobody be known.
func (p *Pool) SetSeeds(seeds []string) {
	seeds = append([]string(nil), seeds...)
	for {
		select {
		case p.seeds <- seeds:
			return
		default:
		}
		select {
		case <-p.seeds:
		default:
		}
	}
}

// SetLease announces another stay of this member. It blocks for at most 2 s,
// until somebody was told; that nobody was is no error, push and pull repair it.
func (p *Pool) SetLease(l region.Lease) {
	if p.lease.Swap(uint64(l)) != uint64(l) {
		_ = p.list.UpdateNode(broadcastTimeout)
	}
}

// SetKeys replaces the ring: keys are newest first, and the newest encrypts.
func (p *Pool) SetKeys(keys [][]byte) error {
	if len(keys) == 0 || len(keys) > maxKeys {
		return fmt.Errorf("gossip: %d keys, want 1 to %d: %w", len(keys), maxKeys, region.ErrInvalid)
	}
	for _, k := range keys {
		if err := p.ring.AddKey(k); err != nil {
			return fmt.Errorf("gossip: add key: %w", err)
		}
	}
	if err := p.ring.UseKey(keys[0]); err != nil {
		return fmt.Errorf("gossip: use key: %w", err)
	}
	keep := make(map[string]bool, len(keys))
	for _, k := range keys {
		keep[string(k)] = true
	}
	for _, k := range p.ring.GetKeys() {
		if !keep[string(k)] {
			if err := p.ring.RemoveKey(k); err != nil {
				return fmt.Errorf("gossip: remove key: %w", err)
			}
		}
	}
	return nil
}

// Leave says farewell, for at most 2 s; Close must follow.
func (p *Pool) Leave() { _ = p.list.Leave(broadcastTimeout) }

// Close ends the pool at once, without a farewell, and closes its Socket.
func (p *Pool) Close() error {
	p.cancel()
	err := p.list.Shutdown()
	p.wg.Wait()
	return err
}

// encodeLease is the meta data of a member.
func encodeLease(l region.Lease) []byte {
	return binary.AppendUvarint([]byte{metaVersion}, uint64(l))
}

const metaVersion = 1

func decodeLease(meta []byte) (region.Lease, error) {
	if len(meta) < 2 || meta[0] != metaVersion {
		return 0, fmt.Errorf("gossip: meta data of an unknown version: %w", region.ErrInvalid)
	}
	l, n := binary.Uvarint(meta[1:])
	if n != len(meta)-1 {
		return 0, fmt.Errorf("gossip: malformed lease: %w", region.ErrInvalid)
	}
	return region.Lease(l), nil
}
