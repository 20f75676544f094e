package admit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// A Rate says how admissions are to be asked for as fast as they are answered.
type Rate struct {
	// Clients are members that ask at the same time.
	Clients int
	// Streams is how many each asks for at most, in an order of its own.
	Streams int
	// AtOnce is how many of them it asks for at a time, as who begins to watch a call
	// does; 1 = one after the other.
	AtOnce int
	// Coordinators of the region's group.
	Coordinators int
	// Warmup is the time before measuring, Duration that of measuring.
	Warmup, Duration time.Duration
	// Sessions has members hold sessions, in which they are told every change of
	// their roles and confirm their places, as they do in earnest.
	Sessions bool
	// Dir is as in Crowd.
	Dir string
	// Seed of the orders in which streams are asked for.
	Seed uint64
}

// DefaultRate is 256 clients for 5 seconds.
func DefaultRate() Rate {
	return Rate{Clients: 256, Streams: 1024, AtOnce: 1, Coordinators: 3, Warmup: time.Second, Duration: 5 * time.Second}
}

func (c Rate) validate() error {
	switch {
	case c.Clients < 1 || c.Clients > maxCrowd:
		return fmt.Errorf("%d clients: %w: 1 to %d", c.Clients, region.ErrInvalid, maxCrowd)
	case c.Streams < 1 || c.Streams > region.MaxStreams:
		return fmt.Errorf("%d streams: %w: 1 to %d", c.Streams, region.ErrInvalid, region.MaxStreams)
	case c.AtOnce < 1 || c.Coordinators < 1 || c.Warmup < 0 || c.Duration <= 0:
		return fmt.Errorf("%w: start from DefaultRate", region.ErrInvalid)
	}
	return nil
}

// A RateReport is what was measured.
type RateReport struct {
	Replicas       int     `json:"replicas"`
	Clients        int     `json:"clients"`
	AtOnce         int     `json:"at_once"`
	Admissions     int     `json:"admissions"`
	Refused        int     `json:"refused"`
	Lost           int     `json:"lost"`
	Retries        int     `json:"retries"`
	Seconds        float64 `json:"seconds"`
	AdmissionsPerS float64 `json:"admissions_per_s"`
	P50MS          float64 `json:"p50_ms"`
	P99MS          float64 `json:"p99_ms"`
	// CPUus is the processor time of all coordinators and members together that an
	// admission took, in µs.
	CPUus float64 `json:"cpu_us_per_admission"`
}

const (
	// audioKbps is the rate of the streams, members have uplink for all.
	audioKbps = 32
	// publishers at a time, before the measurement.
	publishers = 64
)

// RunRate starts a cluster, measures, and looks for every place that was given.
func RunRate(ctx context.Context, c Rate) (report *RateReport, err error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	cl, err := startCluster(ctx, c.Dir, c.Coordinators, c.Clients, func(cfg *coordinator.Config) {
		// No member asks that often.
		cfg.CallsPerSecond, cfg.CallBurst = 1e6, 1e6
		if !c.Sessions {
			// Nobody confirms a place, and all are looked for in the end.
			cfg.Reservation = time.Hour
		}
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cl.close()) }()
	l := &load{cfg: c, cluster: cl, plane: plane{}}
	ctx, hush := context.WithCancel(ctx)
	defer l.end(hush)
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	return l.run(ctx)
}

// A load is members that ask as fast as they are answered.
type load struct {
	cfg      Rate
	cluster  *cluster
	plane    plane
	members  []*member
	sessions sync.WaitGroup
}

