package world

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

var (
	plaza = region.Space{ID: "plaza"}
	// nearby is what walkers are interested in unless a story says otherwise.
	nearby = member.Nearest{Radius: 30, Max: 8}
)

const (
	// spoken is the time between two packets of a voice.
	spoken = 40 * time.Millisecond
	// soon is how long a voice may take from the moment its speaker is near, and
	// quiet how long it may be heard after it is not.
	soon  = 400 * time.Millisecond
	quiet = 500 * time.Millisecond
)

// A walker stands in the plaza, says something all the time, and notes whom it hears.
type walker struct {
	p        *participant
	presence *member.Presence

	mu    sync.Mutex
	ears  map[region.StreamID]time.Time    // when each stream came last
	came  map[region.StreamID]map[int]bool // layers since forget
	dupes int
}

// walk lets a participant enter the plaza.
func (p *participant) walk(at region.Place, rules ...member.Rule) *walker {
	p.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	v := &walker{p: p, ears: map[region.StreamID]time.Time{}, came: map[region.StreamID]map[int]bool{}}
	v.speak()
	var err error
	if v.presence, err = p.node.Enter(ctx, plaza, at); err == nil {
		err = v.presence.Interest(rules...)
	}
	if err != nil {
		p.w.t.Fatalf("%s enters: %v", p, err)
	}
	p.w.watchers.Go(v.attend)
	return v
}

func (v *walker) voice() region.StreamID { return region.StreamID(v.p.name + "/voice") }

// speak publishes the voice for as long as the member takes part.
func (v *walker) speak() {
	w := v.p.w
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pub, err := v.p.node.Publish(ctx, member.Stream{Name: v.voice(), Kind: region.Audio, Layers: []region.Rate{32}, Codec: "opus"})
	if err != nil {
		w.t.Fatalf("%s speaks: %v", v.p, err)
	}
	stop := make(chan struct{})
	v.p.ends = append(v.p.ends, func() { close(stop) })
	w.watchers.Go(func() {
		ticker := time.NewTicker(spoken)
		defer ticker.Stop()
		for n := uint16(1); ; n++ {
			select {
			case <-ticker.C:
			case <-stop:
				return
			}
			packet := &rtp.Packet{
				Header:  rtp.Header{Version: 2, PayloadType: 111, SequenceNumber: n, Timestamp: uint32(n) * 1920},
				Payload: binary.BigEndian.AppendUint64(make([]byte, 0, 60), uint64(n))[:60],
			}
			if err := pub.WriteRTP(packet); err != nil && !errors.Is(err, region.ErrClosed) {
				w.fault("%s says something: %v", v.p, err)
			}
		}
	})
}

// attend listens to whoever comes.
func (v *walker) attend() {
	var readers sync.WaitGroup
	defer readers.Wait()
	reading := map[*member.Subscription]bool{}
	for e := range v.presence.Encounters() {
		v.p.w.note("%s: %v %s %v at %.1f m", v.p, e.Kind, e.Stream, e.Detail, e.Distance)
		if e.Kind == member.Came && !reading[e.Subscription] {
			reading[e.Subscription] = true
			readers.Go(func() { v.listen(e.Stream, e.Subscription) })
		}
	}
}

func (v *walker) listen(id region.StreamID, sub *member.Subscription) {
	var last [region.MaxLayers]uint64
	for {
		p, err := sub.Read(context.Background())
		if err != nil {
			return
		}
		v.mu.Lock()
		v.ears[id] = time.Now()
		if p.Index <= last[p.Layer] {
			v.dupes++
		}
		last[p.Layer] = p.Index
		if v.came[id] == nil {
			v.came[id] = map[int]bool{}
		}
		v.came[id][p.Layer] = true
		v.mu.Unlock()
	}
}

// hears says whether o's voice came lately.
func (v *walker) hears(o *walker) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return time.Since(v.ears[o.voice()]) < 4*spoken
}

// forget begins anew to note which layers come.
func (v *walker) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.came)
}

// layers are those that have come of a stream since forget.
func (v *walker) layers(id region.StreamID) []int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Sorted(maps.Keys(v.came[id]))
}

// company is whose voices v hears, by name.
func (v *walker) company() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var list []string
	for id, at := range v.ears {
		if time.Since(at) < 4*spoken {
			list = append(list, string(id))
		}
	}
	slices.Sort(list)
	return list
}

// within says how long it takes until a condition holds.
func (v *walker) until(limit time.Duration, what string, holds func() bool) {
	v.p.w.t.Helper()
	v.p.w.within(limit, what, func() error {
		if !holds() {
			return fmt.Errorf("%s hears %v", v.p, v.company())
		}
		return nil
	})
}

