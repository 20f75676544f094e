package world

import (
	"context"
	"sync"
	"testing"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// A contrary member has a place in a tree, votes against the tree for ever, says
// that others would be better parents, and objects to whatever it is shown.
type contrary struct {
	*clerk
	quit    chan struct{}
	done    sync.WaitGroup
	mu      sync.Mutex
	objects int // how often it has
	mute    bool
}

// oppose lets a contrary member join and take a place; a mute one says nothing to
// what it is shown.
func (w *world) oppose(n int, id region.StreamID, mute bool) *contrary {
	w.t.Helper()
	c := &contrary{clerk: w.clerk(100 + n), quit: make(chan struct{}), mute: mute}
	if err := c.join(0); err != nil {
		w.t.Fatal(err)
	}
	request := c.request()
	a, err := asks(c.clerk, func(ctx context.Context, m skeinv1.MembershipClient) (*skeinv1.AdmitResponse, error) {
		return m.Admit(ctx, &skeinv1.AdmitRequest{
			Region: string(home), RequestId: request, Lease: c.lease, Stream: string(id), Layers: 1,
			Cause: skeinv1.Cause_CAUSE_JOINING, Place: true,
		})
	})
	if err != nil || a.GetAccepted() == nil {
		w.t.Fatalf("%s has no place: %v, %v", c.name, a, err)
	}
	parent := a.GetAccepted().GetParent().GetPeer().GetId()
	c.done.Go(func() {
		for c.session(string(id), parent) {
			c.at++
			time.Sleep(200 * time.Millisecond)
		}
	})
	return c
}

// session speaks until it breaks, and reports whether there is to be another.
func (c *contrary) session(stream, parent string) bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := skeinv1.NewMembershipClient(c.conns[c.at%len(c.conns)]).Session(ctx)
	if err != nil {
		return true
	}
	answers := make(chan *skeinv1.MoveAnswer, 64)
	over := make(chan struct{})
	go func() { // ends with ctx
		defer close(over)
		for {
			m, err := s.Recv()
			if err != nil {
				return
			}
			for _, p := range m.GetProposals() {
				answers <- &skeinv1.MoveAnswer{Id: p.Id, Objection: skeinv1.Objection_OBJECTION_OVERLOADED, Detail: "out of principle"}
			}
		}
	}()
	defer func() { cancel(); <-over }()
	m := &skeinv1.SessionRequest{Hello: &skeinv1.SessionHello{Region: string(home), Lease: c.lease, Generation: c.generation}}
	// What it says of its ways makes planners want to move it.
	ids, _ := names(c.w.judge.structure())
	for i, peer := range ids {
		rtt := 2_000 + 5_000*((i+len(c.name))%12)
		if c.mute && peer == parent { // so that it is asked for certain
			rtt = 200_000
		}
		m.Rtts = append(m.Rtts, &skeinv1.RttSample{Peer: peer, RttUs: int64(rtt)})
	}
	for s.Send(m) == nil {
		m = &skeinv1.SessionRequest{
			Heartbeat: &skeinv1.Heartbeat{}, Vote: &skeinv1.Vote{RegretPermille: 1000},
			Confirmations: []*skeinv1.Confirmation{{Stream: stream, Parent: parent}},
			Digest:        &skeinv1.Digest{Edges: []*skeinv1.DigestEdge{{Stream: stream, Parent: parent}}},
		}
		select {
		case a := <-answers:
			if !c.mute {
				m.Answers = append(m.Answers, a)
			}
			c.mu.Lock()
			c.objects++
			c.mu.Unlock()
		case <-time.After(time.Second):
		case <-over:
			return true
		case <-c.quit:
			return false
		}
	}
	return true
}

// yield ends the stay.
func (c *contrary) yield() {
	close(c.quit)
	c.done.Wait()
	for c.lease != 0 && !c.ending {
		c.leave()
	}
	c.close()
}

// A third of the members votes for ever and objects to everything. What the others
// have becomes as good as it would, a member that votes is asked less and less
// often, and votes alone move nobody.
func TestVotesAndObjectionsHurtNobodyElse(t *testing.T) {
	long(t)
	inWorld(t, 1, 3, func(w *world) {
		know := w.flung()
		w.populate(mixed(20)...)
		list := w.stage("stage")
		w.settled()
		var against []*contrary
		for i := range 10 {
			against = append(against, w.oppose(i, "stage", false))
		}
		mark(list)
		w.good(know, 2*time.Minute)
		time.Sleep(2 * time.Minute)
		count := w.moves("stage")
		time.Sleep(10 * time.Minute)
		if n := count(); n > 0 {
			t.Errorf("%d members were moved although nothing changed", n)
		}
		objections := 0
		for _, c := range against {
			objections += c.objects
			c.yield()
		}
		// A refusal is heeded for 30 s at first, for 10 min in the end.
		t.Logf("%d objections in %v", objections, time.Since(w.journal.began).Round(time.Second))
		if most := 8 * len(against); objections > most {
			t.Errorf("%d objections, %d were to be expected", objections, most)
		}
		w.unbroken(list, parted)
		w.settled()
	})
}

// Some members never answer what they are asked. The others do not wait for them:
// what they have becomes as good as it would, and the silent ones are asked less and
// less often.
func TestWhoNeverAnswersIsInNobodysWay(t *testing.T) {
	long(t)
	inWorld(t, 1, 3, func(w *world) {
		know := w.flung()
		w.populate(mixed(16)...)
		list := w.stage("stage")
		w.settled()
		var mute []*contrary
		for i := range 4 {
			mute = append(mute, w.oppose(i, "stage", true))
		}
		mark(list)
		w.good(know, 2*time.Minute)
		time.Sleep(10 * time.Minute)
		asked := 0
		for _, c := range mute {
			asked += c.objects
			c.yield()
		}
		t.Logf("%d questions were not answered", asked)
		if kinds := w.happened(); asked == 0 || asked > 8*len(mute) || kinds["plan.objected"] == 0 {
			t.Errorf("%d questions, want 1 to %d; people were told of %v", asked, 8*len(mute), kinds)
		}
		w.unbroken(list, parted)
		w.settled()
	})
}
