package simnet

import (
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"sync"
	"time"
)

// A Link describes one direction between two hosts.
type Link struct {
	Latency time.Duration
	// Jitter adds up to this much to the latency of each packet.
	Jitter time.Duration
	// Loss, Duplicate and Reorder are probabilities per datagram; a reordered
	// datagram is late by another Latency. Loss also applies to segments of
	// streams, which are then sent again.
	Loss, Duplicate, Reorder float64
	// Bandwidth in bytes per second; 0 = unlimited. Datagrams that would wait
	// longer than MaxQueue are dropped.
	Bandwidth int
}

// MaxQueue bounds the time a datagram may wait for bandwidth.
const MaxQueue = 500 * time.Millisecond

// An Op names what the network did with a packet, for a Trace.
type Op string

// The operations.
const (
	Deliver Op = "deliver"
	Drop    Op = "drop"
	Segment Op = "segment"
)

// A Net is a simulated network. Its methods may be called from any goroutine.
type Net struct {
	seed uint64
	kick chan struct{}
	done chan struct{}
	wg   sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	events   eventHeap
	seq      uint64
	hosts    map[netip.Addr]*Host
	links    map[pair]*linkState
	profile  func(src, dst netip.Addr) Link
	blocked  func(src, dst netip.AddrPort) bool
	trace    func(op Op, src, dst netip.AddrPort, size int)
	nextConn uint64
}

type pair struct{ src, dst netip.Addr }

// linkState is the memory of one directed link.
type linkState struct {
	fixed *Link     // set by SetLink
	draws uint64    // number of random draws so far
	busy  time.Time // when the bandwidth is free again
}

// New starts a network. Its links have no latency until Profile or SetLink.
func New(seed uint64) *Net {
	n := &Net{
		seed:  seed,
		kick:  make(chan struct{}, 1),
		done:  make(chan struct{}),
		hosts: make(map[netip.Addr]*Host),
		links: make(map[pair]*linkState),
	}
	n.wg.Go(n.loop)
	return n
}

// Close kills all hosts and stops the loop. It waits for the loop to end.
func (n *Net) Close() {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return
	}
	n.closed = true
	hosts := make([]*Host, 0, len(n.hosts))
	for _, h := range n.hosts {
		hosts = append(hosts, h)
	}
	n.mu.Unlock()
	for _, h := range hosts {
		h.PowerOff()
	}
	close(n.done)
	n.wg.Wait()
}

// Host returns the host with that address, which is made on first use.
func (n *Net) Host(addr string) *Host {
	a := netip.MustParseAddr(addr)
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[a]
	if h == nil {
		h = newHost(n, a)
		n.hosts[a] = h
	}
	return h
}

// Profile sets the link between every two hosts that SetLink does not name. f
// is called with the network locked and must be pure.
func (n *Net) Profile(f func(src, dst netip.Addr) Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.profile = f
}

// SetLink sets one direction between two hosts.
func (n *Net) SetLink(src, dst netip.Addr, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link(src, dst).fixed = &l
}

// Partition blocks every packet for which blocked(src, dst) holds; nil heals.
// blocked is called with the network locked and must be pure.
func (n *Net) Partition(blocked func(src, dst netip.Addr) bool) {
	if blocked == nil {
		n.Block(nil)
		return
	}
	n.Block(func(src, dst netip.AddrPort) bool { return blocked(src.Addr(), dst.Addr()) })
}

// Block is Partition by sockets, so that one protocol can be cut and another
// spared. It replaces what Partition set, and the other way round.
func (n *Net) Block(blocked func(src, dst netip.AddrPort) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.blocked = blocked
}

// Trace calls f for everything the network delivers or drops, in order, with
// the network locked.
func (n *Net) Trace(f func(op Op, src, dst netip.AddrPort, size int)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trace = f
}

func (n *Net) link(src, dst netip.Addr) *linkState {
	p := pair{src, dst}
	l := n.links[p]
	if l == nil {
		l = &linkState{}
		n.links[p] = l
	}
	return l
}

// draw returns a number in [0, 1) that depends only on the seed, the link and
// how often it was asked.
func (n *Net) draw(p pair, l *linkState) float64 {
	l.draws++
	h := fnv.New64a()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], n.seed)
	binary.LittleEndian.PutUint64(b[8:], l.draws)
	h.Write(b[:])
	s, d := p.src.As16(), p.dst.As16()
	h.Write(s[:])
	h.Write(d[:])
	x := h.Sum64()
	x ^= x >> 33 // FNV's low bits are weak
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11) / (1 << 53)
}

// route decides what becomes of size bytes sent now: the copies that arrive,
// as delays. Called with n.mu held.
func (n *Net) route(from, to netip.AddrPort, size int, stream bool) []time.Duration {
	if n.blocked != nil && n.blocked(from, to) {
		return nil
	}
	src, dst := from.Addr(), to.Addr()
	p := pair{src, dst}
	st := n.link(src, dst)
	var l Link
	switch {
	case st.fixed != nil:
		l = *st.fixed
	case n.profile != nil:
		l = n.profile(src, dst)
	}
	if l.Loss > 0 && n.draw(p, st) < l.Loss {
		return nil
	}
	delay := l.Latency
	if l.Jitter > 0 {
		delay += time.Duration(n.draw(p, st) * float64(l.Jitter))
	}
	if l.Bandwidth > 0 {
		now := time.Now()
		wait := max(0, st.busy.Sub(now))
		if wait > MaxQueue && !stream {
			return nil
		}
		wait += time.Duration(float64(size) / float64(l.Bandwidth) * float64(time.Second))
		st.busy = now.Add(wait)
		delay += wait
	}
	if stream {
		return []time.Duration{delay}
	}
	if l.Reorder > 0 && n.draw(p, st) < l.Reorder {
		delay += l.Latency
	}
	out := []time.Duration{delay}
	if l.Duplicate > 0 && n.draw(p, st) < l.Duplicate {
		out = append(out, delay+l.Latency/2)
	}
	return out
}

// An event is something that happens at a time; ties happen in the order in
// which they were planned.
type event struct {
	at  time.Time
	seq uint64
	run func() // called with n.mu held; must not block
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].seq < h[j].seq
	}
	return h[i].at.Before(h[j].at)
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*h = old[:len(old)-1]
	return e
}

// after plans run; called with n.mu held.
func (n *Net) after(d time.Duration, run func()) {
	n.seq++
	heap.Push(&n.events, event{time.Now().Add(d), n.seq, run})
	if n.events[0].seq == n.seq {
		select {
		case n.kick <- struct{}{}:
		default:
		}
	}
}

// loop owns the passage of time.
func (n *Net) loop() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		n.mu.Lock()
		now := time.Now()
		for len(n.events) > 0 && !n.events[0].at.After(now) {
			e := heap.Pop(&n.events).(event)
			e.run()
		}
		wait := time.Hour
		if len(n.events) > 0 {
			wait = n.events[0].at.Sub(now)
		}
		n.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-n.kick:
		case <-n.done:
			return
		}
	}
}

func (n *Net) note(op Op, src, dst netip.AddrPort, size int) {
	if n.trace != nil {
		n.trace(op, src, dst, size)
	}
}

// errors as callers of the net package know them.
var (
	errRefused = errors.New("connection refused")
	errReset   = errors.New("connection reset by peer")
	errTimeout = timeoutError{}
	errInUse   = errors.New("address already in use")
	errDown    = errors.New("network is down")
)

type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

func parse(addr string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return ap, fmt.Errorf("simnet: address %q: %w", addr, err)
	}
	return ap, nil
}
