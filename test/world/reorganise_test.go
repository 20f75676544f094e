package world

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/skein-mesh/skein/cmd/skein/latency"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg"
	"github.com/skein-mesh/skein/test/sim"
	"github.com/skein-mesh/skein/test/world/simnet"
)

// earth is the side of the plane on which the hosts of a far-flung world lie.
const earth = 60 * time.Millisecond

// ways are the true distances of a far-flung world. They do not change once the
// network has them, except by lengthen.
type ways struct {
	w     *world
	slow  map[netip.Addr]int
	hosts map[region.MemberID]netip.Addr // of those asked about
	// matrix, unless it is nil, has the distances between sites.
	matrix *latency.Matrix
	site   func(netip.Addr) int
}

// flung puts hosts far from one another.
func (w *world) flung() *ways {
	t := &ways{w: w, slow: map[netip.Addr]int{}, hosts: map[region.MemberID]netip.Addr{}}
	t.apply()
	return t
}

func (t *ways) apply() {
	slow := maps.Clone(t.slow)
	t.w.net.Profile(func(src, dst netip.Addr) simnet.Link { return simnet.Link{Latency: t.one(slow, src, dst)} })
}

// one is the way between two hosts, in one direction.
func (t *ways) one(slow map[netip.Addr]int, a, b netip.Addr) time.Duration {
	if a == b {
		return 50 * time.Microsecond
	}
	if t.matrix != nil {
		i, j := t.site(a), t.site(b)
		d := max((t.matrix.RTT(i, j)+t.matrix.RTT(j, i))/4, 50*time.Microsecond)
		return d * time.Duration(max(slow[a], slow[b], 1))
	}
	at := func(a netip.Addr) (x, y float64) {
		b := a.As4()
		chance := rand.New(rand.NewPCG(t.w.seed, uint64(binary.BigEndian.Uint32(b[:]))))
		return chance.Float64(), chance.Float64()
	}
	ax, ay := at(a)
	bx, by := at(b)
	d := 2*time.Millisecond + time.Duration(math.Hypot(ax-bx, ay-by)*float64(earth))
	return d * time.Duration(max(slow[a], slow[b], 1))
}

// RTT implements region.RTT.
func (t *ways) RTT(a, b region.MemberID) (time.Duration, bool) {
	if !t.host(a).IsValid() || !t.host(b).IsValid() {
		return 0, false
	}
	return 2 * t.one(t.slow, t.host(a), t.host(b)), true
}

// host is where a member stands; invalid if it is none of those who count.
func (t *ways) host(id region.MemberID) netip.Addr {
	if _, ok := t.hosts[id]; !ok {
		for _, p := range t.w.members {
			t.hosts[p.cfg.Credentials.ID()] = p.host.Addr()
		}
	}
	return t.hosts[id]
}

// lengthen makes all ways of a participant longer by a factor.
func (t *ways) lengthen(p *participant, factor int) {
	t.w.note("all ways of %s are %d times as long", p, factor)
	t.slow[p.host.Addr()] = factor
	t.apply()
}

// quality is the average delay of a stream by the true distances, over what
// planning with full knowledge makes of it, and over the level bound.
func (t *ways) quality(id region.StreamID) (overPlan, overBound float64) {
	now := time.Now()
	r := t.w.leader().server.Region(home).Clone()
	r.Policy = region.DefaultPolicy()
	t.carry(r, now, r.Remeasure(id, t))
	mine := t.average(r, id)
	bound := t.bound(r, id)
	for _, m := range reorg.Plan(r, t, reorg.Unlimited(), now, rand.New(rand.NewPCG(1, 1))).Moves {
		edits, err := r.Move(m.Steps, now, time.Minute, t)
		if err != nil {
			continue
		}
		t.carry(r, now, edits)
		for _, s := range m.Steps {
			t.carry(r, now, r.Confirmed(s.Stream, s.Member, s.To))
		}
	}
	return mine / t.average(r, id), mine / bound
}

