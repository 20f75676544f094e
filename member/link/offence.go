package link

import "time"

// An Offence is what a peer does more of than any honest one needs to. It is limited
// at once, packet by packet, and the peer named when it goes on.
type Offence uint8

// The offences.
const (
	// Flood: control messages beyond a rate, or media beyond what was asked for. The
	// excess is dropped.
	Flood Offence = iota
	// Replay: packets that came before. They are dropped unopened.
	Replay
	// Forgery: packets from its address that are not genuine or make no sense. Somebody
	// else on the way may send them.
	Forgery
	offenceKinds
)

func (o Offence) String() string {
	names := [...]string{"flood", "replay", "forgery"}
	if int(o) < len(names) {
		return names[o]
	}
	return "unknown"
}

const (
	// offenceRate is how many a second are too many. A link that loses much sees some
	// packets twice, since they were asked for again.
	offenceRate = 500
	// offenceInterval between two words on the same peer and offence.
	offenceInterval = 10 * time.Second
)

// offences of a peer, and what was said of them. But for the counters it belongs to the
// pulse goroutine.
type offences struct {
	at     int64
	before [offenceKinds]uint64
	named  [offenceKinds]int64 // 0: never
}

// CountFlood notes that the peer sent more than it was asked for.
func (l *Link) CountFlood() { l.flooded.Add(1) }

// accuse names the peer if it offended much lately.
func (l *Link) accuse(now int64) {
	o := &l.offences
	span := now - o.at
	if span < int64(time.Second) {
		return
	}
	for kind, count := range [offenceKinds]uint64{l.flooded.Load(), l.replayed.Load(), l.malformed.Load()} {
		rate := (count - o.before[kind]) * uint64(time.Second) / uint64(span)
		o.before[kind] = count
		if o.at == 0 || rate < offenceRate || o.named[kind] != 0 && now-o.named[kind] < int64(offenceInterval) {
			continue
		}
		o.named[kind] = now
		l.t.cfg.Logger.Warn("peer misbehaves", "peer", l.peer.ID, "offence", Offence(kind).String(), "per_second", rate)
		l.t.hand().Offended(l, Offence(kind), int(rate))
	}
	o.at = now
}
