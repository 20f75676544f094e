package coordinator

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// An acknowledged is an answer that a member has in its hands.
type acknowledged struct {
	what       string
	revision   uint64
	begun, end time.Time
	holds      func() bool // in the structure at the end
}

// Coordinators are killed and started again at random while members join,
// publish and are admitted. Whatever was acknowledged is there at the end, the
// revisions in the answers agree with the order in which things happened, and
// all replicas hold the same.
//
// SKEIN_ROUNDS sets the number of kills; the default suits every day.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	rounds := 5
	if text := os.Getenv("SKEIN_ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		rounds = n
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 1))
	c := newCluster(t, 3, func(cfg *Config) {
		cfg.LeaseTTL, cfg.Reservation, cfg.MaxMembers = time.Hour, time.Hour, region.MaxMembers
	})
	origin := c.participant(1_000_000)
	origin.join()
	origin.publish("cam")

	h := &ledger{c: c}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					h.story()
				}
			}
		})
	}
	for range rounds {
		victim := chance.IntN(3)
		time.Sleep(time.Duration(chance.IntN(300)) * time.Millisecond)
		c.kill(victim)
		time.Sleep(time.Duration(chance.IntN(300)) * time.Millisecond)
		c.start(victim)
		h.progress()
	}
	close(stop)
	wg.Wait()
	c.agree()
	t.Logf("%d answers over %d kills", len(h.answers), rounds)
	h.judge()
	for _, a := range h.answers {
		if !a.holds() {
			t.Errorf("%s, acknowledged at revision %d, is lost", a.what, a.revision)
		}
	}
}

// A ledger holds what was acknowledged.
type ledger struct {
	c *cluster

	mu      sync.Mutex
	answers []acknowledged
}

// story lets a new member join, publish and be admitted.
func (h *ledger) story() {
	p := h.c.participant(uint32(rand.IntN(4)) * 1000)
	name := "data-" + string(p.id())
	h.do(fmt.Sprintf("the stay of %s", p.id()), func() uint64 { return p.join().Revision }, func() bool {
		m, ok := h.c.region().Member(p.id())
		return ok && uint64(m.Lease) == p.lease
	})
	h.do("the stream "+name, func() uint64 { return p.publish(name).Revision }, func() bool {
		_, ok := h.c.region().Stream(region.StreamID(name))
		return ok
	})
	var accepted *skeinv1.Role
	h.do(fmt.Sprintf("the admission of %s", p.id()), func() uint64 {
		answer := p.admit("cam")
		accepted = answer.GetAccepted()
		return answer.Revision
	}, func() bool {
		_, ok := h.c.region().Node("cam", p.id())
		return ok == (accepted != nil)
	})
	p.close()
}

func (h *ledger) do(what string, f func() uint64, holds func() bool) {
	begun := time.Now()
	revision := f()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers = append(h.answers, acknowledged{what, revision, begun, time.Now(), holds})
}

// progress waits until a few more answers have come.
func (h *ledger) progress() {
	count := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.answers)
	}
	first := count()
	h.c.until("members get answers", func() bool { return count() >= first+5 })
}

// judge checks that nothing that had ended before something else began has the
// later revision.
func (h *ledger) judge() {
	for _, a := range h.answers {
		for _, b := range h.answers {
			if a.end.Before(b.begun) && a.revision > b.revision {
				h.c.t.Errorf("%s ended before %s began, but has revision %d after %d", a.what, b.what, a.revision, b.revision)
			}
		}
	}
}
