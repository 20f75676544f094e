package link

import (
	"time"
)

// patience is how long the peer may say nothing. A process that is late itself, by
// late, has to expect the same of what it reads.
func (l *Link) patience(late time.Duration) time.Duration {
	cfg := &l.t.cfg
	slack := max(min(4*late, cfg.MaxSilence), 2*late) + time.Duration(l.t.caution.Load())
	switch l.fed.load() {
	case Still:
		return 3*cfg.Idle*l.seldom() + cfg.Silence + slack
	case Loose:
		return looseness*cfg.Silence + slack
	}
	return min(max(2*time.Duration(l.peak.Load())+cfg.Heartbeat, cfg.Silence), cfg.MaxSilence) + slack
}

// Doubtful reports whether a peer that feeds this end is late: it has been quiet for
// longer than is its habit, and may be silent soon. Whoever can have the same elsewhere
// should not wait for that.
func (l *Link) Doubtful() bool { return l.doubted.Load() }

// doubt is how long the peer may say nothing before it is doubted.
func (l *Link) doubt(late time.Duration) time.Duration {
	slack := 2*late + time.Duration(l.hesitation.Load()+l.t.caution.Load()/2)
	return max(2*time.Duration(l.peak.Load()), l.t.cfg.Heartbeat+doubtMargin) + slack
}

// judge decides whether the peer is silent, and when to look again.
func (l *Link) judge(now int64, late time.Duration, trust bool) (next int64) {
	heard := l.heardAt.Load()
	if l.State() == Silent {
		if now >= l.giveUp {
			if cancel := l.interrupt.Load(); cancel != nil {
				(*cancel)()
			}
			return now + int64(time.Second)
		}
		return l.giveUp
	}
	limit := heard + int64(l.patience(late))
	if l.fed.load() == Tight && !l.doubted.Load() && trust {
		doubt := heard + int64(l.doubt(late))
		if now < min(doubt, limit) {
			l.suspect = false
			return min(doubt, limit)
		}
		if now < limit {
			l.doubted.Store(true)
			l.t.hand().Changed(l)
		}
	}
	switch {
	case now < limit:
		l.suspect = false
		return limit
	case !l.suspect || !trust:
		l.suspect = true
		return now + int64(suspicion)
	}
	l.suspect = false
	if l.state.CompareAndSwap(uint32(Up), uint32(Silent)) {
		l.nextPing = now
		l.giveUp = max(heard+int64(l.t.cfg.GiveUp), now+int64(min(l.t.cfg.GiveUp, time.Second)))
		l.t.cfg.Logger.Debug("link silent", "peer", l.peer.ID, "for", time.Duration(now-heard))
		l.t.hand().Changed(l)
	}
	return now
}
