package world

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/world/simnet"
)

const (
	home = region.ID("r1")
	// patience is how long, in virtual time, anything may take.
	patience = 2 * time.Minute
	// standstill is how long, in real time, the clock of a bubble may stand.
	standstill = time.Minute
	// span of the plane on which hosts lie: light needs that long for its side.
	span = 30 * time.Millisecond
)

// A world is a cluster and its members on a network made of events. The test's
// goroutine owns it; what others reach is guarded.
type world struct {
	t       *testing.T
	seed    uint64
	net     *simnet.Net
	ca      *trust.Authority
	tune    func(*coordinator.Config)
	journal *journal
	judge   *judge
	weather weather
	cuts    []cut

	coordinators []*seat
	members      []*participant
	cameras      map[region.StreamID]*camera
	watchers     sync.WaitGroup // goroutines of the audience
}

// inWorld runs a story in a bubble of its own, with so many coordinators.
func inWorld(t *testing.T, seed uint64, coordinators int, story func(*world)) {
	t.Helper()
	Bubble(t, standstill, func(t *testing.T) {
		w := newWorld(t, seed)
		w.found(coordinators)
		story(w)
	})
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, seed: seed, net: simnet.New(seed), ca: must(trust.NewAuthority(time.Now())),
		tune: func(*coordinator.Config) {}, journal: newJournal(), cameras: map[region.StreamID]*camera{},
	}
	w.judge = &judge{w: w, hashes: map[region.Revision][32]byte{}}
	w.blow(weather{})
	t.Cleanup(w.end)
	return w
}

// end stops everything: those who send, then the members, the coordinators, what
// the libraries do not wait for, and the network last.
func (w *world) end() {
	if w.t.Failed() {
		w.note("at the end:\n%s", w.books())
	}
	w.journal.close()
	w.heal()
	for _, c := range w.cameras {
		c.unplug()
	}
	for _, p := range w.members {
		if p.busy != nil {
			<-p.busy
		}
		p.close()
	}
	for _, s := range w.coordinators {
		s.kill()
	}
	w.watchers.Wait()
	time.Sleep(2 * time.Minute)
	w.net.Close()
	w.judge.history()
	if w.t.Failed() {
		w.t.Logf("seed %d; the last that happened:\n%s", w.seed, w.journal)
	}
}

// found starts so many coordinators and waits for a leader.
func (w *world) found(count int) {
	w.t.Helper()
	var peers []coordinator.Peer
	for i := range count {
		s := w.seat(i)
		w.coordinators = append(w.coordinators, s)
		peers = append(peers, coordinator.Peer{ID: s.cfg.Credentials.ID(), Raft: s.cfg.Raft, GRPC: s.cfg.GRPC})
	}
	for _, s := range w.coordinators {
		s.cfg.Groups = []coordinator.Group{{Region: home, Peers: peers}}
		s.start()
	}
	w.until("somebody leads", func() bool { return w.leader() != nil })
}

// populate lets members with these uplinks join, one after the other.
func (w *world) populate(uplinks ...region.Rate) []*participant {
	w.t.Helper()
	var list []*participant
	for _, u := range uplinks {
		p := w.participant(u)
		p.join()
		list = append(list, p)
	}
	return list
}

func (w *world) issue(role trust.Role) *trust.Credentials {
	return must(w.ca.Issue(must(trust.NewIdentity()), role, trust.CertificateTTL, time.Now()))
}

// folder is an empty folder that lasts as long as the test, in memory if there
// is such a place: what a disk takes is real time.
func (w *world) folder() string {
	dir, err := os.MkdirTemp("/dev/shm", "skein-world-")
	if err != nil {
		return w.t.TempDir()
	}
	w.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// until waits for a condition, never for a fixed time.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	w.within(patience, what, func() error {
		if holds() {
			return nil
		}
		return fmt.Errorf("not yet")
	})
}

