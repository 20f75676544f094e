package group

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

// BenchmarkIdle hosts as many groups as a listener takes on each of three nodes,
// with the timeouts of the Internet, and does nothing: "core-%/replica" is the
// processor time one replica takes, "MB/replica" the memory in use for it after a
// collection, connections and stacks included.
func BenchmarkIdle(b *testing.B) {
	for _, groups := range []int{1, MaxGroups} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			before := inUse()
			host := benchHost(b, groups)
			settle := host[0].cfg.electionTimeout()
			time.Sleep(2 * settle)
			replicas := float64(len(host))
			memory := float64(inUse()-before) / replicas
			b.ResetTimer()
			cpu := processorTime()
			for range b.N {
				time.Sleep(10 * time.Second)
			}
			spent := float64(processorTime() - cpu)
			b.ReportMetric(100*spent/float64(b.Elapsed())/replicas, "core-%/replica")
			b.ReportMetric(memory/(1<<20), "MB/replica")
			b.ReportMetric(float64(runtime.NumGoroutine())/replicas, "goroutines/replica")
		})
	}
}

// benchHost starts so many groups on three nodes and waits until all are led.
func benchHost(b *testing.B, groups int) []*Group {
	nodes := benchNodes(b)
	var all []*Group
	for i := range groups {
		for _, cfg := range nodes {
			cfg.Region = region.ID(fmt.Sprintf("r%d", i+1))
			g := benchOpen(b, cfg)
			b.Cleanup(func() { benchClose(b, g) })
			all = append(all, g)
		}
	}
	for _, g := range all {
		for _, ok := g.Leader(); !ok; _, ok = g.Leader() {
			time.Sleep(50 * time.Millisecond)
		}
	}
	return all
}

// inUse is the memory that the process needs when what elections and pools have
// left is collected.
func inUse() uint64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
