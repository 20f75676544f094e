package world

import (
	"fmt"
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

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
