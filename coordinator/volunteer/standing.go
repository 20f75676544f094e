package volunteer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// Each turn probeWrites writes of probeSize bytes are measured, as large as a
	// usual entry of the log; the last writesKept count.
	probeWrites = 4
	probeSize   = 4 << 10
	writesKept  = 64
	// youngWrites is when a standing is worth something.
	youngWrites = 8
	// probeFile is the file they go to.
	probeFile = "probe"
	// wayFor is how long a measured way counts, wayTimeout how long one may take,
	// and waysMost how many are measured.
	wayFor     = time.Minute
	wayTimeout = 2 * time.Second
	waysMost   = 8
)

// A disk measures how long it takes until a write is safe.
type disk struct {
	path    string
	carry   func(region.ID, func() error) error
	samples []time.Duration // the last ones, in order of time
}

func newDisk(cfg coordinator.Config) *disk {
	d := &disk{path: filepath.Join(cfg.DataDir, probeFile), carry: cfg.Disk}
	if d.carry == nil {
		d.carry = func(_ region.ID, write func() error) error { return write() }
	}
	return d
}

// measure writes a few times. A write that fails counts as a slow one.
func (d *disk) measure(id region.ID) error {
	if err := os.MkdirAll(filepath.Dir(d.path), 0o700); err != nil {
		return err
	}
	for range probeWrites {
		began := time.Now()
		err := d.carry(id, d.write)
		took := time.Since(began)
		if err != nil {
			took = max(took, time.Minute)
		}
		d.samples = append(d.samples, took)
		d.samples = d.samples[max(0, len(d.samples)-writesKept):]
		if err != nil {
			return fmt.Errorf("%s: %w", d.path, err)
		}
	}
	return nil
}

// write writes the probe, and waits until it is on disk.
func (d *disk) write() error {
	f, err := os.OpenFile(d.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, probeSize), 0)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// standing is how many writes were measured, and how long 99 of 100 took at most.
func (d *disk) standing() (writes int, p99 time.Duration) {
	n := len(d.samples)
	if n == 0 {
		return 0, 0
	}
	sorted := slices.Sorted(slices.Values(d.samples))
	return n, sorted[(99*n+99)/100-1]
}

func (d *disk) young() bool { return len(d.samples) < youngWrites }

// ways are the round-trip times to a group's replicas.
type ways struct {
	replicas []*skeinv1.ReplicaHost
	known    map[string]way // by id
}

type way struct {
	rtt time.Duration
	at  time.Time
}

// measure opens a connection to each replica that was not measured lately; true if a way
// is known now that was not before. A replica that does not answer has none.
func (w *ways) measure(ctx context.Context, network coordinator.Network, replicas []*skeinv1.ReplicaHost) (news bool) {
	w.replicas = replicas[:min(len(replicas), waysMost)]
	if w.known == nil {
		w.known = map[string]way{}
	}
	present := map[string]bool{}
	for _, r := range w.replicas {
		present[r.Id] = true
		old, known := w.known[r.Id]
		if known && time.Since(old.at) < wayFor {
			continue
		}
		rtt, err := dialTime(ctx, network, r.Grpc)
		if err != nil {
			delete(w.known, r.Id)
			continue
		}
		w.known[r.Id] = way{rtt, time.Now()}
		news = news || !known
	}
	for id := range w.known {
		if !present[id] {
			delete(w.known, id)
		}
	}
	return news
}

// dialTime is how long a connection takes: one round trip.
func dialTime(ctx context.Context, network coordinator.Network, address string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, wayTimeout)
	defer cancel()
	began := time.Now()
	conn, err := network.Dial(ctx, address)
	if err != nil {
		return 0, err
	}
	rtt := time.Since(began)
	return rtt, conn.Close()
}

// living are those of the replicas that have answered, or all if none has.
func (w *ways) living(replicas []*skeinv1.ReplicaHost) []*skeinv1.ReplicaHost {
	list := slices.DeleteFunc(slices.Clone(replicas), func(r *skeinv1.ReplicaHost) bool {
		_, ok := w.known[r.Id]
		return !ok
	})
	if len(list) == 0 {
		return replicas
	}
	return list
}

func (w *ways) list() (list []*skeinv1.ReplicaRtt) {
	for _, r := range w.replicas {
		if x, ok := w.known[r.Id]; ok {
			list = append(list, &skeinv1.ReplicaRtt{Id: r.Id, RttUs: x.rtt.Microseconds()})
		}
	}
	return list
}

func (w *ways) addresses() (list []string) {
	for _, r := range w.replicas {
		list = append(list, r.Grpc)
	}
	return list
}