// stroll moves somebody straight to a place at a speed in metres per second, thirty
// times a second, and calls look after every step.
func (v *walker) stroll(to region.Place, speed float64, look func(at region.Place)) {
	const step = time.Second / 30
	at := v.presence.Place()
	for at.Distance(to) > 0 {
		part := min(1, speed*step.Seconds()/at.Distance(to))
		at.X, at.Y = at.X+part*(to.X-at.X), at.Y+part*(to.Y-at.Y)
		if part == 1 {
			at = to
		}
		if err := v.presence.Move(at); err != nil {
			v.p.w.t.Fatal(err)
		}
		time.Sleep(step)
		look(at)
	}
}

// control is what a participant has exchanged with coordinators so far, in bytes.
func (p *participant) control() uint64 { return p.node.Stats().Control.Coordinators }

func TestTwoWalkTowardsEachOther(t *testing.T) {
	inWorld(t, 1, 3, func(w *world) {
		w.populate(mixed(4)...)
		a := w.members[0].walk(region.Place{}, nearby)
		b := w.members[1].walk(region.Place{X: 200}, nearby)
		time.Sleep(5 * time.Second)
		if a.hears(b) || b.hears(a) {
			t.Fatal("they hear each other at 200 m")
		}
		var entered time.Time
		b.stroll(region.Place{X: 20}, 6, func(at region.Place) {
			switch {
			case at.X > nearby.Radius*region.LeaveFactor && a.hears(b):
				t.Fatalf("heard at %.1f m", at.X)
			case at.X <= nearby.Radius && entered.IsZero():
				entered = time.Now()
			case !entered.IsZero() && time.Since(entered) > soon && !(a.hears(b) && b.hears(a)):
				t.Fatalf("not heard at %.1f m, %v after coming near", at.X, time.Since(entered))
			}
		})
		// In at 30 m, out at 37.5 m: in between they stay.
		b.stroll(region.Place{X: 36}, 6, func(at region.Place) {
			if !a.hears(b) {
				t.Fatalf("lost at %.1f m", at.X)
			}
		})
		b.stroll(region.Place{X: 60}, 6, func(region.Place) {})
		if a.hears(b) || b.hears(a) {
			t.Error("they hear each other at 60 m")
		}
		if a.dupes+b.dupes > 0 {
			t.Errorf("packets came twice: %d, %d", a.dupes, b.dupes)
		}
	})
}

// The leader, which owns all cells, is killed while people walk: who hears whom goes
// on, and those who come near one another afterwards find each other.
func TestTheOwnerOfACellIsKilled(t *testing.T) {
	inWorld(t, 2, 3, func(w *world) {
		w.populate(mixed(6)...)
		a := w.members[0].walk(region.Place{}, nearby)
		b := w.members[1].walk(region.Place{X: 10}, nearby)
		far := w.members[2].walk(region.Place{X: 300}, nearby)
		a.until(5*time.Second, "a hears b", func() bool { return a.hears(b) && b.hears(a) })
		w.leader().kill()
		for range 50 { // over the election
			if time.Sleep(100 * time.Millisecond); !a.hears(b) || !b.hears(a) {
				t.Fatal("silence while there is no owner")
			}
		}
		// Who was known goes on being heard wherever it walks: its place needs no owner.
		b.stroll(region.Place{X: 30}, 6, func(region.Place) {})
		if !a.hears(b) {
			t.Error("lost at 30 m")
		}
		w.until("somebody leads again", func() bool { return w.leader() != nil })
		far.stroll(region.Place{X: 15}, 10, func(region.Place) {})
		a.until(2*time.Second, "the third is found", func() bool { return a.hears(far) && far.hears(a) && far.hears(b) })
		// Who leaves is gone for the new owner, too.
		w.members[1].leave()
		a.until(5*time.Second, "b is gone", func() bool { return !a.hears(b) && len(a.presence.Around()) == 1 })
	})
}

