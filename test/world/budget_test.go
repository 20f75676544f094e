package world

import (
	"runtime"
	"slices"
	"sync/atomic"
	"time"
)

// running counts the worlds of this process.
var running atomic.Int32

// What a world at rest may take, together with the world itself. The figures are
// one and a half times, of memory three times, what is measured.
const (
	goroutinesPerReplica = 150
	goroutinesPerMember  = 60
	goroutinesPerLink    = 12
	heapPerReplica       = 24 << 20
	heapPerMember        = 3 << 20
)

// frugal checks that nothing piles up: at rest, goroutines and memory depend on
// how many take part, not on what has happened before. It looks only at worlds that
// are alone in their process.
func (w *world) frugal() {
	if running.Load() > 1 {
		return
	}
	time.Sleep(time.Second) // what has just been closed
	goroutines, heap := 50, uint64(64<<20)
	for _, p := range w.present() {
		goroutines += goroutinesPerMember + goroutinesPerLink*p.node.Stats().Links
		heap += heapPerMember
	}
	replicas := 0
	for _, s := range slices.Concat(w.coordinators, w.elsewhere) {
		if s.server != nil {
			replicas += len(s.server.Regions())
		}
	}
	goroutines += goroutinesPerReplica * replicas
	heap += heapPerReplica * uint64(replicas)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	w.note("%d goroutines of %d, %d MiB of %d", runtime.NumGoroutine(), goroutines, m.HeapAlloc>>20, heap>>20)
	if n := runtime.NumGoroutine(); n > goroutines {
		w.fault("%d goroutines, %d are enough", n, goroutines)
	}
	if m.HeapAlloc > heap {
		w.fault("%d MiB of memory, %d are enough", m.HeapAlloc>>20, heap>>20)
	}
}