// within waits until check has no complaint.
func (w *world) within(limit time.Duration, what string, check func() error) {
	w.t.Helper()
	began := time.Now()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Since(began) > limit {
			w.note("gave up waiting: %s", what)
			w.t.Fatalf("not in %v: %s: %v", limit, what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// note writes into the journal.
func (w *world) note(format string, args ...any) { w.journal.note(format, args...) }

// fault is a broken promise. It may be called from any goroutine.
func (w *world) fault(format string, args ...any) {
	w.note("FAULT "+format, args...)
	w.t.Errorf(format, args...)
}

// weather is what the network does to every datagram and segment.
type weather struct {
	loss, duplicate, reorder float64
	jitter                   time.Duration
}

// blow sets the weather.
func (w *world) blow(now weather) {
	w.weather = now
	seed := w.seed
	w.net.Profile(func(src, dst netip.Addr) simnet.Link {
		return simnet.Link{
			Latency: distance(seed, src, dst), Jitter: now.jitter,
			Loss: now.loss, Duplicate: now.duplicate, Reorder: now.reorder,
		}
	})
}

// distance is the one-way delay between two hosts: their last miles, and the way
// between their places on the plane, which follow from seed and address.
func distance(seed uint64, a, b netip.Addr) time.Duration {
	if a == b {
		return 50 * time.Microsecond
	}
	ax, ay := spot(seed, a)
	bx, by := spot(seed, b)
	return time.Millisecond + time.Duration(math.Hypot(ax-bx, ay-by)*float64(span))
}

func spot(seed uint64, a netip.Addr) (x, y float64) {
	h := fnv.New64a()
	b := a.As16()
	_, _ = fmt.Fprintf(h, "%d %x", seed, b)
	sum := h.Sum64()
	return float64(sum>>40) / (1 << 24), float64(sum>>8&0xffffff) / (1 << 24)
}

// A cut blocks packets until it is healed.
type cut struct {
	name    string
	blocked func(src, dst netip.AddrPort) bool
}

// cut blocks what matches, besides what is blocked already.
func (w *world) cut(name string, blocked func(src, dst netip.AddrPort) bool) {
	w.note("cut: %s", name)
	w.cuts = append(w.cuts, cut{name, blocked})
	w.applyCuts()
}

// heal ends all cuts.
func (w *world) heal() {
	if len(w.cuts) > 0 {
		w.note("healed")
	}
	w.cuts = nil
	w.applyCuts()
}

func (w *world) applyCuts() {
	if len(w.cuts) == 0 {
		w.net.Block(nil)
		return
	}
	cuts := append([]cut(nil), w.cuts...)
	w.net.Block(func(src, dst netip.AddrPort) bool {
		for _, c := range cuts {
			if c.blocked(src, dst) {
				return true
			}
		}
		return false
	})
}

// onPort matches what one protocol sends.
func onPort(port uint16) func(src, dst netip.AddrPort) bool {
	return func(src, dst netip.AddrPort) bool { return src.Port() == port || dst.Port() == port }
}

// between matches what passes from one side to the other, either way.
func between(inside func(netip.Addr) bool) func(src, dst netip.AddrPort) bool {
	return func(src, dst netip.AddrPort) bool { return inside(src.Addr()) != inside(dst.Addr()) }
}

// A seat is the machine of a coordinator; server is nil while none runs on it.
type seat struct {
	w      *world
	name   string
	host   *simnet.Host
	cfg    coordinator.Config
	server *coordinator.Server
	read   chan struct{} // closed when the judge has read all of the server's feed
}

func (w *world) seat(i int) *seat {
	host := w.net.Host(fmt.Sprintf("10.0.0.%d", i+1))
	s := &seat{w: w, name: fmt.Sprintf("c%d", i+1), host: host, cfg: coordinator.DefaultConfig()}
	s.cfg.Name = s.name
	s.cfg.Credentials, s.cfg.Authority = w.issue(trust.RoleCoordinator), w.ca
	s.cfg.DataDir = w.folder()
	s.cfg.GRPC, s.cfg.Raft = host.Addr().String()+":7400", host.Addr().String()+":7401"
	s.cfg.Network = host
	s.cfg.Logger = w.journal.logger(s.name)
	w.tune(&s.cfg)
	return s
}

// start runs a coordinator on what its folder holds.
func (s *seat) start() {
	s.w.t.Helper()
	s.host.PowerOn()
	server, err := coordinator.Start(context.Background(), s.cfg)
	if err != nil {
		s.w.t.Fatalf("%s does not start: %v", s.name, err)
	}
	s.w.note("%s starts", s.name)
	s.server, s.read = server, make(chan struct{})
	s.w.judge.follow(s, must(server.Follow(home, 0)))
}

// kill is what others see of kill -9: the sockets vanish first.
func (s *seat) kill() {
	if s.server == nil {
		return
	}
	s.w.note("%s is killed", s.name)
	s.host.Kill()
	s.stop()
}

// powerOff is silence.
func (s *seat) powerOff() {
	if s.server == nil {
		return
	}
	s.w.note("%s loses power", s.name)
	s.stop()
}

func (s *seat) stop() {
	s.host.PowerOff()
	time.Sleep(time.Millisecond)
	if err := s.server.Close(); err != nil {
		s.w.note("%s closes: %v", s.name, err)
	}
	<-s.read
	s.server = nil
}

func (w *world) leader() *seat {
	for _, s := range w.coordinators {
		if s.server != nil && s.server.Leading(home) {
			return s
		}
	}
	return nil
}

// region is the structure as the leader has it.
func (w *world) region() *region.Region {
	w.t.Helper()
	w.until("somebody leads", func() bool { return w.leader() != nil })
	return w.leader().server.Region(home)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
