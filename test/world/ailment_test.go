package world

import (
	"maps"
	"net/netip"
	"time"
)

// Faults of single machines that last until they are eased.

func (f *fate) seat() *seat { return f.coordinators[f.chance.IntN(len(f.coordinators))] }

// writeTorn is a power cut of a coordinator while it writes.
func (f *fate) writeTorn() { f.seat().tears(f.chance) }

func (f *fate) diskSickens() {
	s := f.seat()
	if l := f.leader(); l != nil && f.chance.IntN(2) == 0 {
		s = l
	}
	if s.server != nil {
		f.note("the disk of %s %s", s.name, s.disk.sickens(f.chance))
	}
}

// maxSkew is how far clocks go wrong: what a machine whose time is not looked after
// gathers in months.
const maxSkew = time.Minute

// clockStrays restarts a coordinator with a clock that is wrong, for good: all
// promises hold while clocks disagree.
func (f *fate) clockStrays() {
	s := f.seat()
	s.kill()
	s.skew = time.Duration(f.chance.Int64N(int64(2*maxSkew))) - maxSkew
	f.note("the clock of %s is ahead by %v", s.name, s.skew)
	s.start()
}

func (f *fate) memberPauses() {
	if list := f.present(); len(list) > 0 {
		p := list[f.chance.IntN(len(list))]
		f.note("%s pauses", p)
		p.host.Pause()
	}
}

func (f *fate) coordinatorPauses() {
	if s := f.seat(); s.server != nil {
		f.note("%s pauses", s.name)
		s.host.Pause()
	}
}

// linkSlows gives a member links that may not suffice for a stream.
func (f *fate) linkSlows() {
	p := f.members[f.chance.IntN(len(f.members))]
	now := f.weather
	now.slow = maps.Clone(now.slow)
	if now.slow == nil {
		now.slow = map[netip.Addr]int{}
	}
	rate := 3000 + f.chance.IntN(20000)
	now.slow[p.host.Addr()] = rate
	f.note("the links of %s slow down to %d B/s", p, rate)
	f.blow(now)
}

func (f *fate) liarComes() {
	if len(f.liars) < 3 {
		f.lie(f.uplink())
	}
}

// easeAll ends what ails single machines.
func (f *fate) easeAll() {
	for _, s := range f.coordinators {
		s.disk.mend()
		s.host.Resume()
	}
	for _, p := range f.members {
		p.host.Resume()
	}
	f.shame()
}
