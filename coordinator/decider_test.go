package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// A fakeLog applies entries to a structure of its own, unless told to refuse.
type fakeLog struct {
	mu       sync.Mutex
	region   *region.Region
	entries  []*skeinv1.Entry
	answers  map[requestKey]group.Answer
	revision region.Revision
	// refuse decides the fate of an entry before it is applied; nil accepts.
	refuse func(*skeinv1.Entry) error
	// slow is how long an entry takes.
	slow time.Duration
}

func newFakeLog() *fakeLog {
	return &fakeLog{region: region.New("r1", 512), answers: map[requestKey]group.Answer{}, revision: 1}
}

func (f *fakeLog) Propose(ctx context.Context, e *skeinv1.Entry) (group.Applied, error) {
	time.Sleep(f.slow)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		if err := f.refuse(e); err != nil {
			return group.Applied{}, err
		}
	}
	return f.apply(e)
}

func (f *fakeLog) ProposeDecided(ctx context.Context, e *skeinv1.Entry, next *region.Region) (group.Applied, error) {
	applied, err := f.Propose(ctx, e)
	if err == nil && next != nil && next.As(applied.Revision).Hash() != applied.Region.Hash() {
		return applied, fmt.Errorf("%w: the entry does not lead to what was decided", region.ErrInvalid)
	}
	return applied, err
}

// apply must be called with mu held.
func (f *fakeLog) apply(e *skeinv1.Entry) (group.Applied, error) {
	change, err := skeinv1.ToChange(e.Change)
	if err != nil {
		return group.Applied{}, err
	}
	if change.Base != f.region.Revision() {
		return group.Applied{}, region.ErrRevision
	}
	f.revision += 3 // the log holds more than changes
	if err := f.region.Apply(f.revision, change); err != nil {
		return group.Applied{}, err
	}
	if err := f.region.Check(); err != nil {
		return group.Applied{}, err
	}
	f.entries = append(f.entries, e)
	for _, a := range e.Answers {
		f.answers[requestKey{region.MemberID(a.Member), a.RequestId}] = group.Answer{
			RequestID: a.RequestId, Response: a.Response, Revision: f.revision,
		}
	}
	return group.Applied{Revision: f.revision, Change: change, Region: f.region.Clone()}, nil
}

func (f *fakeLog) State() *group.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &group.State{Region: f.region.Clone()}
}

func (f *fakeLog) Answer(m region.MemberID, id string, _ time.Time) (group.Answer, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, ok := f.answers[requestKey{m, id}]
	return a, ok
}

// inBubble runs a story of a decider in virtual time.
func inBubble(t *testing.T, story func(t *testing.T, d *decider, log *fakeLog, end func())) {
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		d := &decider{
			clock: time.Now,
			log:   log, rtts: newRTTs(), meter: newMeters().of("r1"), logger: slog.New(slog.DiscardHandler),
			hold: 10 * time.Second, delay: 5 * time.Millisecond, size: 256,
			queue: newQueue(8), pending: map[requestKey]*request{},
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { d.run(ctx, func() error { return &region.NotLeaderError{Leader: "next"} }) })
		end := func() {
			cancel()
			wg.Wait()
		}
		defer end()
		story(t, d, log, end)
	})
}

// joinRequest asks for a stay of a member with an uplink of 10 Mbit/s.
func joinRequest(m region.MemberID, id string) *request {
	return &request{member: m, id: id, urgency: forJoins, decide: func(d *draft) ([]byte, error) {
		answer, err := d.join(region.Member{ID: m, Uplink: 10000, Endpoint: region.Endpoint{Key: [32]byte{1}}})
		if err != nil {
			return nil, err
		}
		return marshal(answer)
	}}
}

func TestRequestsThatComeTogetherShareAnEntry(t *testing.T) {
	inBubble(t, func(t *testing.T, d *decider, log *fakeLog, _ func()) {
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				o, err := d.do(t.Context(), joinRequest(region.MemberID(fmt.Sprint("m", i)), "q"))
				if err != nil || o.revision != 4 {
					t.Errorf("join: revision %d, %v", o.revision, err)
				}
			})
		}
		wg.Wait()
		if len(log.entries) != 1 || log.region.MemberCount() != 5 {
			t.Errorf("%d entries, %d members", len(log.entries), log.region.MemberCount())
		}
	})
}

func TestARepeatedRequestGetsTheSameAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, d *decider, log *fakeLog, _ func()) {
		log.slow = time.Second
		var first, second outcome
		var wg sync.WaitGroup
		wg.Go(func() { first, _ = d.do(t.Context(), joinRequest("m", "q")) })
		// The second arrives while the first is in flight.
		time.Sleep(500 * time.Millisecond)
		wg.Go(func() { second, _ = d.do(t.Context(), joinRequest("m", "q")) })
		wg.Wait()
		third, err := d.do(t.Context(), joinRequest("m", "q"))
		if err != nil || !third.repeated {
			t.Fatalf("third: %+v, %v", third, err)
		}
		if string(first.response) != string(second.response) || string(first.response) != string(third.response) ||
			first.revision != third.revision || first.revision == 0 {
			t.Errorf("answers differ: %+v, %+v, %+v", first, second, third)
		}
		if len(log.entries) != 1 {
			t.Errorf("it was decided %d times", len(log.entries))
		}
	})
}

func TestOverloadIsSaidAndOrphansComeFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, d *decider, log *fakeLog, end func()) {
		log.slow = time.Second
		order := make(chan string, 100)
		ask := func(name string, u urgency) error {
			return d.submit(&request{urgency: u, decide: func(*draft) ([]byte, error) {
				order <- name
				return nil, nil
			}})
		}
		// While this entry is in flight nothing is taken out of the queue.
		go d.do(t.Context(), joinRequest("m", "q"))
		time.Sleep(100 * time.Millisecond)
		for i := range 8 {
			if err := ask(fmt.Sprint("join ", i), forJoins); err != nil {
				t.Fatal(err)
			}
		}
		err := ask("join 8", forJoins)
		if e, ok := errors.AsType[*region.OverloadError](err); !ok || e.RetryAfter <= 0 {
			t.Errorf("a ninth join: %v", err)
		}
		if err := ask("orphan", urgent); err != nil {
			t.Errorf("an orphan among joins: %v", err)
		}
		time.Sleep(2 * time.Second)
		end()
		close(order)
		var names []string
		for name := range order {
			names = append(names, name)
		}
		if len(names) != 8 || names[0] != "orphan" || names[1] != "join 0" || names[7] != "join 6" {
			t.Errorf("decided in the order %q", names)
		}
	})
}

func TestALostOfficeTellsWaiters(t *testing.T) {
	inBubble(t, func(t *testing.T, d *decider, log *fakeLog, end func()) {
		log.slow = time.Second
		log.refuse = func(*skeinv1.Entry) error { return fmt.Errorf("apply: %w", region.ErrOutcomeUnknown) }
		var inFlight, queued error
		var wg sync.WaitGroup
		wg.Go(func() { _, inFlight = d.do(t.Context(), joinRequest("m1", "q")) })
		time.Sleep(500 * time.Millisecond)
		wg.Go(func() { _, queued = d.do(t.Context(), joinRequest("m2", "q")) })
		synctest.Wait()
		end()
		wg.Wait()
		if !errors.Is(inFlight, region.ErrOutcomeUnknown) {
			t.Errorf("in flight: %v", inFlight)
		}
		for _, err := range []error{queued, d.submit(joinRequest("m3", "q"))} {
			if e, ok := errors.AsType[*region.NotLeaderError](err); !ok || e.Leader != "next" {
				t.Errorf("after the end: %v", err)
			}
		}
	})
}

// An entry of unknown outcome may be applied later, under the feet of the next
// batch. That is then decided anew on what is really there.
func TestABatchIsDecidedAnewWhenTheStructureMoved(t *testing.T) {
	inBubble(t, func(t *testing.T, d *decider, log *fakeLog, _ func()) {
		var late *skeinv1.Entry
		log.refuse = func(e *skeinv1.Entry) error {
			if late == nil {
				late = e
				return region.ErrOutcomeUnknown
			}
			log.refuse = nil
			if _, err := log.apply(late); err != nil {
				t.Errorf("the late entry: %v", err)
			}
			return nil
		}
		if _, err := d.do(t.Context(), joinRequest("m1", "q")); !errors.Is(err, region.ErrOutcomeUnknown) {
			t.Fatalf("first: %v", err)
		}
		if _, err := d.do(t.Context(), joinRequest("m2", "q")); err != nil {
			t.Fatalf("second: %v", err)
		}
		o, err := d.do(t.Context(), joinRequest("m1", "q"))
		if err != nil || !o.repeated {
			t.Errorf("the first again: %+v, %v", o, err)
		}
		if log.region.MemberCount() != 2 {
			t.Errorf("members:\n%s", log.region.Describe())
		}
	})
}

