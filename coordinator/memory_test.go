package coordinator

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

// What a leader keeps in its memory: round-trip times, leases, faults.

func rttOf(r *rtts, a, b region.MemberID, now time.Time) (d time.Duration, ok bool) {
	r.use(now, func(rtt region.RTT) { d, ok = rtt.RTT(a, b) })
	return d, ok
}

func TestARoundTripTimeFallsAtOnceAndRisesByHalves(t *testing.T) {
	r, now := newRTTs(), time.UnixMilli(0)
	for _, step := range []struct{ sample, want time.Duration }{
		{80, 80}, {40, 40}, {120, 80}, {50, 50}, {45, 45}, {0, 45}, {-1, 45}, {time.Hour, 45},
	} {
		r.observe("a", "b", step.sample*time.Millisecond, now)
		for _, p := range [][2]region.MemberID{{"a", "b"}, {"b", "a"}} {
			if d, ok := rttOf(r, p[0], p[1], now); !ok || d != step.want*time.Millisecond {
				t.Errorf("after %v: %v, %v, want %v", step.sample, d, ok, step.want)
			}
		}
	}
	if _, ok := rttOf(r, "a", "b", now.Add(freshRTT+time.Second)); ok {
		t.Error("an old sample counts as known")
	}
	if d, ok := rttOf(r, "a", "c", now); ok || d != unknownRTT {
		t.Errorf("a stranger: %v, %v", d, ok)
	}
	r.forget(func(m region.MemberID) bool { return m == "b" })
	if d, ok := rttOf(r, "a", "b", now); ok || d != unknownRTT {
		t.Errorf("one that is gone: %v, %v", d, ok)
	}
}

// Members on a plane measure some of their neighbours. The others are estimated
// well enough to tell near from far.
func TestUnmeasuredRoundTripsAreEstimated(t *testing.T) {
	const n = 40
	chance := rand.New(rand.NewPCG(1, 2))
	var x, y [n]float64
	for i := range n {
		x[i], y[i] = chance.Float64()*100, chance.Float64()*100
	}
	truth := func(i, j int) time.Duration {
		return time.Duration((5 + math.Hypot(x[i]-x[j], y[i]-y[j])) * float64(time.Millisecond))
	}
	name := func(i int) region.MemberID { return region.MemberID(fmt.Sprintf("m%02d", i)) }
	r, now := newRTTs(), time.UnixMilli(0)
	for range 60 {
		for i := range n {
			if j := (i + 1 + chance.IntN(8)) % n; i != j {
				r.observe(name(i), name(j), truth(i, j), now)
			}
		}
	}
	var errors []float64
	for i := range n {
		for j := range i {
			d, known := rttOf(r, name(i), name(j), now)
			if !known {
				errors = append(errors, math.Abs(d.Seconds()-truth(i, j).Seconds())/truth(i, j).Seconds())
			}
		}
	}
	slices.Sort(errors)
	if median := errors[len(errors)/2]; len(errors) < 100 || median > 0.25 {
		t.Errorf("%d estimates, median error %.0f %%", len(errors), median*100)
	}
}

func TestALeaseEndsByItselfOrByTwoWitnesses(t *testing.T) {
	begun := time.UnixMilli(0)
	at := func(s float64) time.Time { return begun.Add(time.Duration(s * float64(time.Second))) }
	l := newLeases(10*time.Second, 5*time.Second, begun)
	s := stay{"m", 3}
	over := func(when float64, want bool) {
		t.Helper()
		if got := l.over(s, begun, at(when), false); got != want {
			t.Errorf("at %v s: over is %v", when, got)
		}
	}
	// A new leader grants in full, and grace.
	over(14.9, false)
	over(15.1, true)
	l.renew("m", 3, at(20))
	over(29.9, false)
	over(30.1, true)

	l.rumour(s, "a")
	l.rumour(s, "a")
	l.rumour(s, "m") // nobody is a witness of its own death
	over(29, false)
	l.rumour(s, "b")
	over(24.9, false) // it was heard lately
	over(25.1, true)
	if n := l.rumoured(s); n != 2 {
		t.Errorf("%d hold it for dead, want 2", n)
	}
	l.renew("m", 3, at(26)) // and refutes it
	if n := l.rumoured(s); n != 0 {
		t.Errorf("%d hold it for dead after its word", n)
	}
	over(35, false)

	l.rumour(stay{"m", 2}, "a")
	l.rumour(stay{"m", 2}, "b")
	over(35, false) // an earlier stay is none of this one's business
	l.sweep(func(stay) bool { return false }, func(region.MemberID) bool { return true })
	if len(l.heard)+len(l.rumours) != 0 {
		t.Error("something is left")
	}
}

