package group

import (
	"encoding/base32"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/world"
	"github.com/skein-mesh/skein/test/world/simnet"
)

// A cast is a cluster's coordinators on a simulated network, in virtual time.
type cast struct {
	t     *testing.T
	net   *simnet.Net
	ca    *trust.Authority
	nodes []*actor
}

// An actor is one coordinator process: a host, a listener, a folder, and a
// replica while it runs.
type actor struct {
	cast     *cast
	name     string
	host     *simnet.Host
	creds    *trust.Credentials
	dir      string
	disk     *faultyDisk // below the replica, whatever life it is in
	listener *Listener
	*Group
}

func bubble(t *testing.T, f func(t *testing.T)) { world.Bubble(t, 2*time.Minute, f) }

// newCast makes n coordinators; none runs yet.
func newCast(t *testing.T, n int) *cast {
	t.Helper()
	ca, err := trust.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := &cast{t: t, net: simnet.New(1), ca: ca}
	t.Cleanup(c.end)
	for range n {
		c.hire(trust.RoleCoordinator)
	}
	return c
}

// end stops everything in the order spikes taught: nodes, then the network.
func (c *cast) end() {
	for _, a := range c.nodes {
		a.stop()
	}
	time.Sleep(2 * time.Minute) // the library's last timers run out
	c.net.Close()
}

func (c *cast) hire(role trust.Role) *actor {
	c.t.Helper()
	id, err := trust.NewIdentity()
	if err != nil {
		c.t.Fatal(err)
	}
	creds, err := c.ca.Issue(id, role, 24*time.Hour, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	n := len(c.nodes) + 1
	a := &actor{
		cast: c, name: fmt.Sprintf("c%d", n), host: c.net.Host(fmt.Sprintf("10.0.0.%d", n)),
		creds: creds, dir: c.t.TempDir(), disk: &faultyDisk{},
	}
	c.nodes = append(c.nodes, a)
	return a
}

func (a *actor) address() string { return a.host.Addr().String() + ":7401" }

func (c *cast) voters() []Peer {
	var list []Peer
	for _, a := range c.nodes {
		list = append(list, Peer{Node: a.creds.ID(), Address: a.address()})
	}
	return list
}

// listen opens the actor's port if it is not open.
func (a *actor) listen() {
	a.cast.t.Helper()
	if a.listener != nil {
		return
	}
	cfg := DefaultListenerConfig()
	cfg.Address, cfg.Credentials, cfg.Network = a.address(), a.creds, a.host
	l, err := Listen(a.cast.t.Context(), cfg)
	if err != nil {
		a.cast.t.Fatal(err)
	}
	a.listener = l
}

func (a *actor) config(voters []Peer) Config {
	cfg := DefaultConfig()
	cfg.Region, cfg.Node, cfg.Dir, cfg.Listener, cfg.Voters = "r1", a.creds.ID(), a.dir, a.listener, voters
	cfg.RaftMultiplier = 1
	cfg.Logger = slog.New(slog.NewTextHandler(&testWriter{a.cast.t, a.name}, nil))
	cfg.Disk = a.disk.carry
	return cfg
}

// start runs a replica of r1 on the actor's folder.
func (a *actor) start(voters []Peer, tweaks ...func(*Config)) {
	a.cast.t.Helper()
	a.listen()
	cfg := a.config(voters)
	for _, tweak := range tweaks {
		tweak(&cfg)
	}
	g, err := Open(cfg)
	if err != nil {
		a.cast.t.Fatal(err)
	}
	a.Group = g
}

// stop ends replica and listener; start brings them back.
func (a *actor) stop() {
	a.disk.heal()
	if a.Group != nil {
		if err := a.Close(); err != nil {
			a.cast.t.Error(err)
		}
	}
	if a.listener != nil {
		a.listener.Close()
	}
	a.Group, a.listener = nil, nil
}

// die is what the others see of kill -9: the connections vanish first.
func (a *actor) die() {
	a.host.Kill()
	a.stop()
}

func (c *cast) startAll(tweaks ...func(*Config)) {
	c.t.Helper()
	for _, a := range c.nodes {
		a.start(c.voters(), tweaks...)
	}
}

// until waits, in virtual time, for what must come about within a minute.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for range 6000 {
		if cond() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("after a minute, not yet: %s", what)
}

