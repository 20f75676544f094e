package world

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A fate draws what happens to a world. It is the only one that draws, so a seed
// stands for a script.
type fate struct {
	*world
	chance *rand.Rand
	// gentle worlds have nothing but deaths, one at a time: there no packet may
	// be lost.
	gentle  bool
	size    int // how many members there are at first
	streams []region.StreamID
	down    map[*seat]bool
}

// newFate draws everything but the size, unless that is 0.
func newFate(w *world, size int) *fate {
	chance := rand.New(rand.NewPCG(w.seed, 1))
	f := &fate{world: w, chance: chance, gentle: chance.IntN(3) == 0, down: map[*seat]bool{}}
	for i := range 1 + chance.IntN(3) {
		// The seed decides, too, which region owns the name.
		f.streams = append(f.streams, region.StreamID(fmt.Sprintf("s%d-%d", i+1, w.seed)))
	}
	if f.size = 6 + chance.IntN(12); size > 0 {
		f.size = size
	}
	return f
}

// play is the whole life of a random world: it is peopled, it suffers, and again
// and again it must come to rest.
func (f *fate) play() {
	f.people(f.size)
	f.hire(3)
	f.rest()
	for range 4 {
		f.office.open()
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

// newcomer lives in one of the regions.
func (f *fate) newcomer() *participant {
	p := f.participant(f.uplink())
	if len(f.judges) > 1 && f.chance.IntN(2) == 0 {
		p.cfg.Region = away
	}
	return p
}

// people begins with the publishers, the first members.
func (f *fate) people(count int) {
	f.note("%d members, %d streams, gentle %v", count, len(f.streams), f.gentle)
	for i := range count {
		p := f.newcomer()
		if i < len(f.streams) {
			p.cfg.Uplink += 4000
		}
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
	f.easeAll()
	for _, s := range f.coordinators {
		if s.server == nil {
			s.start()
		}
	}
	f.office.close()
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
	time.Sleep(givenUp)
	mark(list)
	time.Sleep(3 * time.Second)
	f.unbroken(list, steady)
	mark(list)
	f.frugal()
}

// givenUp is until when packets that were lost before all came to rest are missed.
const givenUp = 2 * time.Second

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