func TestAFaultyPeerIsSetAside(t *testing.T) {
	f, now := newFaults(), time.UnixMilli(0)
	avoids := func(child region.MemberID, when time.Time, want ...region.MemberID) {
		t.Helper()
		if got := f.avoid(child, "", when); !slices.Equal(got, want) {
			t.Errorf("%s avoids %q, want %q", child, got, want)
		}
	}
	for range 3 { // it failed three streams at once
		f.report("a", "p", false, 100, now)
	}
	f.report("a", "a", false, 100, now)
	avoids("a", now, "p")
	avoids("b", now)
	avoids("a", now.Add(faultPause))
	// Again: for twice as long.
	now = now.Add(2 * sameFault)
	f.report("a", "p", false, 100, now)
	avoids("a", now.Add(faultPause+time.Second), "p")
	avoids("a", now.Add(2*faultPause))

	// The third witness sets it aside for everybody, for a while.
	f.report("b", "p", false, 100, now)
	avoids("z", now)
	f.report("c", "p", false, 100, now)
	avoids("z", now, "p")
	avoids("p", now)
	avoids("z", now.Add(commonPause))
	// And then not again soon, whatever is said.
	later := now.Add(commonPause + time.Second)
	for _, child := range []region.MemberID{"a", "b", "c", "d"} {
		f.report(child, "p", false, 100, later)
	}
	avoids("z", later)

	f.sweep(later.Add(time.Hour), func(region.MemberID) bool { return false })
	if len(f.children)+len(f.common) != 0 {
		t.Error("something is left")
	}
}

// What is held against a peer is over as soon as it feeds the child; refusals, which are
// about one stream and a moment, are not, but do not add up.
func TestWhoFeedsAChildIsNotSetAside(t *testing.T) {
	f, now := newFaults(), time.UnixMilli(0)
	for range 5 {
		now = now.Add(faultPause)
		f.report("a", "silent", false, 100, now)
		f.report("a", "full", true, 100, now)
	}
	both := []region.MemberID{"full", "silent"}
	if got := f.avoid("a", "", now.Add(faultPause-1)); !slices.Equal(got, both) {
		t.Errorf("a avoids %v, want %v", got, both)
	}
	if got := f.avoid("a", "", now.Add(faultPause)); !slices.Equal(got, both[1:]) {
		t.Errorf("a avoids %v, want %v", got, both[1:])
	}
	for _, peer := range both {
		f.reached("a", peer)
	}
	if got := f.avoid("a", "", now); !slices.Equal(got, both[:1]) {
		t.Errorf("a, which both feed, avoids %v, want %v", got, both[:1])
	}
}

// Who reaches nobody is cut off itself: once it is not any more, it is to find
// parents soon, however often it has failed.
func TestWhoReachesNobodyIsForgivenSoon(t *testing.T) {
	f, now := newFaults(), time.UnixMilli(0)
	peers := []region.MemberID{"p", "q", "r", "s"}
	for range 8 {
		now = now.Add(faultPause)
		for _, peer := range peers {
			f.report("a", peer, false, 10, now)
		}
	}
	if got := f.avoid("a", "", now.Add(faultPause-1)); !slices.Equal(got, peers) {
		t.Errorf("a avoids %v at once", got)
	}
	if got := f.avoid("a", "", now.Add(faultPause)); len(got) > 0 {
		t.Errorf("a still avoids %v", got)
	}
}

