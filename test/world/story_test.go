package world

import (
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

// mixed uplinks: one origin with room for two, relays of all sizes, and some
// that only receive.
func mixed(count int) []region.Rate {
	sizes := []region.Rate{2000, 4000, 1000, 0, 3000, 1000}
	var list []region.Rate
	for i := range count {
		list = append(list, sizes[i%len(sizes)])
	}
	return list
}

func TestEverybodyReceivesEverything(t *testing.T) {
	inWorld(t, 1, 3, func(w *world) {
		w.populate(mixed(12)...)
		list := w.stage("stage")
		mark(list)
		time.Sleep(time.Minute)
		w.unbroken(list, 2*frame+span)
		w.settled()
	})
}
