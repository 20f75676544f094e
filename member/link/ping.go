package link

import "time"

const (
	// silentPing is the interval of pings while the peer is silent.
	silentPing = 100 * time.Millisecond
	// measureEvery is the interval of pings on links on which both ends say enough
	// else to be sure of one another.
	measureEvery = 3 * time.Second
	// ease is how many times more seldom a link is pinged that nobody relies on.
	ease = 2
	// pingGrid aligns the pings of all links, so that one wake-up serves many.
	pingGrid = 50 * time.Millisecond
	// openPings is how many pings wait for their answers.
	openPings = 4
)

// An openPing is a ping that waits for its answer.
type openPing struct {
	id uint32
	at int64
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

// seldom is how many times longer than others the link may go without a ping.
func (p *pulse) seldom() time.Duration {
	if p.eased.Load() {
		return ease
	}
	return 1
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
		p.rtt += (rtt - p.rtt) / 4
	}
}

// pings says whether this end is to ping. One end is enough, for it tells the
// other what it measures: that with the smaller id, unless it does not. While both
// ends say something else all the time, pings only measure.
func (l *Link) pings(now int64) bool {
	if l.State() == Silent || l.RTT() == 0 {
		return true
	}
	interval := int64(l.t.cfg.Idle * l.seldom())
	if now-min(l.heardAt.Load(), l.sentAt.Load()) < interval {
		interval = max(interval, int64(measureEvery*l.seldom()))
	}
	if !l.pair.smaller {
		return now-l.pinged.Load() > 3*interval
	}
	return now-l.lastPing > interval-int64(pingGrid)
}

// wasPinged takes the word of a peer that measures the link.
func (p *pulse) wasPinged(m *Message, now int64) {
	p.pinged.Store(now)
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.RTT > 0 {
		p.rtt, p.loss = m.RTT, m.Loss
	}
}
