package web

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

const (
	// span is how far back a history goes.
	span = 10 * time.Minute
	// pace is the least time between two moments that are kept.
	pace = 900 * time.Millisecond
	// maxHistory bounds the compressed size of all moments; the oldest go first.
	maxHistory = 24 << 20
)

// A history keeps the moments of the last ten minutes, compressed: a region of
// 500 members takes some 25 KB each. The zero value is empty; it may be used by
// any goroutine.
type history struct {
	mu   sync.Mutex
	all  []moment // oldest first
	size int
}

// A moment is a snapshot that is over.
type moment struct {
	at         time.Time
	admissions inspect.Admissions
	data       []byte // JSON, compressed with gzip
}

// A momentIndex is how the page learns of a moment.
type momentIndex struct {
	AtMs       int64              `json:"at_ms"`
	Admissions inspect.Admissions `json:"admissions"`
}

// add keeps s, unless the last moment is too near.
func (h *history) add(s *inspect.Snapshot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.all); n > 0 && s.Time.Sub(h.all[n-1].at) < pace {
		return
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // fails for unknown levels only
	if json.NewEncoder(z).Encode(s) != nil || z.Close() != nil {
		return // what cannot be shown now cannot be shown later either
	}
	h.all = append(h.all, moment{s.Time, s.Admissions, b.Bytes()})
	h.size += b.Len()
	old := 0
	for old < len(h.all)-1 && (h.size > maxHistory || s.Time.Sub(h.all[old].at) > span) {
		h.size -= len(h.all[old].data)
		old++
	}
	h.all = slices.Delete(h.all, 0, old)
}

func (h *history) moments() []momentIndex {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]momentIndex, len(h.all))
	for i, m := range h.all {
		out[i] = momentIndex{m.at.UnixMilli(), m.admissions}
	}
	return out
}

// moment returns the compressed snapshot of a time, or the last before it.
func (h *history) moment(at time.Time) ([]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, exact := slices.BinarySearchFunc(h.all, at, func(m moment, t time.Time) int {
		return int(m.at.UnixMilli() - t.UnixMilli())
	})
	if !exact {
		i--
	}
	if i < 0 {
		return nil, false
	}
	return h.all[i].data, true
}
