package member

import (
	"sync"
	"time"

	"github.com/skein-mesh/skein/region"
)

// An EventKind says what happened to a Node.
type EventKind uint8

// The kinds of events.
const (
	// Connected: the session with Peer, the leader of the group, stands.
	Connected EventKind = iota + 1
	// Disconnected: the session ended; media and gossip go on, the node
	// reconnects by itself.
	Disconnected
	// Rejoined: the coordinators had forgotten the stay; the node has joined
	// anew, its streams are published and subscribed again.
	Rejoined
	// Placed: Stream is drawn from Peer.
	Placed
	// Switched: the parent of Stream failed, which is now drawn from the
	// standby Peer; Detail names the parent and what it did.
	Switched
	// Orphaned: the parent of Stream is gone and no standby was warm.
	Orphaned
	// Refused: a proposal for Stream was refused; Detail has the reason.
	Refused
	// Ended: Stream is over; its origin unpublished it or is gone.
	Ended
	// KeyframeWanted: a subscriber of Stream, which this node publishes, needs
	// a keyframe.
	KeyframeWanted
	// Suspected: gossip holds Peer for dead.
	Suspected
	// Offended: Peer floods, replays or forges, as Detail says; what is too much is
	// dropped.
	Offended
)

var eventNames = [...]string{"", "connected", "disconnected", "rejoined", "placed", "switched", "orphaned", "refused", "ended", "keyframe-wanted", "suspected", "offended"}

// String returns the kind in lower-case words.
func (k EventKind) String() string {
	if int(k) < len(eventNames) {
		return eventNames[k]
	}
	return "unknown"
}

// An Event is something an application or a person may want to know. Fields
// that do not apply are zero.
type Event struct {
	Kind   EventKind
	Time   time.Time
	Stream region.StreamID
	Peer   string // a MemberID, or a coordinator's address
	Detail string
}

// eventQueue holds the last MaxEvents events for whoever reads them.
type eventQueue struct {
	mu     sync.Mutex
	ch     chan Event
	closed bool
}

func newEventQueue() *eventQueue { return &eventQueue{ch: make(chan Event, MaxEvents)} }

// put adds an event, and drops the oldest if it has to.
func (q *eventQueue) put(e Event) {
	e.Time = time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	for {
		select {
		case q.ch <- e:
			return
		default:
		}
		select {
		case <-q.ch:
		default:
		}
	}
}

func (q *eventQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.ch)
	}
}
