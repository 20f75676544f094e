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
	// Every false alarm makes a transport more cautious, up to maxCaution: on an
	// overloaded machine alarms would otherwise cause the load that causes them.
	// Caution halves every calmDown.
	firstCaution = 50 * time.Millisecond
	maxCaution   = time.Second
	calmDown     = 5 * time.Second
	// A peer is doubted after twice its habit of saying something, but not before a
	// heartbeat is doubtMargin late. Each doubt that was for nothing makes the next one
	// hesitate, up to maxHesitation; that halves every calmDown.
	doubtMargin     = 15 * time.Millisecond
	firstHesitation = 10 * time.Millisecond
	maxHesitation   = 200 * time.Millisecond
	// A link that is due within foresight is looked at when another is: where packets
	// flow, what it waits for has moved on since, and nobody is woken for it.
	foresight = 20 * time.Millisecond
)

// A pulse is what a link knows of its life. Times are nanoseconds since the
// transport began.
type pulse struct {
	heardAt, sentAt atomic.Int64
	// peak of the gaps between two words of the peer, falling slowly.
	peak atomic.Int64
	// feeding is what this end sends to the peer, fed what the peer sends to this end.
	feeding, fed flow
	// light: what the peer sends is sound and words alone.
	light atomic.Bool

	// eased: nobody relies on the link for now.
	eased atomic.Bool

	// doubted: the peer feeds this end and is late, though not silent yet.
	doubted atomic.Bool
	// hesitation grows with doubts that were for nothing.
	hesitation atomic.Int64

	// pinged is when the peer pinged last.
	pinged atomic.Int64

	// stirred: the pulse goroutine is to look at the link before it is due.
	stirred atomic.Bool

	// Of the pulse goroutine.
	due      int64 // when to look at the link again
	errand   int64 // likewise, but for heartbeats
	nextPing int64
	lastPing int64
	giveUp   int64 // when a silent peer is given up
	suspect  bool

	mu     sync.Mutex // guards what follows
	pingID uint32
	pings  [openPings]openPing
	rtt    time.Duration
	loss   float64
}

func (p *pulse) reset(now int64) {
	p.heardAt.Store(now)
	p.sentAt.Store(now)
	p.peak.Store(0)
	p.doubted.Store(false)
	p.hesitation.Store(0)
	p.pinged.Store(now)
	p.mu.Lock()
	p.pings = [openPings]openPing{}
	p.mu.Unlock()
}

// Carry says what flows over the link: feeding from this end to the peer, fed from the
// peer to this end. It decides about heartbeats and about how soon silence is noticed.
func (l *Link) Carry(feeding, fed Flow) {
	fedBefore := l.fed.swap(fed)
	if l.feeding.swap(feeding) != feeding || fedBefore != fed {
		if fed > fedBefore {
			l.heardAt.Store(max(l.heardAt.Load(), l.t.now())) // the stricter limit counts from now
		}
		l.stir()
	}
}

// stir has the pulse goroutine look at the link.
func (l *Link) stir() {
	l.stirred.Store(true)
	l.t.kick()
}

// Lighten says whether what the peer sends is so little, sound and words alone, that
// it cannot congest the path: then the link seldom tells when it came, as long as it comes
// evenly.
func (l *Link) Lighten(light bool) { l.light.Store(light) }

// Ease says whether nobody relies on the link for now, but for what flows over it: then it is
// enough to know of its end, and of its round-trip time, a little later.
func (l *Link) Ease(eased bool) { l.eased.Store(eased) }

