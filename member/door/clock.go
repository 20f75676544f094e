package door

import (
	"encoding/binary"
	"sync"
	"time"
)

// A publisherClock puts all tracks of one publisher on this machine's clock. Each
// sender report ties timestamps to the publisher's clock; how far that clock is from
// this one is the least difference seen between the two, which is the clocks'
// difference and the shortest way here. It is the same for all tracks, so they stay
// in step with one another.
type publisherClock struct {
	mu     sync.Mutex
	known  bool
	offset time.Duration // this clock minus the publisher's
}

// local translates a time of the publisher, of media that arrived at arrival.
func (c *publisherClock) local(remote, arrival time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := arrival.Sub(remote); !c.known || d < c.offset {
		c.known, c.offset = true, d
	}
	return remote.Add(c.offset)
}

// A trackClock tells when the packets of one track were captured. It belongs to
// one goroutine, but for report.
type trackClock struct {
	shared *publisherClock
	rate   uint32 // ticks per second

	mu        sync.Mutex
	known     bool
	stamped   bool // by a packet itself, which is more exact than a report
	remote    time.Time
	timestamp uint32
}

// report takes a sender report: at ntp, by the publisher's clock, the timestamp was
// this.
func (c *trackClock) report(ntp uint64, timestamp uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stamped {
		c.known, c.remote, c.timestamp = true, fromNTP(ntp), timestamp
	}
}

// captured is when media with this timestamp was captured, by this machine's clock;
// arrival until the first sender report has come. stamp is the header extension by which
// the packet says that itself (abs-capture-time), empty if it does not: then the last
// that did counts.
func (c *trackClock) captured(timestamp uint32, stamp []byte, arrival time.Time) time.Time {
	at, stamped := parseCapture(stamp)
	c.mu.Lock()
	if stamped {
		c.known, c.stamped, c.remote, c.timestamp = true, true, at, timestamp
	}
	known, remote, ticks := c.known, c.remote, int32(timestamp-c.timestamp)
	c.mu.Unlock()
	if !known {
		return arrival
	}
	return c.shared.local(remote.Add(time.Duration(ticks)*time.Second/time.Duration(c.rate)), arrival)
}

// parseCapture reads an abs-capture-time: when the media were captured, and by how much
// the clock that says so is ahead of that of the sender, whose time is returned.
func parseCapture(b []byte) (t time.Time, ok bool) {
	if len(b) != 8 && len(b) != 16 {
		return t, false
	}
	t = fromNTP(binary.BigEndian.Uint64(b))
	if len(b) == 16 {
		ahead := int64(binary.BigEndian.Uint64(b[8:])) // seconds, of 32 bits after the point
		t = t.Add(-time.Duration(ahead>>32)*time.Second - time.Duration(ahead&0xFFFFFFFF)*time.Second>>32)
	}
	return t, true
}

// appendCapture is the opposite, by the sender's own clock.
func appendCapture(b []byte, t time.Time) []byte { return binary.BigEndian.AppendUint64(b, toNTP(t)) }

// ntpEpoch is 1900 counted from 1970, in seconds.
const ntpEpoch = 2208988800

func fromNTP(ntp uint64) time.Time {
	fraction := (ntp & 0xFFFFFFFF) * uint64(time.Second) >> 32
	return time.Unix(int64(ntp>>32)-ntpEpoch, int64(fraction))
}

func toNTP(t time.Time) uint64 {
	return uint64(t.Unix()+ntpEpoch)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}