func TestARequestThatNobodyWaitsForIsNotDecided(t *testing.T) {
	inBubble(t, func(t *testing.T, d *decider, log *fakeLog, end func()) {
		log.slow = time.Second
		go d.do(t.Context(), joinRequest("m1", "q"))
		time.Sleep(100 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := d.do(ctx, joinRequest("m2", "q")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		end()
		if _, ok := log.region.Member("m2"); ok || len(d.pending) != 0 {
			t.Errorf("%d pending in\n%s", len(d.pending), log.region.Describe())
		}
	})
}

func TestOneFaultyDecisionLeavesTheOthersAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, d *decider, log *fakeLog, _ func()) {
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := d.do(t.Context(), joinRequest("m1", "q")); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			_, err := d.do(t.Context(), &request{member: "m2", id: "q", decide: func(w *draft) ([]byte, error) {
				if _, err := w.join(region.Member{ID: "m2"}); err != nil {
					return nil, err
				}
				return nil, w.leave(stay{"m2", 77}, false)
			}})
			if !errors.Is(err, region.ErrLease) {
				t.Errorf("faulty: %v", err)
			}
		})
		wg.Wait()
		if _, ok := log.region.Member("m2"); ok || log.region.MemberCount() != 1 {
			t.Errorf("structure:\n%s", log.region.Describe())
		}
	})
}

// What the log does not take together, because it is too big or one of it is faulty,
// is tried in parts: only who asked for what cannot be is refused.
func TestABatchThatTheLogRefusesIsDivided(t *testing.T) {
	inBubble(t, func(t *testing.T, d *decider, log *fakeLog, _ func()) {
		log.refuse = func(e *skeinv1.Entry) error {
			if len(e.Answers) > 2 {
				return fmt.Errorf("%d answers: %w", len(e.Answers), region.ErrLimit)
			}
			for _, a := range e.Answers {
				if a.Member == "m3" {
					return fmt.Errorf("an entry of %s: %w", a.Member, region.ErrLimit)
				}
			}
			return nil
		}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				_, err := d.do(t.Context(), joinRequest(region.MemberID(fmt.Sprint("m", i)), "q"))
				if refused := i == 3; refused != errors.Is(err, region.ErrLimit) || !refused && err != nil {
					t.Errorf("m%d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if _, ok := log.region.Member("m3"); ok || log.region.MemberCount() != 7 || len(d.pending) != 0 {
			t.Errorf("%d pending in\n%s", len(d.pending), log.region.Describe())
		}
		log.refuse = nil
		if _, err := d.do(t.Context(), joinRequest("m3", "again")); err != nil {
			t.Errorf("m3, once there is room: %v", err)
		}
	})
}

// What is patient shares the entry of what is not, and has one of its own in the end.
func TestThePatientShareAnEntry(t *testing.T) {
	q := newQueue(8)
	began := time.Now()
	for _, u := range []urgency{patient, forJoins} {
		if _, err := q.push(&request{urgency: u, queued: began}); err != nil {
			t.Fatal(err)
		}
	}
	const delay = 5 * time.Millisecond
	if n, due := q.state(delay); n != 2 || due.Sub(began) != delay || q.crowd() != 1 {
		t.Errorf("%d wait, %d of them crowd, the first until %v", n, q.crowd(), due.Sub(began))
	}
	if r := q.pop(); r.urgency != forJoins {
		t.Errorf("the first has urgency %d", r.urgency)
	}
	if n, due := q.state(delay); n != 1 || due.Sub(began) != patiently || q.crowd() != 0 {
		t.Errorf("%d wait, %d of them crowd, until %v", n, q.crowd(), due.Sub(began))
	}
}
