package coordinator

import (
	"context"
	"math"
	"slices"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// announceEvery is how often a leader looks whether its region has changed so
	// much that the world should know; announceLeast is when it says so anyway.
	announceEvery = 2 * time.Second
	announceLeast = time.Minute
	// announceShare of the members is a change worth telling.
	announceShare = 0.1
)

// announce keeps the region's descriptor in the directory up to date, for as long
// as the office lasts.
func (l *leadership) announce(ctx context.Context) {
	ticker := time.NewTicker(announceEvery)
	defer ticker.Stop()
	var last region.Descriptor
	term := l.replica.group.Status().Term
	for {
		now := time.Now()
		d := l.describe(now)
		d.Term, d.Sequence = term, last.Sequence+1
		if notable(last, d) {
			signed, err := skeinv1.SignDescriptor(l.signer.key, d)
			if err == nil && d.Generation >= region.ReformJump {
				certificate, signature := l.cfg.Credentials.Vouch(signed.Body)
				signed.Voucher = &skeinv1.Voucher{Certificate: certificate, Signature: signature}
			}
			if err == nil {
				err = l.replica.directory.Publish(signed)
			}
			if err != nil {
				l.replica.logger.Warn("the world does not learn of the region", "err", err)
			}
			last = d
		}
		select {
		case <-ticker.C:
		case <-l.boundary.moved:
		case <-ctx.Done():
			return
		}
	}
}

// describe makes the descriptor but for its place in the order.
func (l *leadership) describe(now time.Time) region.Descriptor {
	r := l.hub.current()
	d := r.Descriptor(l.rtts.centrality(r))
	d.Issued = now
	if fate := r.Fate(); fate.Over {
		d.Into = fate.Into
		return d
	}
	for _, p := range l.replica.members() {
		d.Replicas = append(d.Replicas, region.Host{ID: p.ID, GRPC: p.GRPC, Raft: p.Raft})
	}
	return d
}

// notable reports whether the world should know what became of a region since it
// was last told.
func notable(told, now region.Descriptor) bool {
	if told.Generation != now.Generation || now.Issued.Sub(told.Issued) >= announceLeast || len(told.Probes) == 0 != (len(now.Probes) == 0) {
		return true
	}
	if !slices.Equal(told.Replicas, now.Replicas) {
		return true
	}
	changed := math.Abs(float64(now.Members - told.Members))
	return changed > 0 && (changed >= announceShare*float64(told.Members) || now.Room() == 0 || told.Room() == 0)
}

// centrality tells how far a member is from the middle of the region; those of
// whom too little is known are farthest.
func (r *rtts) centrality(of *region.Region) func(region.MemberID) float64 {
	var middle []float64
	count := 0.0
	for m := range of.Members() {
		at := r.position(m.ID)
		if at == nil {
			continue
		}
		if middle == nil {
			middle = make([]float64, len(at))
		}
		for i, v := range at {
			middle[i] += float64(v)
		}
		count++
	}
	return func(m region.MemberID) float64 {
		at := r.position(m)
		if at == nil {
			return math.Inf(1)
		}
		sum := 0.0
		for i, v := range at {
			away := float64(v) - middle[i]/count
			sum += away * away
		}
		return sum
	}
}
