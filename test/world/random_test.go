package world

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

// SKEIN_SEED runs one random world, SKEIN_WORLDS that many from a random seed on.
const (
	seedVariable   = "SKEIN_SEED"
	worldsVariable = "SKEIN_WORLDS"
)

// defaultSeeds are run every day.
var defaultSeeds = []uint64{1, 2, 3, 4}

func TestRandomWorlds(t *testing.T) {
	for _, seed := range seeds(t) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			inWorld(t, seed, 3, func(w *world) { newFate(w).play() })
		})
	}
}

func seeds(t *testing.T) []uint64 {
	if text := os.Getenv(seedVariable); text != "" {
		return []uint64{number(t, seedVariable, text)}
	}
	text := os.Getenv(worldsVariable)
	if text == "" {
		if testing.Short() {
			return defaultSeeds[:1]
		}
		return defaultSeeds
	}
	first := rand.Uint64N(1 << 40)
	list := make([]uint64, number(t, worldsVariable, text))
	for i := range list {
		list[i] = first + uint64(i)
	}
	return list
}

func number(t *testing.T, name, text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// A fate draws what happens to a world. It is the only one that draws, so a seed
// stands for a script.
type fate struct {
	*world
	chance *rand.Rand
	// gentle worlds have nothing but deaths, one at a time: there no packet may
	// be lost.
	gentle  bool
	streams []region.StreamID
	down    map[*seat]bool
}

func newFate(w *world) *fate {
	chance := rand.New(rand.NewPCG(w.seed, 1))
	f := &fate{world: w, chance: chance, gentle: chance.IntN(3) == 0, down: map[*seat]bool{}}
	for i := range 1 + chance.IntN(3) {
		f.streams = append(f.streams, region.StreamID(fmt.Sprintf("s%d", i+1)))
	}
	return f
}

// play is the whole life of a random world: it is peopled, it suffers, and again
// and again it must come to rest.
func (f *fate) play() {
	f.people(6 + f.chance.IntN(12))
	f.rest()
	for range 4 {
		for range 2 + f.chance.IntN(4) {
			f.strike()
			f.pass(2+f.chance.IntN(4), 10)
			if f.gentle {
				f.rest()
			}
		}
		f.rest()
	}
}

// uplink draws a size with which a few streams have room for everybody twice.
func (f *fate) uplink() region.Rate {
	sizes := []region.Rate{0, 1000, 2000, 4000, 6000, 8000}
	return sizes[f.chance.IntN(len(sizes))] * region.Rate(len(f.streams))
}

// people begins with the publishers, the first members.
func (f *fate) people(count int) {
	f.note("%d members, %d streams, gentle %v", count, len(f.streams), f.gentle)
	for i := range count {
		uplink := f.uplink()
		if i < len(f.streams) {
			uplink += 4000
		}
		p := f.participant(uplink)
		p.join()
		if i < len(f.streams) {
			if err := p.film(f.camera(f.streams[i])); err != nil {
				f.t.Fatal(err)
			}
		}
	}
	for _, p := range f.members {
		f.interest(p)
	}
}

// interest lets p watch what it does not publish.
func (f *fate) interest(p *participant) {
	for _, id := range f.streams {
		if !f.publisher(p, id) && p.views[id] == nil {
			p.watch(id)
		}
	}
}

// publisher says whether a stream is p's, be it present or not.
func (f *fate) publisher(p *participant, id region.StreamID) bool {
	for i, s := range f.streams {
		if s == id {
			return f.members[i] == p
		}
	}
	return false
}

// pass lets between least and most seconds go by.
func (f *fate) pass(least, most int) {
	time.Sleep(time.Duration(least)*time.Second + time.Duration(f.chance.IntN(1000*(most-least)))*time.Millisecond)
}

// rest ends all faults that last. Soon members and coordinators must agree, and
// everybody must have every stream without a gap.
func (f *fate) rest() {
	f.note("rest")
	f.heal()
	f.blow(weather{})
	for _, s := range f.coordinators {
		if s.server == nil {
			s.start()
		}
	}
	f.until("nobody is busy", func() bool {
		for _, p := range f.members {
			if !p.idle() {
				return false
			}
		}
		return true
	})
	for i, id := range f.streams {
		if p := f.members[i]; p.node == nil || !p.publishes(id) {
			f.revive(p)
		}
	}
	f.within(patience, "members and coordinators agree", f.disagreement)
	list := f.everybody()
	if f.gentle {
		f.kept(list)
	}
	f.back(list, 10*time.Second)
	mark(list)
	time.Sleep(3 * time.Second)
	f.unbroken(list, steady)
	mark(list)
}

// kept checks what a gentle world promises: nothing is lost.
func (f *fate) kept(list []*viewer) {
	for _, v := range list {
		if s := v.sight(); s.lost > 0 {
			f.fault("%s: %d packets of %s lost in a gentle world, the longest gap was %v", v.p, s.lost, v.id, s.gap)
		}
	}
}

func (f *fate) everybody() []*viewer {
	var list []*viewer
	for _, id := range f.streams {
		list = append(list, f.audience(id)...)
	}
	return list
}

// revive brings a publisher back.
func (f *fate) revive(p *participant) {
	if p.node == nil {
		p.join()
	}
	for _, id := range f.streams {
		if f.publisher(p, id) && !p.publishes(id) {
			if err := p.film(f.camera(id)); err != nil {
				f.t.Fatalf("%s cannot publish %s: %v", p, id, err)
			}
		}
	}
	f.interest(p)
}

// strike draws one fault.
func (f *fate) strike() {
	type blow struct {
		weight int
		gentle bool
		do     func()
	}
	blows := []blow{
		{4, true, f.memberEnds},
		{3, true, f.memberComes},
		{3, true, f.coordinatorEnds},
		{2, true, f.coordinatorStarts},
		{2, false, f.publisherEnds},
		{3, false, f.networkCut},
		{2, false, f.weatherTurns},
		{1, false, f.manyLeave},
		{1, false, f.crowd},
		{1, false, f.changeOfMind},
		{2, false, f.healed},
	}
	total := 0
	for _, b := range blows {
		if b.gentle || !f.gentle {
			total += b.weight
		}
	}
	at := f.chance.IntN(total)
	for _, b := range blows {
		if !b.gentle && f.gentle {
			continue
		}
		if at -= b.weight; at < 0 {
			b.do()
			return
		}
	}
}

// one draws a member that takes part and publishes nothing, or nil.
func (f *fate) one() *participant {
	var list []*participant
	for _, p := range f.present() {
		if !f.isPublisher(p) {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[f.chance.IntN(len(list))]
}

func (f *fate) isPublisher(p *participant) bool {
	for _, id := range f.streams {
		if f.publisher(p, id) {
			return true
		}
	}
	return false
}

// ways in which a stay may end.
func (f *fate) end() func(*participant) {
	return []func(*participant){
		(*participant).kill, (*participant).powerOff, (*participant).leave,
	}[f.chance.IntN(3)]
}

func (f *fate) memberEnds() {
	end := f.end()
	if p := f.one(); p != nil && len(f.present()) > len(f.streams)+3 {
		p.begin(end)
	}
}

// comes is for a member whose network may be bad just now.
func (f *fate) comes(p *participant) {
	p.begin(func(p *participant) {
		if err := p.enter(); err != nil {
			p.w.note("%s cannot join: %v", p, err)
			return
		}
		f.interest(p)
	})
}

// memberComes brings somebody back, or somebody new.
func (f *fate) memberComes() {
	for _, p := range f.members {
		if p.idle() && p.node == nil && !f.isPublisher(p) && f.chance.IntN(2) == 0 {
			f.comes(p)
			return
		}
	}
	if len(f.present()) < 30 {
		f.comes(f.participant(f.uplink()))
	}
}

func (f *fate) coordinatorEnds() {
	s := f.coordinators[f.chance.IntN(len(f.coordinators))]
	if f.chance.IntN(2) == 0 {
		if l := f.leader(); l != nil {
			s = l
		}
	}
	if f.chance.IntN(2) == 0 {
		s.kill()
	} else {
		s.powerOff()
	}
}

func (f *fate) coordinatorStarts() {
	for _, s := range f.coordinators {
		if s.server == nil {
			s.start()
			return
		}
	}
}

func (f *fate) publisherEnds() {
	p := f.members[f.chance.IntN(len(f.streams))]
	end := f.end()
	if p.idle() && p.node != nil {
		p.begin(end)
	}
}

func (f *fate) networkCut() {
	var name string
	var blocked func(src, dst netip.AddrPort) bool
	switch f.chance.IntN(5) {
	case 0:
		port := []uint16{7400, 7401, 7402, 7500}[f.chance.IntN(4)]
		name, blocked = fmt.Sprintf("port %d", port), onPort(port)
	case 1:
		bit := byte(1) << f.chance.IntN(3)
		name, blocked = fmt.Sprintf("half from half by bit %d", bit), between(func(a netip.Addr) bool { return a.As4()[3]&bit == 0 })
	case 2:
		p := f.members[f.chance.IntN(len(f.members))]
		name, blocked = p.name, between(func(a netip.Addr) bool { return a == p.host.Addr() })
	case 3:
		p := f.members[f.chance.IntN(len(f.members))]
		name, blocked = p.name+" does not hear", func(_, dst netip.AddrPort) bool { return dst.Addr() == p.host.Addr() }
	case 4:
		s := f.coordinators[f.chance.IntN(len(f.coordinators))]
		name, blocked = s.name, between(func(a netip.Addr) bool { return a == s.host.Addr() })
	}
	f.cut(name, blocked)
}

func (f *fate) healed() {
	f.heal()
	f.blow(weather{})
}

func (f *fate) weatherTurns() {
	now := weather{
		loss: f.chance.Float64() * 0.05, jitter: time.Duration(f.chance.IntN(30)) * time.Millisecond,
	}
	if f.chance.IntN(2) == 0 {
		now.duplicate, now.reorder = f.chance.Float64()*0.05, f.chance.Float64()*0.05
	}
	f.note("weather: %+v", now)
	f.blow(now)
}

func (f *fate) manyLeave() {
	end := f.end()
	for range len(f.present()) / 4 {
		if p := f.one(); p != nil && len(f.present()) > len(f.streams)+3 {
			p.begin(end)
		}
	}
}

func (f *fate) crowd() {
	for range 3 + f.chance.IntN(6) {
		if len(f.present()) < 30 {
			f.comes(f.participant(f.uplink()))
		}
	}
}

// changeOfMind lets somebody stop watching, or begin again.
func (f *fate) changeOfMind() {
	id := f.streams[f.chance.IntN(len(f.streams))]
	p := f.one()
	if p == nil {
		return
	}
	if v := p.views[id]; v != nil {
		f.note("%s has seen enough of %s", p, id)
		delete(p.views, id)
		p.begin(func(*participant) { v.leave() })
		return
	}
	f.note("%s wants to see %s after all", p, id)
	p.watch(id)
}
