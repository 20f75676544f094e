package world

import (
	"fmt"
	"net/netip"
	"time"
)

// strike draws one fault.
func (f *fate) strike() {
	type blow struct {
		name   string
		weight int
		gentle bool
		do     func()
	}
	blows := []blow{
		{"member ends", 4, true, f.memberEnds},
		{"member comes", 3, true, f.memberComes},
		{"coordinator ends", 3, true, f.coordinatorEnds},
		{"coordinator starts", 2, true, f.coordinatorStarts},
		{"write torn", 2, true, f.writeTorn},
		{"publisher ends", 2, false, f.publisherEnds},
		{"cut", 3, false, f.networkCut},
		{"weather", 2, false, f.weatherTurns},
		{"many leave", 1, false, f.manyLeave},
		{"crowd", 1, false, f.crowd},
		{"change of mind", 1, false, f.changeOfMind},
		{"disk", 3, false, f.diskSickens},
		{"member pauses", 2, false, f.memberPauses},
		{"coordinator pauses", 2, false, f.coordinatorPauses},
		{"slow link", 1, false, f.linkSlows},
		{"liar", 1, false, f.liarComes},
		{"clock", 2, true, f.clockStrays},
		{"healed", 2, false, f.healed},
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
			f.faults[b.name]++
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
	if len(f.present()) < f.size+15 {
		f.comes(f.newcomer())
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
	f.easeAll()
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
		if len(f.present()) < f.size+15 {
			f.comes(f.newcomer())
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