func (t *ways) carry(r *region.Region, now time.Time, edits []region.Edit) {
	if len(edits) == 0 {
		return
	}
	base := r.Revision()
	if err := r.Apply(base+1, region.Change{Time: now, Base: base, Edits: edits}); err != nil {
		t.w.t.Fatal(err)
	}
}

func (t *ways) bound(r *region.Region, id region.StreamID) float64 {
	s, _ := r.Stream(id)
	v := &sim.World{Forward: milliseconds(region.DefaultForward)}
	var ids []region.MemberID
	for n := range r.Nodes(id) {
		if !t.host(n.Member).IsValid() {
			continue
		}
		m, _ := r.Member(n.Member)
		ids, v.Slots = append(ids, n.Member), append(v.Slots, int(m.Uplink/s.Rate(region.AllLayers)))
	}
	for _, a := range ids {
		row := make([]float64, len(ids))
		for i, b := range ids {
			rtt, _ := t.RTT(a, b)
			row[i] = milliseconds(rtt)
		}
		v.RTT = append(v.RTT, row)
	}
	return v.Bound(0, 1).Avg
}

// average is the mean delay of a stream by the true distances, in ms.
func (t *ways) average(r *region.Region, id region.StreamID) float64 {
	sum, count, delay := 0.0, 0, map[region.MemberID]time.Duration{}
	for n := range r.Nodes(id) {
		if n.Parent != "" && t.host(n.Member).IsValid() {
			rtt, _ := t.RTT(n.Member, n.Parent)
			delay[n.Member] = delay[n.Parent] + region.DefaultForward + rtt/2
			sum += milliseconds(delay[n.Member])
			count++
		}
	}
	return sum / float64(count)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// parted is the longest time between two packets when a member gets another
// parent, which may be nearer to the origin or farther from it.
const parted = 4*earth + 2*frame

// afar is inTheatre in a world that is far-flung.
func afar(t *testing.T, members int, story func(*world, *ways, []*viewer)) {
	inWorld(t, 1, 3, func(w *world) {
		know := w.flung()
		w.populate(mixed(members)...)
		list := w.stage("stage")
		w.settled()
		mark(list)
		story(w, know, list)
	})
}

// good waits until trees are near what full knowledge would make of them.
func (w *world) good(t *ways, limit time.Duration) {
	w.t.Helper()
	began := time.Now()
	w.within(limit, "the tree is good", func() error {
		time.Sleep(time.Second)
		if plan, bound := t.quality("stage"); plan > 1.03 || bound > 1.25 {
			return fmt.Errorf("%.3f times the plan, %.3f times the bound", plan, bound)
		}
		return nil
	})
	w.note("the tree is good after %v", time.Since(began))
}

// moves counts the members that change their parent in a stream, from now until
// the function returned is called.
func (w *world) moves(id region.StreamID) func() int {
	read := func() map[region.MemberID]region.MemberID {
		now := map[region.MemberID]region.MemberID{}
		for n := range w.leader().server.Region(home).Nodes(id) {
			now[n.Member] = n.Parent
		}
		return now
	}
	before := read()
	return func() int {
		count := 0
		for m, p := range read() {
			if before[m] != p {
				count++
			}
		}
		return count
	}
}

// A crowd that came when nobody knew anything gets a tree that is as good as one
// planned by somebody who knows everything, without the loss of a packet; then
// nothing is changed any more.
func TestTreesBecomeGoodAndStay(t *testing.T) {
	long(t)
	afar(t, 30, func(w *world, know *ways, list []*viewer) {
		w.good(know, 90*time.Second)
		w.unbroken(list, parted)
		time.Sleep(2 * time.Minute)
		count := w.moves("stage")
		time.Sleep(10 * time.Minute)
		if n := count(); n > 0 {
			t.Errorf("%d members were moved although nothing changed", n)
		}
		w.unbroken(list, parted)
		w.settled()
		// Roles that were exchanged so often are those that members go by.
		if kinds := w.happened(); kinds["verify.old-role"] > 0 || kinds["plan.confirmed"] == 0 {
			t.Errorf("people were told of %v", kinds)
		}
	})
}

// The ways of the busiest relay become three times as long: those below it are
// given others, without the loss of a packet.
func TestChangedDistancesAreCopedWith(t *testing.T) {
	long(t)
	afar(t, 30, func(w *world, know *ways, list []*viewer) {
		w.good(know, 90*time.Second)
		know.lengthen(w.relays("stage")[0], 3)
		plan, bound := know.quality("stage")
		w.note("at once: %.3f times the plan, %.3f times the bound", plan, bound)
		began := time.Now()
		w.within(60*time.Second, "the tree is good again", func() error {
			time.Sleep(time.Second)
			if plan, bound = know.quality("stage"); bound > 1.3 {
				return fmt.Errorf("%.3f times the plan, %.3f times the bound", plan, bound)
			}
			return nil
		})
		w.note("coped with after %v: %.3f times the plan, %.3f times the bound", time.Since(began), plan, bound)
		w.unbroken(list, parted)
		w.settled()
	})
}

// order has the leader plan, and carry it out, as an operator would.
func (w *world) order(ctx context.Context, apply bool) (*skeinv1.PlanResponse, error) {
	leader := w.leader()
	if leader == nil {
		return nil, region.ErrNotLeader
	}
	host := w.net.Host("10.3.0.1")
	conn, err := grpc.NewClient("passthrough:///"+leader.cfg.GRPC,
		grpc.WithTransportCredentials(credentials.NewTLS(w.issue(trust.RoleOperator).ClientTLS())),
		grpc.WithContextDialer(host.Dial))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return skeinv1.NewInspectionClient(conn).Plan(ctx, &skeinv1.PlanRequest{Region: string(home), Apply: apply})
}

// The leader dies in the middle of a plan, at any point: what was agreed to goes
// on, the rest is forgotten, and no packet is lost.
func TestLeaderDiesInTheMiddleOfAPlan(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	afar(t, 24, func(w *world, know *ways, list []*viewer) {
		chance := rand.New(rand.NewPCG(w.seed, 77))
		caught := 0
		var slow *participant
		for i := range rounds {
			// What was good is bad now, so that there is something to plan.
			if i%2 == 0 {
				slow = w.relays("stage")[0]
				know.lengthen(slow, 3)
			} else {
				know.lengthen(slow, 1)
			}
			mark(list)
			time.Sleep(time.Duration(chance.IntN(5)) * time.Second)
			done := make(chan struct{})
			go func() {
				defer close(done)
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				// Whatever comes of it: its leader is about to die.
				_, _ = w.order(ctx, true)
			}()
			dead := w.leader()
			if i%4 < 3 {
				for began := time.Now(); len(reserved(dead.server.Region(home))) == 0 && time.Since(began) < 30*time.Second; {
					time.Sleep(10 * time.Millisecond)
				}
				time.Sleep(time.Duration(chance.IntN(300)) * time.Millisecond)
			} else {
				time.Sleep(time.Duration(chance.IntN(8000)) * time.Millisecond)
			}
			before := reserved(dead.server.Region(home))
			if len(before) > 0 {
				caught++
			}
			dead.kill()
			<-done
			time.Sleep(15*time.Second - time.Millisecond)
			for m, deadline := range reserved(w.leader().server.Region(home)) {
				if deadline.Equal(before[m]) || time.Since(deadline) > 0 {
					t.Errorf("round %d: %s is in transition after 15 s", i, m)
				}
			}
			w.unbroken(list, parted)
			dead.start()
			time.Sleep(2 * time.Second)
		}
		t.Logf("%d of %d leaders died while a move was under way", caught, rounds)
		if caught*4 < rounds {
			t.Error("hardly any leader died while a move was under way")
		}
		w.settled()
	})
}

// reserved lists who is on the way in any tree, and until when.
func reserved(r *region.Region) map[region.MemberID]time.Time {
	list := map[region.MemberID]time.Time{}
	for s := range r.Streams() {
		for n := range r.Nodes(s.ID) {
			if n.State == region.Reserved {
				list[n.Member] = n.Deadline
			}
		}
	}
	return list
}
