package relay

import (
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

// What wants an upper layer of a scalable stream gets all below it, too, wherever they are: only
// the lowest has keyframes, and nobody on the way asks for one of another.
func TestUpperLayersOfAScalableStreamHaveNoKeyframes(t *testing.T) {
	for name, scalable := range map[string]bool{"scalable": true, "simulcast": false} {
		t.Run(name, func(t *testing.T) {
			onNetwork(t, func(t *testing.T, w *world) {
				quiet(w)
				origin, middle, leaf := w.node(), w.node(), w.node()
				s := w.stream(origin)
				s.Layers, s.Scalable = []region.Rate{240, 480, 1440}, scalable
				w.assign(s, role{n: origin}, role{n: middle, parent: origin}, role{n: leaf, parent: middle})
				sink, err := leaf.Subscribe(s.ID)
				if err != nil {
					t.Fatal(err)
				}
				sink.Want(Wish{Layers: 1})
				film(t, origin, s, 1, 2, 6)
				time.Sleep(10 * time.Second)
				asked(origin)
				sink.Want(Wish{Layers: 0b100})
				time.Sleep(1500 * time.Millisecond)
				want := map[bool]region.LayerMask{true: 0b111, false: 0b101}[scalable]
				if got := middle.stats(t).Layers; got != want {
					t.Errorf("scalable %v: layers %03b come to the middle, want %03b", scalable, got, want)
				}
				if got := asked(origin)&^1 != 0; got == scalable {
					t.Errorf("scalable %v: keyframes of upper layers were asked for: %v", scalable, got)
				}
			})
		})
	}
}

// asked are the layers a node was asked for keyframes of since it was looked last.
func asked(n *node) (layers region.LayerMask) {
	for {
		select {
		case e := <-n.Events():
			if k, ok := e.(KeyframeWanted); ok {
				layers |= 1 << k.Layer
			}
		default:
			return layers
		}
	}
}