// leader waits for an actor, other than those given, that may decide.
func (c *cast) leader(not ...*actor) *actor {
	c.t.Helper()
	var found *actor
	until(c.t, "a leader", func() bool {
		for _, a := range c.nodes {
			if a.leads() && !contains(not, a) {
				found = a
			}
		}
		return found != nil
	})
	return found
}

func contains(list []*actor, a *actor) bool {
	for _, b := range list {
		if a == b {
			return true
		}
	}
	return false
}

func (a *actor) leads() bool {
	if a.Group == nil {
		return false
	}
	_, l := a.current()
	return l.Leading
}

func (c *cast) followers() []*actor {
	leader := c.leader()
	var list []*actor
	for _, a := range c.nodes {
		if a != leader && a.Group != nil {
			list = append(list, a)
		}
	}
	return list
}

// agreed waits until all running replicas have the same state, and returns its
// hash.
func (c *cast) agreed() [32]byte {
	c.t.Helper()
	var sum [32]byte
	until(c.t, "agreement", func() bool {
		states := map[[32]byte]bool{}
		for _, a := range c.nodes {
			if a.Group != nil {
				sum = a.State().Hash()
				states[sum] = true
			}
		}
		return len(states) == 1
	})
	return sum
}

// id makes the n-th member's ID.
func id(n int) region.MemberID {
	name := base32.StdEncoding.EncodeToString([]byte(fmt.Sprintf("member%09d", n)))
	return region.MemberID(strings.ToLower(name))
}

// join is an entry by which the n-th member joins, decided on revision base. It
// carries an answer and the use of a token, as joins do.
func join(base region.Revision, n int) *skeinv1.Entry {
	now := time.Now()
	m := region.Member{ID: id(n), Lease: region.Lease(n), Name: fmt.Sprintf("member %d", n), Uplink: 8000, Joined: now}
	change := region.Change{Time: now, Base: base, Edits: []region.Edit{region.PutMember{Member: m}}}
	return &skeinv1.Entry{
		Version: EntryVersion,
		Change:  skeinv1.FromChange(change),
		Answers: []*skeinv1.Answer{{
			Member: string(id(n)), RequestId: fmt.Sprintf("join-%d", n), Response: []byte("welcome"),
			ExpiresMs: now.Add(2 * time.Minute).UnixMilli(),
		}},
		TokenUses: []*skeinv1.TokenUse{{Id: "token", ExpiresMs: now.Add(time.Hour).UnixMilli(), Count: 1}},
	}
}

// join lets members first to last join through this actor.
func (a *actor) join(first, last int) {
	a.cast.t.Helper()
	for n := first; n <= last; n++ {
		e := join(a.State().Region.Revision(), n)
		if _, err := a.Propose(a.cast.t.Context(), e); err != nil {
			a.cast.t.Fatalf("join %d at %s: %v", n, a.name, err)
		}
	}
}

// A faultyDisk stands between replicas and their disks, and fails on demand.
type faultyDisk struct {
	mu    sync.Mutex
	fault error
	stall chan struct{} // not nil: writes wait until it is closed
}

func (f *faultyDisk) hang()        { f.set(nil, make(chan struct{})) }
func (f *faultyDisk) fail(e error) { f.set(e, nil) }
func (f *faultyDisk) heal()        { f.set(nil, nil) }

func (f *faultyDisk) set(fault error, stall chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stall != nil {
		close(f.stall)
	}
	f.fault, f.stall = fault, stall
}

func (f *faultyDisk) carry(write func() error) error {
	f.mu.Lock()
	fault, stall := f.fault, f.stall
	f.mu.Unlock()
	if stall != nil {
		<-stall
	}
	if fault != nil {
		return fault
	}
	return write()
}

type testWriter struct {
	t    *testing.T
	name string
}

func (w *testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s %s", w.name, strings.TrimSpace(string(b)))
	return len(b), nil
}
