package gossip

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/skein-mesh/skein/region"
)

const (
	// lostFor is how long somebody who is gone is looked for.
	lostFor = 15 * time.Minute
	// lookEvery is how often one of them is.
	lookEvery = 20 * time.Second
	// After a cut, when a tenth of the pool, of foundLeast at least, has come back at
	// once, tables are compared again so many times: what was said meanwhile may not
	// have reached everybody.
	foundShare, foundLeast = 0.1, 2
	comparisons            = 6
)

// lost are members that are gone, some of them perhaps only for this member and
// those on its side of a cut: memberlist does not look for them again, and two
// halves of a pool would stay apart for ever. It is bounded by region.MaxMembers.
type lost struct {
	mu    sync.Mutex
	peers map[region.MemberID]lostPeer
	// found counts those that came back since it was asked last.
	found int
}

type lostPeer struct {
	addr  string
	until time.Time
}

// note takes in what happened to a peer.
func (l *lost) note(p Peer, gone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !gone:
		if _, was := l.peers[p.ID]; was {
			l.found++
			delete(l.peers, p.ID)
		}
	case len(l.peers) < region.MaxMembers:
		if l.peers == nil {
			l.peers = make(map[region.MemberID]lostPeer)
		}
		l.peers[p.ID] = lostPeer{p.Addr.String(), time.Now().Add(lostFor)}
	}
}

// healed says whether a cut has just healed.
func (l *lost) healed(known int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := l.found
	l.found = 0
	return float64(found) >= max(foundLeast, foundShare*float64(known))
}

// one draws the address of somebody to look for; empty: nobody, this time. Each of
// the others draws, too, so that the more rarely does one who knows many.
func (l *lost) one(known int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for id, p := range l.peers {
		if now.After(p.until) {
			delete(l.peers, id)
		}
	}
	at := rand.IntN(len(l.peers) + max(known, 1))
	for _, p := range l.peers {
		if at == 0 {
			return p.addr
		}
		at--
	}
	return ""
}
