package region

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A crowd whose places nobody confirms gives them back little by little, the oldest
// first, so that no change is too big for the log.
func TestACrowdThatIsNotConfirmedExpiresBitByBit(t *testing.T) {
	const together = 50 // admissions with the same deadline
	for name, c := range map[string]struct{ members, streams int }{
		"one tree": {600, 1}, "many trees": {40, 40},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, MaxMembers, newPlane(c.members, rand.New(rand.NewPCG(1, 2)), 0.3))
			d := w.r.draft()
			for i := range c.members {
				if err := d.do(PutMember{Member{ID: memberID(i), Lease: Lease(i + 1), Uplink: 4000 + Rate(i%3)*2000, Forward: time.Millisecond, Joined: epoch}}); err != nil {
					t.Fatal(err)
				}
			}
			for s := range c.streams {
				if err := d.do(PutStream{Stream{ID: crowdStream(s), Origin: memberID(s), Kind: Audio, Layers: []Rate{32}, SSRC: uint32(s+1) * MaxLayers}}); err != nil {
					t.Fatal(err)
				}
			}
			w.r = d.Region
			w.admitAll(c.members, c.streams, together)
			w.now = w.now.Add(time.Hour)
			before, _ := w.overdue()
			if before < 2*maxExpired {
				t.Fatalf("only %d places are overdue", before)
			}
			limit := 1 + before/maxExpired
			for calls := 1; w.r.Overdue(w.now); calls++ {
				_, oldest := w.overdue()
				if calls > limit {
					t.Fatalf("after %d calls some are still overdue", limit)
				}
				edits := w.r.Expire(w.now, w.rtt)
				w.apply(edits)
				after, next := w.overdue()
				if after > 0 && before-after < maxExpired {
					t.Errorf("call %d ended %d of %d reservations", calls, before-after, before)
				}
				// Whoever drew from those who leave gets another place.
				if len(edits) > 8*maxExpired {
					t.Errorf("call %d makes %d edits", calls, len(edits))
				}
				if c.streams == 1 && after > 0 && !next.After(oldest) {
					t.Errorf("call %d left the oldest", calls)
				}
				before = after
			}
			if before != 0 || len(w.r.Expire(w.now, w.rtt)) > 0 {
				t.Errorf("%d of none are overdue", before)
			}
		})
	}
}

// admitAll places everybody in all streams, some at the same time.
func (w *world) admitAll(members, streams, together int) {
	w.Helper()
	admitted := 0
	for i := range members {
		for s := range streams {
			if i == s {
				continue
			}
			at := epoch.Add(time.Duration(admitted/together) * time.Second)
			edits, decision, err := w.r.Admit(Admission{Stream: crowdStream(s), Child: memberID(i), Cause: Joining, Place: true}, at, time.Minute, w.rtt)
			if err != nil || !decision.OK {
				w.Fatalf("%v, %v", decision, err)
			}
			w.rev++
			if err := w.r.Apply(w.rev, Change{Time: at, Edits: edits}); err != nil {
				w.Fatal(err)
			}
			admitted++
		}
	}
}

// overdue counts the places that nobody has confirmed in time, and tells when the
// first of them ended.
func (w *world) overdue() (n int, first time.Time) {
	for s := range w.r.Streams() {
		for node := range w.r.Nodes(s.ID) {
			if node.State != Reserved || !node.Deadline.Before(w.now) {
				continue
			}
			if n++; first.IsZero() || node.Deadline.Before(first) {
				first = node.Deadline
			}
		}
	}
	return n, first
}