// Cells are owned by regions: some of those between two walkers of different regions
// by the one, some by the other, and when an owner's leader is killed it heals.
func TestWalkersOfTwoRegions(t *testing.T) {
	inWorld(t, 3, 3, func(w *world) {
		w.populate(mixed(4)...)
		w.colonise(3)
		abroad := w.settle(mixed(4)...)
		time.Sleep(10 * time.Second) // until each coordinator knows both regions
		owners := map[region.ID]bool{}
		for x := range int32(8) {
			owners[region.Owner(plaza.Key(region.Cell{X: x}), []region.ID{home, away})] = true
		}
		if len(owners) != 2 {
			t.Fatalf("one region owns all cells: %v", owners)
		}
		a := w.members[0].walk(region.Place{X: 32, Y: 32}, nearby)
		b := abroad[0].walk(region.Place{X: 52, Y: 32}, nearby)
		meet := func(what string) {
			t.Helper()
			a.until(5*time.Second, what, func() bool { return a.hears(b) && b.hears(a) })
		}
		meet("they hear each other")
		killed := false
		for x := 96.0; x < 8*64; x += 64 {
			// Both go to the next cell, one after the other.
			b.stroll(region.Place{X: x + 20, Y: 32}, 10, func(region.Place) {})
			a.stroll(region.Place{X: x, Y: 32}, 10, func(region.Place) {})
			meet(fmt.Sprintf("they hear each other at %v m", x))
			if x > 200 && !killed {
				killed = true
				w.leaderAbroad().kill()
				w.leader().kill()
				w.until("both regions have leaders", func() bool { return w.leader() != nil && w.leaderAbroad() != nil })
			}
		}
		b.stroll(region.Place{X: 2000}, 100, func(region.Place) {})
		a.until(2*time.Second, "b is out of hearing", func() bool { return !a.hears(b) && !b.hears(a) })
	})
}

// Three hundred stand in one cell. Somebody who comes in knows no more of them than it
// can bear, hears the nearest, and costs little.
func TestACrowdInACell(t *testing.T) {
	inWorld(t, 4, 1, func(w *world) {
		const hosts, each = 5, 60
		w.populate(slices.Repeat([]region.Rate{10_000}, hosts+1)...)
		ctx := context.Background()
		at := map[region.PresenceID]region.Place{}
		for h, p := range w.members[:hosts] {
			for i := range each {
				n := h*each + i
				place := region.Place{X: 2 + float64(n%20)*3, Y: 2 + float64(n/20)*4}
				one, err := p.node.EnterAs(ctx, fmt.Sprintf("n%d", n), plaza, place)
				if err != nil {
					t.Fatal(err)
				}
				at[one.ID()] = place
			}
		}
		self := region.Place{X: 32.5, Y: 30.5}
		v := w.members[hosts].walk(self, nearby)
		time.Sleep(15 * time.Second)
		before := v.p.control()
		time.Sleep(time.Minute)
		if rate := (v.p.control() - before) / 60; rate > 4000 {
			t.Errorf("%d bytes per second with the coordinators", rate)
		}
		around := v.presence.Around()
		if len(around) > region.MaxBystanders || len(around) < region.MaxBystanders-20 {
			t.Errorf("%d are known, at most %d should", len(around), region.MaxBystanders)
		}
		interested := map[region.PresenceID]bool{}
		for _, b := range around {
			if b.Interested {
				interested[b.Who] = true
			}
		}
		want := region.Nearest{Radius: nearby.Radius, Max: nearby.Max}.Choose(self, nil, neighbours(at))
		if len(interested) != nearby.Max {
			t.Errorf("interested in %d, want %d", len(interested), nearby.Max)
		}
		for _, i := range want {
			if !interested[i.Who] {
				t.Errorf("%s at %.1f m is of no interest: %v", i.Who, i.Distance, interested)
			}
		}
	})
}

func neighbours(at map[region.PresenceID]region.Place) (list []region.Neighbour) {
	for who, place := range at {
		list = append(list, region.Neighbour{Who: who, Place: place})
	}
	return list
}

