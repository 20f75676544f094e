package latency

import (
	"math"
	"net/netip"
	"runtime"
	"sync"
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
			c.hands = append(c.hands, &hand{wake: make(chan struct{}, 1)})
		}
	}
	h := c.hands[c.next%len(c.hands)]
	c.next++
	h.enter()
	return h
}

// A hand sends what is due on some sockets.
type hand struct {
	wake chan struct{} // capacity 1: something is due earlier than was known

	mu      sync.Mutex
	users   int // sockets
	running bool
	start   time.Time
	// slots hold what is due in each tick, as a ring; each begins with now and is nil if
	// nothing is due in it.
	slots [2 * int(MaxRTT/2/tick)]*slot
	// now is the first tick that was not sent yet, and waiting how many slots are not nil.
	now, waiting int64
	sleeping     bool
	until        int64 // the tick that it sleeps for
	spare        []*slot
}

// A slot is what is due in one tick.
type slot struct {
	parcels []parcel
	data    []byte
}

// A parcel is a run of datagrams for one address.
type parcel struct {
	from      *Conn
	to        netip.AddrPort
	size, end int // of each datagram; in slot.data
}

func (h *hand) enter() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users++
	if !h.running {
		h.running, h.sleeping = true, false
		h.start, h.now = time.Now(), 0
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
	h.mu.Lock()
	at := int64((time.Since(h.start) + delay + tick - 1) / tick)
	at = min(max(at, h.now), h.now+int64(len(h.slots))-1)
	s := h.at(at)
	if s == nil {
		s = h.fresh()
		h.slots[at%int64(len(h.slots))] = s
		h.waiting++
	}
	s.data = append(s.data, data...)
	s.parcels = append(s.parcels, parcel{from, to, size, len(s.data)})
	early := h.sleeping && at < h.until
	if early {
		h.until = at
	}
	h.mu.Unlock()
	if early {
		h.kick()
	}
}

// fresh is an empty slot. h.mu is held.
func (h *hand) fresh() *slot {
	if n := len(h.spare); n > 0 {
		s := h.spare[n-1]
		h.spare = h.spare[:n-1]
		return s
	}
	return &slot{}
}

// run sends what is due until no socket is open any more.
func (h *hand) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var touched []*Conn
	for {
		h.mu.Lock()
		if h.users == 0 {
			h.clear()
			h.mu.Unlock()
			return
		}
		s, wait := h.take()
		h.mu.Unlock()
		if s == nil {
			timer.Reset(wait)
			select {
			case <-h.wake:
			case <-timer.C:
			}
			continue
		}
		touched = s.send(touched[:0])
		s.parcels, s.data = s.parcels[:0], s.data[:0]
		h.mu.Lock()
		h.spare = append(h.spare, s)
		h.mu.Unlock()
	}
}

// take returns the next slot that is due, or how long none is. h.mu is held.
func (h *hand) take() (*slot, time.Duration) {
	passed := int64(time.Since(h.start) / tick)
	if h.waiting == 0 {
		h.now = max(h.now, passed)
		h.sleeping, h.until = true, math.MaxInt64
		return nil, time.Hour
	}
	next := h.now
	for h.at(next) == nil {
		next++
	}
	if next > passed {
		h.now = max(h.now, passed)
		h.sleeping, h.until = true, next
		return nil, time.Until(h.start.Add(time.Duration(next) * tick))
	}
	s := h.at(next)
	h.slots[next%int64(len(h.slots))] = nil
	h.waiting--
	h.sleeping, h.now = false, next
	return s, 0
}

// at is what is due in a tick. h.mu is held.
func (h *hand) at(tick int64) *slot { return h.slots[tick%int64(len(h.slots))] }

// clear forgets everything. h.mu is held.
func (h *hand) clear() {
	clear(h.slots[:])
	h.waiting, h.spare, h.running = 0, nil, false
}

// send sends a slot's parcels, those of a socket together.
func (s *slot) send(touched []*Conn) []*Conn {
	begin := 0
	for _, p := range s.parcels {
		if p.from.closed.Load() {
			begin = p.end
			continue
		}
		if !p.from.touched {
			p.from.touched = true
			touched = append(touched, p.from)
		}
		// A datagram that cannot be sent is lost, as on any network.
		p.from.sender.Add(s.data[begin:p.end], p.size, p.to)
		p.from.queued.Add(-int64(pieces(p.end-begin, p.size)))
		begin = p.end
	}
	for _, c := range touched {
		c.touched = false
		c.sender.Flush()
	}
	return touched
}

// pieces is how many datagrams of a size so many bytes are.
func pieces(bytes, size int) int { return (bytes + size - 1) / size }
