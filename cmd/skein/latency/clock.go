package latency

import (
	"math"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// tick is how exactly a Clock keeps time: what is due within one is sent together.
	tick = 500 * time.Microsecond
	// hands is how many goroutines of a Clock send at most.
	hands = 4
)

// A Clock keeps what is on its way and sends it when it is due. The sockets of one
// process share one: hundreds of timers of their own would take more of the machine than
// the datagrams do. The zero value is ready. It has goroutines as long as sockets are
// open on it.
type Clock struct {
	mu    sync.Mutex
	hands []*hand
	next  int
}

// open finds the hand that a new socket is served by.
func (c *Clock) open() *hand {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hands == nil {
		for range min(hands, runtime.GOMAXPROCS(0)) {
			c.hands = append(c.hands, &hand{wake: make(chan struct{}, 1), start: time.Now()})
		}
	}
	h := c.hands[c.next%len(c.hands)]
	c.next++
	h.enter()
	return h
}

// A hand sends what is due on some sockets. Nobody who posts waits for it or for others who
// do: on a machine with too much to do a lock that hundreds want is handed from one to the
// next as slowly as each gets a processor.
type hand struct {
	wake  chan struct{} // capacity 1: something is due earlier than was known
	start time.Time
	// posted is what run has not seen yet, the newest first.
	posted atomic.Pointer[parcel]
	// until is the tick that run sleeps for; 0: it is awake.
	until atomic.Int64

	// Of run. slots hold what is due in each tick, as a ring; now is the first tick that was
	// not sent yet, and waiting how many slots hold something.
	slots        [2 * int(MaxRTT/2/tick)]slot
	now, waiting int64

	mu      sync.Mutex // guards what follows
	users   int        // sockets
	running bool
}

// A slot is what is due in one tick, in the order in which it was posted.
type slot struct{ first, last *parcel }

// A parcel is a run of datagrams for one address.
type parcel struct {
	next *parcel
	from *Conn
	to   netip.AddrPort
	size int   // of each datagram
	due  int64 // tick
	data []byte
}

var parcels = sync.Pool{New: func() any { return new(parcel) }}

func (h *hand) enter() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users++
	if !h.running {
		h.running = true
		h.until.Store(0)
		go h.run()
	}
}

func (h *hand) leave() {
	h.mu.Lock()
	h.users--
	h.mu.Unlock()
	h.kick()
}

func (h *hand) kick() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// post keeps a copy of data until it has been on its way for so long.
func (h *hand) post(from *Conn, data []byte, size int, to netip.AddrPort, delay time.Duration) {
	p := parcels.Get().(*parcel)
	p.from, p.to, p.size, p.data = from, to, size, append(p.data[:0], data...)
	due := int64((time.Since(h.start) + delay + tick - 1) / tick)
	p.due = due
	for {
		p.next = h.posted.Load()
		if h.posted.CompareAndSwap(p.next, p) {
			break
		}
	}
	if due < h.until.Load() { // p may be another's by now
		h.kick()
	}
}

// run sends what is due until no socket is open any more.
func (h *hand) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var touched []*Conn
	for h.used() {
		h.collect()
		s, wait := h.take()
		if s.first != nil {
			touched = s.send(touched[:0])
			continue
		}
		// Whoever posts from now on sees until; what was posted before is seen here.
		if h.posted.Load() == nil {
			timer.Reset(wait)
			select {
			case <-h.wake:
			case <-timer.C:
			}
		}
		h.until.Store(0)
	}
}

// used says whether there are sockets; where there are none run ends.
func (h *hand) used() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users > 0 {
		return true
	}
	clear(h.slots[:])
	h.posted.Store(nil)
	h.waiting, h.running = 0, false
	return false
}

// collect puts what was posted where it is due.
func (h *hand) collect() {
	var first *parcel
	for p := h.posted.Swap(nil); p != nil; {
		p.next, first, p = first, p, p.next
	}
	for p := first; p != nil; {
		next := p.next
		s := h.at(min(max(p.due, h.now), h.now+int64(len(h.slots))-1))
		if p.next = nil; s.first == nil {
			s.first = p
			h.waiting++
		} else {
			s.last.next = p
		}
		s.last, p = p, next
	}
}

// take returns what is due next, or how long nothing is; until is set then.
func (h *hand) take() (slot, time.Duration) {
	passed := int64(time.Since(h.start) / tick)
	if h.waiting == 0 {
		h.now = max(h.now, passed)
		h.until.Store(math.MaxInt64)
		return slot{}, time.Hour
	}
	next := h.now
	for h.at(next).first == nil {
		next++
	}
	if next > passed {
		h.now = max(h.now, passed)
		h.until.Store(next)
		return slot{}, time.Until(h.start.Add(time.Duration(next) * tick))
	}
	s := *h.at(next)
	*h.at(next) = slot{}
	h.waiting--
	h.now = next
	return s, 0
}

// at is where what is due in a tick is.
func (h *hand) at(tick int64) *slot { return &h.slots[tick%int64(len(h.slots))] }

// send sends a slot's parcels, those of a socket together.
func (s slot) send(touched []*Conn) []*Conn {
	for p := s.first; p != nil; p = p.next {
		if p.from.closed.Load() {
			continue
		}
		if !p.from.touched {
			p.from.touched = true
			touched = append(touched, p.from)
		}
		// A datagram that cannot be sent is lost, as on any network.
		p.from.sender.Add(p.data, p.size, p.to)
		p.from.queued.Add(-int64(pieces(len(p.data), p.size)))
	}
	for _, c := range touched {
		c.touched = false
		c.sender.Flush()
	}
	for p := s.first; p != nil; {
		next := p.next
		p.next, p.from = nil, nil
		parcels.Put(p)
		p = next
	}
	return touched
}

// pieces is how many datagrams of a size so many bytes are.
func pieces(bytes, size int) int { return (bytes + size - 1) / size }
