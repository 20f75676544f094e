package latency

import (
	"container/heap"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// MaxQueued bounds the datagrams that wait in one socket. At 10 Mbit/s and 1 kB
// each, it holds more than 6 s.
const MaxQueued = 8192

// A Distance tells the round-trip time to the site of an address; ok is false
// if the address belongs to no site.
type Distance func(to netip.Addr) (rtt time.Duration, ok bool)

// A Conn is a socket that sends late. Reading is not delayed: the other side
// has already been.
type Conn struct {
	net.PacketConn
	rtt     Distance
	dropped atomic.Uint64

	mu     sync.Mutex
	queue  queue // guarded by mu
	seq    uint64
	closed bool
	wake   chan struct{} // capacity 1: the head of the queue has changed
	done   chan struct{}
	sender sync.WaitGroup
}

func delay(c net.PacketConn, rtt Distance) *Conn {
	d := &Conn{PacketConn: c, rtt: rtt, wake: make(chan struct{}, 1), done: make(chan struct{})}
	d.sender.Go(d.send)
	return d
}

// WriteTo sends b to addr after half the round-trip time. It does not block,
// and keeps no reference to b.
func (c *Conn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to, ok := addrPort(addr)
	if !ok {
		return c.PacketConn.WriteTo(b, addr)
	}
	rtt, ok := c.rtt(to.Addr())
	if !ok || rtt <= 0 {
		return c.PacketConn.WriteTo(b, addr)
	}
	return c.enqueue(b, addr, time.Now().Add(rtt/2))
}

func (c *Conn) enqueue(b []byte, addr net.Addr, due time.Time) (int, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return 0, net.ErrClosed
	}
	if len(c.queue) == MaxQueued {
		c.mu.Unlock()
		c.dropped.Add(1)
		return len(b), nil
	}
	c.seq++
	heap.Push(&c.queue, datagram{due: due, seq: c.seq, to: addr, data: append([]byte(nil), b...)})
	first := c.queue[0].seq == c.seq
	c.mu.Unlock()
	if first {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	return len(b), nil
}

// Dropped counts the datagrams that found the queue full.
func (c *Conn) Dropped() uint64 { return c.dropped.Load() }

// Close closes the socket; what waits is lost, as it would be in a process that
// was killed. It returns when the sender has ended.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.closed = true
	c.queue = nil
	c.mu.Unlock()
	close(c.done)
	err := c.PacketConn.Close()
	c.sender.Wait()
	return err
}

// send owns the timer and is the only one that takes from the queue.
func (c *Conn) send() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(c.flush())
		select {
		case <-c.done:
			return
		case <-c.wake:
		case <-timer.C:
		}
	}
}

// flush sends what is due and returns how long to wait for the next one.
func (c *Conn) flush() time.Duration {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.mu.Unlock()
			return time.Hour
		}
		if wait := time.Until(c.queue[0].due); wait > 0 {
			c.mu.Unlock()
			return wait
		}
		d := heap.Pop(&c.queue).(datagram)
		c.mu.Unlock()
		// A datagram that cannot be sent is lost, as on any network.
		_, _ = c.PacketConn.WriteTo(d.data, d.to)
	}
}

type datagram struct {
	due  time.Time
	seq  uint64
	to   net.Addr
	data []byte
}

// queue is a heap by due time, then by order of sending.
type queue []datagram

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].due.Equal(q[j].due) {
		return q[i].seq < q[j].seq
	}
	return q[i].due.Before(q[j].due)
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(datagram)) }
func (q *queue) Pop() any {
	old := *q
	d := old[len(old)-1]
	old[len(old)-1] = datagram{}
	*q = old[:len(old)-1]
	return d
}
