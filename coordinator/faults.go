package coordinator

import (
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/region"
)

const (
	// A peer that failed a child is set aside for that child: for faultPause,
	// doubled with each further fault up to maxFaultPause. What is reported within
	// sameFault is one fault, told for several streams.
	faultPause    = 5 * time.Second
	maxFaultPause = 30 * time.Second
	sameFault     = time.Second
	// faultMemory is how long faults count.
	faultMemory = 2 * time.Minute
	// A peer that failed faultWitnesses distinct children within faultWindow is
	// set aside for everybody, for commonPause, and then not again for
	// commonRest: nobody is put out of use for long by what others say.
	faultWitnesses = 3
	faultWindow    = time.Minute
	commonPause    = 30 * time.Second
	commonRest     = 2 * time.Minute
	// maxFaults bounds the peers remembered for one child.
	maxFaults = 64
)

// faults remembers which peers lately refused or failed whom.
type faults struct {
	mu       sync.Mutex
	children map[region.MemberID]map[region.MemberID]fault
	// common holds until when a peer is set aside for everybody.
	common map[region.MemberID]time.Time
}

// A fault is what one child holds against one peer.
type fault struct {
	count       int
	last, until time.Time
	refused     bool // the last one was a refusal
}

func newFaults() *faults {
	return &faults{
		children: map[region.MemberID]map[region.MemberID]fault{},
		common:   map[region.MemberID]time.Time{},
	}
}

// report notes that peer refused or failed child. Who refuses has reasons that pass, and is
// set aside for faultPause each time. members bounds how many peers
// may be set aside for everybody at once: a tenth.
func (f *faults) report(child, peer region.MemberID, refused bool, members int, now time.Time) {
	if child == peer {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	held := f.children[child]
	if held == nil {
		held = map[region.MemberID]fault{}
		f.children[child] = held
	}
	if _, ok := held[peer]; !ok && len(held) >= maxFaults {
		return
	}
	h := held[peer]
	if now.Sub(h.last) > faultMemory || cutOff(held, members, now) {
		h.count = 0
	}
	h.refused = refused
	switch {
	case refused:
		h.until = now.Add(faultPause)
	case h.count == 0 || now.Sub(h.last) > sameFault:
		h.until = now.Add(min(faultPause<<min(h.count, 10), maxFaultPause))
		h.count++
	}
	h.last = now
	held[peer] = h
	f.judge(peer, members, now)
}

// cutOff says whether a child holds something against so many that it is the one
// who cannot be reached. When it can be again, nobody is to be avoided any more.
func cutOff(held map[region.MemberID]fault, members int, now time.Time) bool {
	lately := 0
	for _, h := range held {
		if now.Sub(h.last) <= faultWindow {
			lately++
		}
	}
	return lately >= max(faultWitnesses, members/3)
}

// judge sets peer aside for everybody if enough children hold something against
// it.
func (f *faults) judge(peer region.MemberID, members int, now time.Time) {
	if until, ok := f.common[peer]; ok && now.Before(until.Add(commonRest)) {
		return
	}
	witnesses, aside := 0, 0
	for _, held := range f.children {
		if h, ok := held[peer]; ok && now.Sub(h.last) <= faultWindow {
			witnesses++
		}
	}
	for _, until := range f.common {
		if now.Before(until) {
			aside++
		}
	}
	if witnesses >= faultWitnesses && aside < max(1, members/10) {
		f.common[peer] = now.Add(commonPause)
	}
}

// avoid lists the peers that child must not be given now, by id. The origin of the
// stream is avoided by those only whom it failed itself: without it there is no
// stream for anybody.
func (f *faults) avoid(child, origin region.MemberID, now time.Time) []region.MemberID {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []region.MemberID
	for peer, h := range f.children[child] {
		if now.Before(h.until) {
			list = append(list, peer)
		}
	}
	for peer, until := range f.common {
		if now.Before(until) && peer != child && peer != origin {
			list = append(list, peer)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// reached forgets that child could not reach peer: it draws from it.
func (f *faults) reached(child, peer region.MemberID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h, ok := f.children[child][peer]; ok && !h.refused {
		delete(f.children[child], peer)
	}
}

// forgive forgets what is held against peer: it has begun a new stay, and what
// its children say of the last one is that it ended.
func (f *faults) forgive(peer region.MemberID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, held := range f.children {
		delete(held, peer)
	}
	delete(f.common, peer)
}

// sweep forgets what is over, and members that are gone.
func (f *faults) sweep(now time.Time, gone func(region.MemberID) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for child, held := range f.children {
		for peer, h := range held {
			if gone(peer) || now.Sub(h.last) > faultMemory {
				delete(held, peer)
			}
		}
		if len(held) == 0 || gone(child) {
			delete(f.children, child)
		}
	}
	for peer, until := range f.common {
		if gone(peer) || now.After(until.Add(commonRest)) {
			delete(f.common, peer)
		}
	}
}
