package link

import "sync/atomic"

// ControlBytes counts the bytes of control messages, sent and received, by what
// they are for; without the headers of UDP and IP.
type ControlBytes struct {
	// Heartbeats say that a link which feeds is alive while it carries nothing.
	Heartbeats uint64
	// Pings measure round-trip times, and watch links that carry nothing.
	Pings uint64
	// Feedback says when packets arrived: congestion.
	Feedback uint64
	// Beliefs are what neighbours compare, Haves tell what they could feed.
	Beliefs, Haves uint64
	// Draws ask for streams, answer that and end it.
	Draws uint64
	// Paths tell children where they hang and what they are given, Tips where a stream has
	// got to.
	Paths, Tips uint64
	// Repair asks for packets and keyframes that are missing.
	Repair uint64
	// Voices say which voices are wanted.
	Voices uint64
	// Others are the sender reports of applications, farewells, and what could not be read.
	Others uint64
}

// Sum is that of all messages.
func (c ControlBytes) Sum() uint64 {
	return c.Heartbeats + c.Pings + c.Feedback + c.Beliefs + c.Haves + c.Serving()
}

// Serving is what streams need.
func (c ControlBytes) Serving() uint64 {
	return c.Draws + c.Paths + c.Tips + c.Repair + c.Voices + c.Others
}

// Add adds those of another.
func (c *ControlBytes) Add(o ControlBytes) {
	c.Heartbeats += o.Heartbeats
	c.Pings += o.Pings
	c.Feedback += o.Feedback
	c.Beliefs += o.Beliefs
	c.Haves += o.Haves
	c.Draws += o.Draws
	c.Paths += o.Paths
	c.Tips += o.Tips
	c.Repair += o.Repair
	c.Voices += o.Voices
	c.Others += o.Others
}

// controlBooks count bytes by the kind of message; what could not be read is of
// kind 0.
type controlBooks [kinds]atomic.Uint64

func (c *controlBooks) count(k Kind, size int) { c[k].Add(uint64(size)) }

func (c *controlBooks) read() (sum ControlBytes) {
	for k := range c {
		n := c[k].Load()
		switch Kind(k) {
		case Heartbeat:
			sum.Heartbeats += n
		case Ping, Pong:
			sum.Pings += n
		case Feedback:
			sum.Feedback += n
		case Believe:
			sum.Beliefs += n
		case Have:
			sum.Haves += n
		case Draw, DrawReply, Drop, Dismiss:
			sum.Draws += n
		case Path:
			sum.Paths += n
		case Tips:
			sum.Tips += n
		case Nack, Keyframe:
			sum.Repair += n
		case Voices:
			sum.Voices += n
		default:
			sum.Others += n
		}
	}
	return sum
}