// open has everybody join, and the streams published.
func (l *load) open(ctx context.Context) error {
	for i := range l.cfg.Clients {
		creds, err := issue(l.cluster.authority, trust.RoleMember)
		if err != nil {
			return err
		}
		m := newMember(creds, region.Rate(l.cfg.Streams*audioKbps*4), l.plane, l.cluster.leaderAddress)
		l.plane[m.id()] = [2]float64{float64(i % 16), float64(i / 16)}
		l.members = append(l.members, m)
	}
	err := each(len(l.members), func(i int) error {
		m := l.members[i]
		if err := m.join(ctx, i); err != nil {
			return err
		}
		if l.cfg.Sessions {
			l.sessions.Go(func() { m.attend(ctx) })
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	return each(l.cfg.Streams, func(i int) error {
		return l.members[i%len(l.members)].publish(ctx, streamName(i), audioKbps)
	})
}

func streamName(i int) string { return fmt.Sprintf("stream-%d", i) }

// each calls f(0) to f(n-1), some at a time, and returns the first error.
func each(n int, f func(int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, n)
	room := make(chan struct{}, publishers)
	for i := range n {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			errs[i] = f(i)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// A tally is what one client counted.
type tally struct {
	took    []time.Duration
	refused int
	// streams it has asked for.
	streams int
	// placed names those in which it was given a place.
	placed []string
	err    error
}

func (l *load) run(ctx context.Context) (*RateReport, error) {
	begin := time.Now().Add(l.cfg.Warmup)
	end := begin.Add(l.cfg.Duration)
	tallies := make([]tally, len(l.members))
	var clients sync.WaitGroup
	for i := range l.members {
		clients.Go(func() { tallies[i] = l.client(ctx, i, begin, end) })
	}
	time.Sleep(time.Until(begin))
	used := processor()
	time.Sleep(time.Until(end))
	used = processor() - used
	clients.Wait()
	r := &RateReport{Replicas: l.cfg.Coordinators, Clients: l.cfg.Clients, AtOnce: l.cfg.AtOnce, Seconds: l.cfg.Duration.Seconds()}
	var took []time.Duration
	for i, t := range tallies {
		if t.err != nil {
			return nil, fmt.Errorf("client %d: %w", i, t.err)
		}
		if t.streams >= l.cfg.Streams {
			return nil, fmt.Errorf("client %d had all %d streams before the time was over: %w: measure for a shorter time", i, t.streams, region.ErrLimit)
		}
		took = append(took, t.took...)
		r.Refused += t.refused
	}
	replicas, err := l.cluster.settled(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range l.members {
		r.Retries += int(m.retries.Load())
	}
	for i, t := range tallies {
		for _, name := range t.placed {
			lost := func(r *region.Region) bool {
				n, ok := r.Node(region.StreamID(name), l.members[i].id())
				return !ok || n.Parent == ""
			}
			if slices.ContainsFunc(replicas, lost) {
				r.Lost++
			}
		}
	}
	slices.Sort(took)
	r.Admissions = len(took)
	r.AdmissionsPerS = float64(len(took)) / l.cfg.Duration.Seconds()
	r.P50MS, r.P99MS = quantile(took, 0.5), quantile(took, 0.99)
	r.CPUus = float64(used.Microseconds()) / float64(max(len(took), 1))
	return r, nil
}

// client asks for one stream after the other, or some at a time, in an order of its
// own, so that all trees grow alongside.
func (l *load) client(ctx context.Context, i int, begin, end time.Time) (all tally) {
	var next atomic.Int64
	order := rand.New(rand.NewPCG(l.cfg.Seed, uint64(i))).Perm(l.cfg.Streams)
	tallies := make([]tally, l.cfg.AtOnce)
	var asking sync.WaitGroup
	for k := range tallies {
		asking.Go(func() {
			for t := &tallies[k]; t.err == nil && time.Now().Before(end); {
				at := int(next.Add(1)) - 1
				if at >= len(order) {
					return
				}
				t.streams++
				if order[at]%len(l.members) != i { // else it is its own
					l.ask(ctx, l.members[i], streamName(order[at]), t, begin, end)
				}
			}
		})
	}
	asking.Wait()
	for _, t := range tallies {
		all.took, all.placed = append(all.took, t.took...), append(all.placed, t.placed...)
		all.refused, all.streams = all.refused+t.refused, all.streams+t.streams
		all.err = cmp.Or(all.err, t.err)
	}
	return all
}

// ask gets a place in a stream. What is answered between begin and end counts.
func (l *load) ask(ctx context.Context, m *member, name string, t *tally, begin, end time.Time) {
	asked := time.Now()
	resp, err := m.admit(ctx, &skeinv1.AdmitRequest{Stream: name, Place: true})
	if err != nil {
		t.err = err
		return
	}
	now := time.Now()
	parent := resp.GetAccepted().GetParent().GetPeer().GetId()
	if parent == "" {
		t.refused++
		return
	}
	t.placed = append(t.placed, name)
	if now.After(begin) && now.Before(end) {
		t.took = append(t.took, now.Sub(asked))
	}
	if l.cfg.Sessions {
		m.confirm(ctx, name, parent)
	}
}

func (l *load) end(hush context.CancelFunc) {
	hush()
	l.sessions.Wait()
	for _, m := range l.members {
		m.hangUp()
	}
}
