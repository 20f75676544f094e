package door

import (
	"time"

	"github.com/skein-mesh/skein/region"
)

// A layerMeter measures the rates of a stream's layers, over half a second each
// time, and knows what may be expected of those that are not drawn. It belongs to one
// goroutine.
type layerMeter struct {
	since time.Time
	bytes [region.MaxLayers]int
	last  [region.MaxLayers]int // bit/s
	ready bool
	// asked is since when each layer is drawn; zero: it is not. What did not come
	// although it was asked for is not expected again before absent.
	asked, absent [region.MaxLayers]time.Time
}

const (
	meterWindow = 500 * time.Millisecond
	// comes is how long a layer that is asked for may take to flow.
	comes = 1500 * time.Millisecond
	// absence is how long one that did not is not asked for again.
	absence = 5 * time.Second
)

func (m *layerMeter) add(layer, bytes int, now time.Time) {
	if m.since.IsZero() {
		m.since = now
	}
	if span := now.Sub(m.since); span >= meterWindow {
		for i, b := range m.bytes {
			m.last[i] = int(int64(b) * 8 * int64(time.Second) / int64(span))
		}
		m.bytes, m.since, m.ready = [region.MaxLayers]int{}, now, true
	}
	m.bytes[layer] += bytes
}

// ask notes which layers are drawn from now on.
func (m *layerMeter) ask(layers region.LayerMask, now time.Time) {
	for i := range m.asked {
		switch {
		case layers>>i&1 == 0:
			m.asked[i] = time.Time{}
		case m.asked[i].IsZero():
			m.asked[i] = now
		}
	}
}

// rates are those of the layers, bit/s; nil while nothing is known. Of a layer that is
// not drawn, or only since a moment ago, it is what the publisher promised.
func (m *layerMeter) rates(promised []region.Rate, now time.Time) []int {
	if !m.ready {
		return nil
	}
	list := make([]int, min(len(promised), region.MaxLayers))
	for i := range list {
		list[i] = m.last[i]
		switch {
		case list[i] > 0:
		case !m.asked[i].IsZero() && now.Sub(m.asked[i]) > comes:
			m.absent[i] = now.Add(absence)
		case now.After(m.absent[i]):
			list[i] = int(promised[i]) * 1000
		}
	}
	return list
}
