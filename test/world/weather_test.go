package world

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"net/netip"
	"time"

	"github.com/skein-mesh/skein/test/world/simnet"
)

// span of the plane on which hosts lie: light needs that long for its side.
const span = 30 * time.Millisecond

// weather is what the network does to every datagram and segment.
type weather struct {
	loss, duplicate, reorder float64
	jitter                   time.Duration
	// slow hosts have links of so many bytes per second, either way.
	slow map[netip.Addr]int
}

// blow sets the weather. now.slow must not be modified any more.
func (w *world) blow(now weather) {
	w.weather = now
	seed := w.seed
	w.net.Profile(func(src, dst netip.Addr) simnet.Link {
		return simnet.Link{
			Latency: distance(seed, src, dst), Jitter: now.jitter,
			Loss: now.loss, Duplicate: now.duplicate, Reorder: now.reorder,
			Bandwidth: cmp.Or(now.slow[src], now.slow[dst]),
		}
	})
}

// distance is the one-way delay between two hosts: their last miles, and the way
// between their places on the plane, which follow from seed and address.
func distance(seed uint64, a, b netip.Addr) time.Duration {
	if a == b {
		return 50 * time.Microsecond
	}
	ax, ay := spot(seed, a)
	bx, by := spot(seed, b)
	return time.Millisecond + time.Duration(math.Hypot(ax-bx, ay-by)*float64(span))
}

func spot(seed uint64, a netip.Addr) (x, y float64) {
	h := fnv.New64a()
	b := a.As16()
	_, _ = fmt.Fprintf(h, "%d %x", seed, b)
	sum := h.Sum64()
	return float64(sum>>40) / (1 << 24), float64(sum>>8&0xffffff) / (1 << 24)
}

// A cut blocks packets until it is healed.
type cut struct {
	name    string
	blocked func(src, dst netip.AddrPort) bool
}

// cut blocks what matches, besides what is blocked already.
func (w *world) cut(name string, blocked func(src, dst netip.AddrPort) bool) {
	w.note("cut: %s", name)
	w.cuts = append(w.cuts, cut{name, blocked})
	w.applyCuts()
}

// heal ends all cuts.
func (w *world) heal() {
	if len(w.cuts) > 0 {
		w.note("healed")
	}
	w.cuts = nil
	w.applyCuts()
}

func (w *world) applyCuts() {
	if len(w.cuts) == 0 {
		w.net.Block(nil)
		return
	}
	cuts := append([]cut(nil), w.cuts...)
	w.net.Block(func(src, dst netip.AddrPort) bool {
		for _, c := range cuts {
			if c.blocked(src, dst) {
				return true
			}
		}
		return false
	})
}

// onPort matches what one protocol sends.
func onPort(port uint16) func(src, dst netip.AddrPort) bool {
	return func(src, dst netip.AddrPort) bool { return src.Port() == port || dst.Port() == port }
}

// between matches what passes from one side to the other, either way.
func between(inside func(netip.Addr) bool) func(src, dst netip.AddrPort) bool {
	return func(src, dst netip.AddrPort) bool { return inside(src.Addr()) != inside(dst.Addr()) }
}
