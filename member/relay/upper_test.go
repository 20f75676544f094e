package relay

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/world/simnet"
)

// skipped reads a stream and counts, by layer, the packets that did not come.
func skipped(t *testing.T, n *node, id region.StreamID, w Wish) func() map[int]uint64 {
	t.Helper()
	sink, err := n.Subscribe(id)
	if err != nil {
		t.Fatal(err)
	}
	sink.Want(w)
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var done sync.WaitGroup
	next, missing := make(map[int]uint64), make(map[int]uint64)
	done.Go(func() {
		for {
			p, err := sink.ReadRTP(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			if at := next[p.Layer]; at != 0 && p.Index != at {
				missing[p.Layer] += p.Index - at
			}
			next[p.Layer] = p.Index + 1
			mu.Unlock()
		}
	})
	t.Cleanup(func() { cancel(); done.Wait() })
	return func() map[int]uint64 {
		mu.Lock()
		defer mu.Unlock()
		out := make(map[int]uint64)
		for layer := range next {
			out[layer] = missing[layer]
		}
		return out
	}
}

// A parent dies under a child that draws all layers. The standby and the member above it
// draw the lowest alone, or none for long: they take the others up and repair what was
// missed, though that takes longer than a pause of a layer may.
func TestAStandbyTakesUpLayersItDidNotDraw(t *testing.T) {
	for _, far := range []time.Duration{5 * time.Millisecond, 230 * time.Millisecond} {
		t.Run(far.String(), func(t *testing.T) {
			onNetwork(t, func(t *testing.T, w *world) {
				long := func(c *Config) { c.Ring, c.Playout = 4*time.Second, 2*time.Second }
				origin, parent, above, standby, child := w.node(long), w.node(long), w.node(long), w.node(long), w.node(long)
				w.net.Profile(func(a, b netip.Addr) simnet.Link {
					if a == above.host.Addr() || b == above.host.Addr() {
						return simnet.Link{Latency: far}
					}
					return simnet.Link{Latency: 5 * time.Millisecond}
				})
				s := w.stream(origin)
				s.Layers = []region.Rate{240, 480, 1440}
				w.assign(s, role{n: origin}, role{n: parent, parent: origin}, role{n: above, parent: origin},
					role{n: standby, parent: above}, role{n: child, parent: parent, standbys: []*node{standby}})
				missing := skipped(t, child, s.ID, Wish{})
				film(t, origin, s, 1, 2, 6)
				time.Sleep(10 * time.Second)
				parent.host.PowerOff()
				time.Sleep(10 * time.Second)
				st, all := child.stats(t), missing()
				if len(all) != 3 || all[0]+all[1]+all[2] > 0 || st.Lost > 0 || st.Parent != standby.identity.ID() {
					t.Errorf("missing by layer: %v; %d lost; parent %s", all, st.Lost, st.Parent)
				}
			})
		})
	}
}

// A child that draws all layers is moved below a member that drew them once, and the
// lowest alone since. The old parent is kept until all of them come from the new one.
func TestAMoveWaitsForLayersThatWereNotDrawn(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		origin, old, next, child := w.node(), w.node(), w.node(), w.node()
		w.net.Profile(func(a, b netip.Addr) simnet.Link {
			if a == next.host.Addr() && b == origin.host.Addr() || a == origin.host.Addr() && b == next.host.Addr() {
				return simnet.Link{Latency: 600 * time.Millisecond}
			}
			return simnet.Link{Latency: 5 * time.Millisecond}
		})
		s := w.stream(origin)
		s.Layers = []region.Rate{240, 480, 1440}
		tree := []role{{n: origin}, {n: old, parent: origin}, {n: next, parent: origin}}
		w.assign(s, append(tree, role{n: child, parent: old})...)
		reader, err := next.Subscribe(s.ID)
		if err != nil {
			t.Fatal(err)
		}
		missing := skipped(t, child, s.ID, Wish{})
		film(t, origin, s, 1, 2, 6)
		time.Sleep(5 * time.Second)
		reader.Want(Wish{Layers: 1})
		time.Sleep(10 * time.Second)
		w.assign(s, append(tree, role{n: child, parent: next})...)
		await(child, func(e Established) bool { return e.Revision == w.rev })
		time.Sleep(5 * time.Second)
		if st, all := child.stats(t), missing(); all[0]+all[1]+all[2] > 0 || st.Parent != next.identity.ID() {
			t.Errorf("missing by layer: %v; parent %s", all, st.Parent)
		}
	})
}
