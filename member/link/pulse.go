package link

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// suspicion is how long a verdict of silence waits once more: what has
	// arrived already may not have been read yet.
	suspicion = 5 * time.Millisecond
	// lateness of the pulse goroutine itself beyond which it trusts no silence,
	// for the readers were held up too. It lasts for recovery, at most so often
	// in a row.
	lateness    = 20 * time.Millisecond
	recovery    = 40 * time.Millisecond
	maxRecovery = 5
	// forget is how fast the lateness of the past is forgotten, per beat.
	forget = 32
	// Every false alarm makes a transport more cautious, up to maxCaution: on an
	// overloaded machine alarms would otherwise cause the load that causes them.
	// Caution halves every calmDown.
	firstCaution = 50 * time.Millisecond
	maxCaution   = time.Second
	calmDown     = 5 * time.Second
	// silentPing is the interval of pings while the peer is silent.
	silentPing = 100 * time.Millisecond
	// openPings is how many pings wait for their answers.
	openPings = 4
)

// A pulse is what a link knows of its life. Times are nanoseconds since the
// transport began.
type pulse struct {
	heardAt, sentAt atomic.Int64
	// peak of the gaps between two words of the peer, falling slowly.
	peak atomic.Int64
	// feeding: this end sends streams to the peer. fed: the peer sends streams
	// to this end.
	feeding, fed atomic.Bool

	// Of the pulse goroutine.
	nextPing int64
	suspect  bool

	mu     sync.Mutex // guards what follows
	pingID uint32
	pings  [openPings]openPing
	rtt    time.Duration
	loss   float64
}

type openPing struct {
	id uint32
	at int64
}

func (p *pulse) reset(now int64) {
	p.heardAt.Store(now)
	p.sentAt.Store(now)
	p.peak.Store(0)
	p.mu.Lock()
	p.pings = [openPings]openPing{}
	p.mu.Unlock()
}

// Carry says whether streams flow over the link: feeding from this end to the
// peer, fed from the peer to this end. It decides about heartbeats and about how
// soon silence is noticed.
func (l *Link) Carry(feeding, fed bool) {
	fedBefore := l.fed.Swap(fed)
	if l.feeding.Swap(feeding) != feeding || fedBefore != fed {
		if fed && !fedBefore {
			l.heardAt.Store(max(l.heardAt.Load(), l.t.now())) // the stricter limit counts from now
		}
		l.t.kick()
	}
}

// RTT is the smoothed round-trip time; 0 until it was measured.
func (l *Link) RTT() time.Duration {
	rtt, _ := l.measured()
	return rtt
}

func (p *pulse) measured() (time.Duration, float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rtt, p.loss
}

// heard notes that the peer said something.
func (l *Link) heard(now int64) {
	gap := now - l.heardAt.Swap(now)
	if peak := l.peak.Load(); gap > peak {
		l.peak.Store(gap)
	} else {
		l.peak.Store(peak - (peak-gap)/64)
	}
	if l.State() == Silent && l.state.CompareAndSwap(uint32(Silent), uint32(Up)) {
		if l.fed.Load() {
			l.t.caution.Store(min(2*l.t.caution.Load()+int64(firstCaution), int64(maxCaution)))
		}
		l.t.hand().Changed(l)
	}
}

// patience is how long the peer may say nothing. A process that is late itself, by
// late, has to expect the same of what it reads.
func (l *Link) patience(late time.Duration) time.Duration {
	cfg := &l.t.cfg
	slack := min(4*late, cfg.MaxSilence) + time.Duration(l.t.caution.Load())
	if !l.fed.Load() {
		return 3*cfg.Idle + cfg.Silence + slack
	}
	return min(max(2*time.Duration(l.peak.Load())+cfg.Heartbeat, cfg.Silence), cfg.MaxSilence) + slack
}

func (p *pulse) ping(now int64) (id uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pingID++
	slot := &p.pings[p.pingID%openPings]
	if slot.id != 0 {
		p.loss += (1 - p.loss) / 16
	}
	*slot = openPing{p.pingID, now}
	return p.pingID
}

func (p *pulse) pong(id uint32, now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	slot := &p.pings[id%openPings]
	if slot.id != id || id == 0 {
		return
	}
	slot.id = 0
	p.loss -= p.loss / 16
	rtt := time.Duration(now - slot.at)
	if p.rtt == 0 {
		p.rtt = rtt
	} else {
		p.rtt += (rtt - p.rtt) / 8
	}
}

// beat does what is due on one link and returns when the next thing is.
func (l *Link) beat(now int64, late time.Duration, trust bool) (next int64) {
	if l.session.Load() == nil {
		return now + int64(time.Second)
	}
	cfg := &l.t.cfg
	next = l.nextPing
	if now >= l.nextPing {
		interval := cfg.Idle
		if l.State() == Silent {
			interval = silentPing
		}
		l.nextPing = now + int64(interval)
		next = l.nextPing
		_ = l.Send(&Message{Kind: Ping, ID: l.ping(now)})
	}
	if l.feeding.Load() {
		due := l.sentAt.Load() + int64(cfg.Heartbeat)
		if now >= due {
			_ = l.Send(&Message{Kind: Heartbeat})
			due = now + int64(cfg.Heartbeat)
		}
		next = min(next, due)
	}
	return min(next, l.judge(now, late, trust))
}

// judge decides whether the peer is silent, and when to look again.
func (l *Link) judge(now int64, late time.Duration, trust bool) (next int64) {
	heard := l.heardAt.Load()
	if l.State() == Silent {
		end := heard + int64(l.t.cfg.GiveUp)
		if now >= end {
			if cancel := l.interrupt.Load(); cancel != nil {
				(*cancel)()
			}
			return now + int64(time.Second)
		}
		return end
	}
	limit := heard + int64(l.patience(late))
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
		l.t.cfg.Logger.Debug("link silent", "peer", l.peer.ID, "for", time.Duration(now-heard))
		l.t.hand().Changed(l)
	}
	return now
}

// beatAll is the pulse goroutine: it looks after all links.
func (t *Transport) beatAll() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var due, trusted, calm int64
	var late int64 // peak of the beats' delay, falling slowly
	recoveries := 0
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-t.kicked:
		case <-timer.C:
		}
		now := t.now()
		late -= late / forget
		if due > 0 {
			late = max(late, now-due)
		}
		if due > 0 && now-due > int64(lateness) && recoveries < maxRecovery {
			trusted = now + int64(recovery)
			recoveries++
		} else if now >= trusted {
			recoveries = 0
		}
		if now-calm > int64(calmDown) {
			calm = now
			t.caution.Store(t.caution.Load() / 2)
		}
		due = now + int64(time.Second)
		for _, l := range *t.links.Load() {
			due = min(due, l.beat(now, time.Duration(late), now >= trusted))
		}
		// Things that are due at about the same time are done together.
		due = max(due, now+int64(3*time.Millisecond))
		timer.Reset(time.Duration(due - now))
	}
}
