package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

// BenchmarkCrowd measures what the decider itself costs when 200 members join
// and take their places in one tree, over a log that takes no time: the rest of
// an admission is the network and the disks.
func BenchmarkCrowd(b *testing.B) {
	for b.Loop() {
		log := newFakeLog()
		d := &decider{
			clock: time.Now,
			log:   log, rtts: newRTTs(), meter: newMeters().of("r1"), logger: slog.New(slog.DiscardHandler),
			hold: 10 * time.Second, size: 256, queue: newQueue(4096), pending: map[requestKey]*request{},
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			d.run(ctx, func() error { return region.ErrClosed })
		}()
		crowd(b, d)
		cancel()
		<-done
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/200, "us/member")
}

func crowd(b *testing.B, d *decider) {
	b.Helper()
	if _, err := d.do(b.Context(), joinRequest("m000", "join")); err != nil {
		b.Fatal(err)
	}
	stream := region.Stream{ID: "cam", Origin: "m000", Kind: region.Video, Layers: []region.Rate{1000}, Codec: "VP8"}
	_, err := d.do(b.Context(), &request{member: "m000", id: "publish", decide: func(w *draft) ([]byte, error) {
		_, err := w.publish(stream, 1)
		return nil, err
	}})
	if err != nil {
		b.Fatal(err)
	}
	failed := make(chan error, 200)
	for i := 1; i <= 200; i++ {
		go func() {
			m := region.MemberID(fmt.Sprintf("m%03d", i))
			_, err := d.do(b.Context(), joinRequest(m, "join"))
			if err == nil {
				_, err = d.do(b.Context(), &request{member: m, id: "admit", urgency: forJoins, decide: func(w *draft) ([]byte, error) {
					self, _ := w.region.Member(m)
					answer, err := w.admit(region.Admission{Stream: "cam", Child: m, Lease: self.Lease, Cause: region.Joining, Place: true})
					if err != nil {
						return nil, err
					}
					return marshal(answer)
				}})
			}
			failed <- err
		}()
	}
	for range 200 {
		if err := <-failed; err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRoundTrips is what a leader does with the samples of 500 members that each
// measure 60 others every 10 s, per sample; and what a planner's view of it all costs.
func BenchmarkRoundTrips(b *testing.B) {
	const members, peers = 500, 60
	chance := rand.New(rand.NewPCG(1, 2))
	r, now := newRTTs(), time.UnixMilli(0)
	names := make([]region.MemberID, members)
	for i := range names {
		names[i] = region.MemberID(fmt.Sprintf("member-%032d", i))
	}
	sample := func(i int) {
		from := i % members
		to := (from + 1 + 7*(i/members%peers)) % members
		now = now.Add(10 * time.Second / (members * peers))
		r.observe(names[from], names[to], time.Duration(10+chance.IntN(100))*time.Millisecond, now)
	}
	for i := range 4 * members * peers {
		sample(i)
	}
	b.Run("observe", func(b *testing.B) {
		for i := range b.N {
			sample(i)
		}
	})
	b.Run("view", func(b *testing.B) {
		for range b.N {
			r.view(now)
		}
	})
	view := r.view(now)
	b.Run("rtt", func(b *testing.B) {
		for i := range b.N {
			view.RTT(names[i%members], names[(i*31+1)%members])
		}
	})
}