// However many lie, most members stay in use.
func TestLiarsCannotSetEverybodyAside(t *testing.T) {
	f, now := newFaults(), time.UnixMilli(0)
	for peer := range 50 {
		for _, liar := range []region.MemberID{"l1", "l2", "l3", "l4"} {
			f.report(liar, region.MemberID(fmt.Sprintf("p%02d", peer)), false, 50, now)
		}
	}
	if n := len(f.avoid("honest", "", now)); n != 5 {
		t.Errorf("%d of 50 are set aside", n)
	}
}

func TestANewStayIsGivenANewChance(t *testing.T) {
	f, now := newFaults(), time.UnixMilli(0)
	for _, child := range []region.MemberID{"a", "b", "c"} {
		f.report(child, "origin", false, 100, now)
	}
	if got := f.avoid("d", "", now); !slices.Equal(got, []region.MemberID{"origin"}) {
		t.Fatalf("after three witnesses d is told to avoid %v", got)
	}
	if got := f.avoid("d", "origin", now); len(got) > 0 {
		t.Errorf("d is told to avoid %v for the stream of which it is the origin", got)
	}
	f.forgive("origin")
	for _, child := range []region.MemberID{"a", "d"} {
		if got := f.avoid(child, "", now); len(got) > 0 {
			t.Errorf("%s is told to avoid %v, which has come back", child, got)
		}
	}
}

// Whoever dies is missed by the others; when most fall silent at once, it is the
// network that failed, and nobody's stay ends by time alone.
func TestLeasesOutlastAnOutage(t *testing.T) {
	begun := time.UnixMilli(0)
	at := func(s float64) time.Time { return begun.Add(time.Duration(s * float64(time.Second))) }
	r := region.New("r1", 100)
	var put []region.Edit
	for i := range 12 {
		id := region.MemberID(fmt.Sprintf("m%02d", i))
		put = append(put, region.PutMember{Member: region.Member{ID: id, Lease: region.Lease(i + 1), Joined: begun}})
	}
	if err := r.Apply(1, region.Change{Edits: put}); err != nil {
		t.Fatal(err)
	}
	hear := func(l *leases, first int, when time.Time) {
		for i := first; i < 12; i++ {
			l.renew(region.MemberID(fmt.Sprintf("m%02d", i)), region.Lease(i+1), when)
		}
	}
	l := newLeases(10*time.Second, 0, begun)
	first := stay{"m00", 1}

	hear(l, 6, at(9)) // half are silent: they died
	if l.outage(r, at(11), time.Minute) {
		t.Error("the silence of half is no outage")
	}
	l = newLeases(10*time.Second, 0, begun)
	hear(l, 7, at(9)) // one more
	if !l.outage(r, at(11), time.Minute) {
		t.Error("the silence of most is an outage")
	}
	if l.over(first, begun, at(11), true) {
		t.Error("a stay ended by time during an outage")
	}
	l.rumour(first, "m08")
	l.rumour(first, "m09")
	if !l.over(first, begun, at(11), true) {
		t.Error("two witnesses count also during an outage")
	}
	if hear(l, 7, at(70)); l.outage(r, at(72), time.Minute) {
		t.Error("an outage is believed for ever")
	}

	l = newLeases(10*time.Second, 0, begun)
	l.outage(r, at(11), time.Minute)
	if hear(l, 4, at(40)); l.outage(r, at(41), time.Minute) {
		t.Error("most are back, and it is still an outage")
	}
	if l.over(first, begun, at(50), false) {
		t.Error("a stay ended before its member had time to come back")
	}
	if !l.over(first, begun, at(52), false) {
		t.Error("who does not come back after an outage stays for ever")
	}
}

// A member joined while a leader led whose clock was far ahead, and was never heard
// by the next one: its stay ends when every lease does.
func TestLeaseOfALeaderWhoseClockWasAhead(t *testing.T) {
	begun := time.Unix(1000, 0)
	l := newLeases(10*time.Second, 5*time.Second, begun)
	who, joined := stay{"m1", 1}, begun.Add(time.Hour)
	if l.over(who, joined, begun.Add(14*time.Second), false) {
		t.Error("the stay ended before its lease")
	}
	if !l.over(who, joined, begun.Add(16*time.Second), false) {
		t.Error("a stay that began in an hour is not over")
	}
}
