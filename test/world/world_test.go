package world

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
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
	standstill = 30 * time.Second
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
	judge   *judge // of the home region
	judges  map[region.ID]*judge
	weather weather
	cuts    []cut

	coordinators []*seat
	elsewhere    []*seat // coordinators of other regions, which the judge does not follow
	members      []*participant
	cameras      map[region.StreamID]*camera
	watchers     sync.WaitGroup // goroutines of the audience
	office       office
	chance       *rand.Rand // for stories; fates have their own
	liars        []*liar
	lied         int            // liars there have been
	faults       map[string]int // what struck, how often
	fingerprint  func() string  // nil: nobody wants to know
}

// inWorld runs a story in a bubble of its own, with so many coordinators of one
// region.
func inWorld(t *testing.T, seed uint64, coordinators int, story func(*world)) {
	t.Helper()
	inWorldOf(t, seed, coordinators, nil, story)
}

// inWorldOf is inWorld with coordinators that host further regions as well.
func inWorldOf(t *testing.T, seed uint64, coordinators int, more []region.ID, story func(*world)) {
	t.Helper()
	repeatable(t, seed)
	Bubble(t, standstill, func(t *testing.T) {
		w := newWorld(t, seed)
		w.found(coordinators, more...)
		story(w)
	})
}

// undivided keeps a region of so many members in one piece.
func undivided(members int) func(*coordinator.Config) {
	return func(c *coordinator.Config) {
		if members >= c.Boundary.SplitAt {
			c.Boundary.SplitAt = 0
		}
	}
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, seed: seed, net: simnet.New(seed), ca: must(trust.NewAuthority(time.Now())),
		tune: undivided(int(number(t, membersVariable))), journal: newJournal(), cameras: map[region.StreamID]*camera{},
		faults: map[string]int{}, chance: rand.New(rand.NewPCG(seed, 2)),
	}
	running.Add(1)
	if os.Getenv(replayVariable) != "" {
		w.fingerprint = w.trace()
	}
	w.judge = newJudge(w, home)
	w.judges = map[region.ID]*judge{home: w.judge}
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
	age := time.Since(w.journal.began)
	w.heal()
	w.office.end()
	for _, l := range w.liars {
		l.host.Kill()
	}
	w.shame()
	for _, c := range w.cameras {
		c.unplug()
	}
	for _, p := range w.members {
		if p.busy != nil {
			<-p.busy
		}
		p.close()
	}
	for _, s := range slices.Concat(w.coordinators, w.elsewhere) {
		s.kill()
	}
	w.watchers.Wait()
	time.Sleep(2 * time.Minute)
	w.net.Close()
	running.Add(-1)
	for _, j := range w.judges {
		j.history()
	}
	calls, _ := w.office.records()
	w.t.Logf("seed %d: %v, %d changes, %d calls of clerks; faults: %v", w.seed, age.Round(time.Second), len(w.judge.steps), len(calls), w.faults)
	if w.fingerprint != nil {
		w.t.Logf("seed %d: the network did %s", w.seed, w.fingerprint())
	}
	if w.t.Failed() {
		w.t.Logf("seed %d; the last that happened:\n%s", w.seed, w.journal)
	}
}

// found starts so many coordinators, of the home region and of others, and waits for
// leaders.
func (w *world) found(count int, more ...region.ID) {
	w.t.Helper()
	var peers []coordinator.Peer
	for i := range count {
		s := w.seat(i)
		w.coordinators = append(w.coordinators, s)
		peers = append(peers, coordinator.Peer{ID: s.cfg.Credentials.ID(), Raft: s.cfg.Raft, GRPC: s.cfg.GRPC})
	}
	for _, id := range append([]region.ID{home}, more...) {
		if w.judges[id] == nil {
			w.judges[id] = newJudge(w, id)
		}
		for _, s := range w.coordinators {
			s.cfg.Groups = append(s.cfg.Groups, coordinator.Group{Region: id, Peers: peers})
		}
	}
	for _, s := range w.coordinators {
		s.start()
	}
	for _, id := range append([]region.ID{home}, more...) {
		w.until("somebody leads "+string(id), func() bool { return w.leaderOf(id) != nil })
	}
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

// folders counts those of this process.
var folders atomic.Int64

// folder is an empty folder that lasts as long as the test, in memory if there
// is such a place: what a disk takes is real time. Its name is not drawn: to find
// another one because a run beside this one has it would change all that follows.
func (w *world) folder() string {
	dir := fmt.Sprintf("/dev/shm/skein-world-%07d-%04d", os.Getpid(), folders.Add(1))
	if err := os.Mkdir(dir, 0o700); err != nil {
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
			w.fault("not in %v: %s: %v", limit, what, err)
			w.t.FailNow()
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// note writes into the journal.
func (w *world) note(format string, args ...any) { w.journal.note(format, args...) }

// fault is a broken promise. It may be called from any goroutine.
func (w *world) fault(format string, args ...any) {
	w.note("FAULT "+format, args...)
	w.t.Errorf("after "+time.Since(w.journal.began).String()+": "+format, args...)
}

// must ends the story if something fails that is not its subject.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