// heard notes that the peer said something.
func (l *Link) heard(now int64) {
	gap := now - l.heardAt.Swap(now)
	if peak := l.peak.Load(); gap > peak {
		l.peak.Store(gap)
	} else {
		l.peak.Store(peak - (peak-gap)/64)
	}
	if l.doubted.Load() && l.doubted.CompareAndSwap(true, false) && l.State() == Up {
		l.hesitation.Store(min(2*l.hesitation.Load()+int64(firstHesitation), int64(maxHesitation)))
		l.t.hand().Changed(l)
	}
	if l.State() == Silent && l.state.CompareAndSwap(uint32(Silent), uint32(Up)) {
		if l.fed.load() == Tight {
			l.t.caution.Store(min(2*l.t.caution.Load()+int64(firstCaution), int64(maxCaution)))
		}
		l.t.hand().Changed(l)
	}
}

// beat does what is due on one link and returns when the next thing is.
func (l *Link) beat(now int64, late time.Duration, trust bool) (next int64) {
	if l.session.Load() == nil {
		return now + int64(time.Second)
	}
	l.accuse(now)
	cfg := &l.t.cfg
	next = l.nextPing
	if now >= l.nextPing {
		interval := cfg.Idle
		if l.State() == Silent {
			interval = silentPing
		}
		l.nextPing = (now + int64(interval)) / int64(pingGrid) * int64(pingGrid)
		next = l.nextPing
		if l.pings(now) {
			l.lastPing = now
			rtt, loss := l.measured()
			_ = l.Send(&Message{Kind: Ping, ID: l.ping(now), RTT: rtt, Loss: loss})
		}
	}
	soon := l.judge(now, late, trust)
	l.errand = min(soon, next)
	// Who is late finds that nothing was sent for long, and packets about to be: it would say
	// so over all links, which is work.
	if interval := int64(l.feeding.load().heartbeat(cfg.Heartbeat)); interval > 0 {
		interval += int64(late)
		due := l.sentAt.Load() + interval
		if now >= due {
			_ = l.Send(&Message{Kind: Heartbeat})
			due = now + interval
		}
		soon = min(soon, due)
	}
	// A ping does not wake anybody by itself when the link is looked at soon after.
	if soon > next && soon-next <= int64(cfg.Heartbeat) {
		return soon
	}
	return min(soon, next)
}

// flows puts off a link that waits for nothing but the time of a heartbeat, which packets
// have taken the place of. It reports false if there is more to do.
func (l *Link) flows(now int64) bool {
	soon := now + int64(foresight)
	due := l.sentAt.Load() + int64(l.feeding.load().heartbeat(l.t.cfg.Heartbeat))
	if now >= due || soon >= l.errand {
		return false
	}
	l.due = min(due, l.errand)
	return true
}

// look does what is due on one link, or soon, and returns when the next thing is.
func (l *Link) look(now int64, late time.Duration, trust bool) (next int64) {
	soon := now
	if !l.suspect {
		soon += int64(foresight)
	}
	if l.stirred.Load() && l.stirred.Swap(false) || soon >= l.due && !l.flows(now) {
		l.due = l.beat(now, late, trust)
	}
	if !l.suspect && l.feeding.load() != Tight && l.fed.load() != Tight {
		return (l.due + int64(pingGrid) - 1) / int64(pingGrid) * int64(pingGrid) // there is time
	}
	return l.due
}

// beatAll is the pulse goroutine: it looks after all links.
func (t *Transport) beatAll() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var due, calm int64
	var w watch
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-t.kicked:
		case <-timer.C:
		}
		now := t.now()
		w.look(now, due, t.socket.unread())
		t.late.Store(w.late)
		t.builds.admit(mayBuild(time.Duration(w.late)))
		if now-calm > int64(calmDown) {
			calm = now
			t.caution.Store(t.caution.Load() / 2)
			for _, l := range *t.links.Load() {
				l.hesitation.Store(l.hesitation.Load() / 2)
			}
		}
		due = now + int64(time.Second)
		for _, l := range *t.links.Load() {
			due = min(due, l.look(now, time.Duration(w.late), w.trusts(now)))
		}
		// Things that are due at about the same time are done together; who is late does more
		// at a time.
		due = max(due, now+int64(3*time.Millisecond)+w.late/4)
		timer.Reset(time.Duration(due - now))
	}
}