// Somebody jumps across the world ten times a second, among a hundred who stand here and
// there. It costs no more than others do, nobody else notices, and where it ends up it is found.
func TestSomebodyJumps(t *testing.T) {
	inWorld(t, 5, 3, func(w *world) {
		const hosts, each = 4, 25
		w.populate(slices.Repeat([]region.Rate{10_000}, hosts+2)...)
		ctx := context.Background()
		for h, p := range w.members[:hosts] {
			for i := range each {
				place := region.Place{X: 100 * float64(h*each+i)}
				if _, err := p.node.EnterAs(ctx, fmt.Sprintf("n%d", i), plaza, place); err != nil {
					t.Fatal(err)
				}
			}
		}
		still := w.members[hosts].walk(region.Place{X: 5000}, nearby)
		jumper := w.members[hosts+1].walk(region.Place{}, nearby)
		time.Sleep(10 * time.Second)
		bytes, quiet := jumper.p.control(), still.p.control()
		entries := w.leader().server.Region(home).Revision()
		const seconds = 60
		for range 10 * seconds {
			if err := jumper.presence.Move(region.Place{X: 10_000 * w.chance.Float64()}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if rate := (jumper.p.control() - bytes) / seconds; rate > 4000 {
			t.Errorf("the jumper exchanges %d bytes per second with the coordinators", rate)
		}
		if rate := (still.p.control() - quiet) / seconds; rate > 1500 {
			t.Errorf("who stands still exchanges %d bytes per second with the coordinators", rate)
		}
		if n := w.leader().server.Region(home).Revision() - entries; n > 4*seconds {
			t.Errorf("%d entries in the log in %d s", n, seconds)
		}
		if err := jumper.presence.Move(region.Place{X: 5010}); err != nil {
			t.Fatal(err)
		}
		jumper.until(5*time.Second, "it is found where it ends up", func() bool { return jumper.hears(still) && still.hears(jumper) })
	})
}

// What is wanted of a video follows the distance: nothing but a place in its tree,
// then a small picture, then the large one.
func TestDetailFollowsDistance(t *testing.T) {
	inWorld(t, 6, 1, func(w *world) {
		w.populate(10_000, 10_000, 10_000)
		film := w.members[0].project(3)
		w.members[0].walk(region.Place{}, nearby)
		v := w.members[1].walk(region.Place{X: 100}, nearby)
		for _, step := range []struct {
			x      float64
			layers []int
		}{{100, nil}, {29, nil}, {19, []int{0}}, {9, []int{2}}, {12, []int{2}}, {14, []int{0}}, {24, []int{0}}, {26, nil}, {9, []int{2}}, {100, nil}} {
			v.stroll(region.Place{X: step.x}, 20, func(region.Place) {})
			time.Sleep(3 * time.Second)
			v.forget()
			time.Sleep(2 * time.Second)
			if got := v.layers(film); !slices.Equal(got, step.layers) {
				t.Errorf("at %v m layers %v of the video come, want %v", step.x, got, step.layers)
			}
		}
	})
}

// project publishes a video of so many layers, of which every packet is a keyframe.
func (p *participant) project(layers int) region.StreamID {
	rates := []region.Rate{100, 400, 1500}[:layers]
	id := region.StreamID(p.name + "/video")
	pub := must(p.node.Publish(context.Background(), member.Stream{Name: id, Kind: region.Video, Layers: rates, Codec: "VP8"}))
	stop := make(chan struct{})
	p.ends = append(p.ends, func() { close(stop) })
	p.w.watchers.Go(func() {
		ticker := time.NewTicker(frame)
		defer ticker.Stop()
		for n := uint16(1); ; n++ {
			select {
			case <-ticker.C:
			case <-stop:
				return
			}
			for layer := range layers {
				// The payload descriptor and the first bytes of a VP8 keyframe.
				packet := &rtp.Packet{
					Header:  rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: n, Timestamp: uint32(n) * 3600, Marker: true},
					Payload: append([]byte{0x10, 0, 0, 0, 0x9d, 0x01, 0x2a}, make([]byte, 50)...),
				}
				if err := pub.WriteLayer(layer, packet, time.Time{}); err != nil && !errors.Is(err, region.ErrClosed) {
					p.w.fault("%s projects: %v", p, err)
				}
			}
		}
	})
	return id
}

// Somebody walks past a row of others: each is linked to before it matters, and feeds
// its voice and its whereabouts by itself. The coordinators have no part in that.
func TestWhoComesNearFeedsByItself(t *testing.T) {
	inWorld(t, 6, 3, func(w *world) {
		const others, apart = 14, 20.0
		var row []*walker
		for i := range others {
			row = append(row, w.populate(10_000)[0].walk(region.Place{X: float64(i) * apart}, nearby))
		}
		passer := w.populate(10_000)[0].walk(region.Place{X: -70, Y: 5}, nearby)
		came := map[int]time.Time{}
		deaf := 0
		passer.stroll(region.Place{X: (others - 1) * apart, Y: 5}, 4, func(at region.Place) {
			for i, o := range row {
				_, near := came[i]
				switch within := at.Distance(o.presence.Place()) <= nearby.Radius; {
				case within && !near:
					came[i] = time.Now()
				case within && time.Since(came[i]) > soon && !passer.hears(o):
					deaf++
				}
			}
		})
		if deaf > 0 {
			t.Errorf("%d times somebody was near and not heard", deaf)
		}
		byThemselves, inTrees := 0, 0
		for _, s := range passer.p.node.Stats().Streams {
			if s.Local {
				byThemselves++
			} else if s.Parent != "" {
				inTrees++
			}
		}
		t.Logf("%d streams are fed by whom they are of, %d places in trees", byThemselves, inTrees)
		if byThemselves <= inTrees {
			t.Errorf("%d places in trees, %d streams without", inTrees, byThemselves)
		}
	})
}
