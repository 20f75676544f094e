package coordinator

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

// idleFor is how long idle coordinators are watched.
const idleFor = 10 * time.Second

// BenchmarkIdleReplicas measures what replicas cost that have nothing to do: three
// coordinators in one process host as many groups as each may, so that a third of
// the replicas lead. The budget of a replica is 0.1 % of a core and 1.5 MB.
func BenchmarkIdleReplicas(b *testing.B) {
	for _, multiplier := range []int{1, 3} {
		b.Run(fmt.Sprintf("raft-multiplier=%d", multiplier), func(b *testing.B) {
			empty := resident(b)
			c := foundCluster(b, 3, func(cfg *Config) { cfg.RaftMultiplier = multiplier })
			for i := 1; i < MaxGroups; i++ {
				g := Group{Region: region.ID(fmt.Sprintf("r%d", i+1)), Peers: c.configs[0].Groups[0].Peers}
				for _, s := range c.running() {
					if err := s.Host(g); err != nil {
						b.Fatal(err)
					}
				}
			}
			c.until("all groups are led", func() bool {
				led := 0
				for _, s := range c.running() {
					for _, id := range s.Regions() {
						if s.Leading(id) {
							led++
						}
					}
				}
				return led == MaxGroups
			})
			replicas := float64(3 * MaxGroups)
			for b.Loop() {
				time.Sleep(idleFor / 2) // what an election has left to do
				runtime.GC()
				began, spent := time.Now(), processorTime(b)
				time.Sleep(idleFor)
				spent = processorTime(b) - spent
				b.ReportMetric(100*spent.Seconds()/time.Since(began).Seconds()/replicas, "%core/replica")
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				b.ReportMetric(float64(m.HeapInuse+m.StackInuse)/replicas/1e6, "MB/replica")
				b.ReportMetric(float64(resident(b)-empty)/replicas/1e6, "resident-MB/replica")
				b.ReportMetric(float64(runtime.NumGoroutine())/replicas, "goroutines/replica")
			}
		})
	}
}

// processorTime is what the process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is the memory that the process occupies, in bytes.
func resident(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("no /proc here: ", err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
