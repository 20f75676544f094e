package door

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/member/svc"
)

// scalability is how many layers a publisher says its one encoding of the picture has.
func scalability(q url.Values, o *offer) (svc.Mode, error) {
	const key = "scalability"
	if !q.Has(key) {
		return svc.Mode{}, nil
	}
	mode, err := svc.ParseMode(q.Get(key))
	switch {
	case err != nil:
		return mode, fmt.Errorf("%w: %w", errMalformed, err)
	case o.video == nil || len(o.video.rids) > 1 || o.video.codecs[0] != "VP9" && o.video.codecs[0] != "AV1":
		return mode, fmt.Errorf("%w: %s is for one encoding as VP9 or AV1", errUnprocessable, key)
	}
	return mode, nil
}

// scalable says whether one encoding has all the layers.
func (in *inlet) scalable() bool { return in.mode.Layers() > 1 }

// labels are what the publisher calls its layers, from the lowest.
func (in *inlet) labels() []string {
	if in.scalable() {
		return in.mode.Names()
	}
	return in.rids
}

// part passes on what is due of a scalable encoding when p has come.
func (in *inlet) part(layers *svc.Splitter, p *rtp.Packet, captured time.Time) (err error) {
	list, lost := layers.Take(p, captured, time.Now())
	for _, q := range list {
		err = errors.Join(err, in.out.WriteLayer(q.Layer, q.Packet, q.Captured))
	}
	if ssrc := in.sources[0].Load(); lost && ssrc != 0 {
		// If it is lost, viewers will ask.
		_ = in.session.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}})
	}
	return err
}

// read waits for a packet; nil, if before it comes something is due that waited for it.
func (o *outlet) read(ctx context.Context, sub *member.Subscription) (*relay.Packet, error) {
	if o.merger == nil || o.merger.Due().IsZero() {
		return sub.Read(ctx)
	}
	due, cancel := context.WithDeadline(ctx, o.merger.Due())
	defer cancel()
	p, err := sub.Read(due)
	if err != nil && due.Err() != nil && ctx.Err() == nil {
		return nil, nil
	}
	return p, err
}

// merge sends what is due of a scalable stream.
func (o *outlet) merge(now time.Time) {
	w, c := o.wire.Load(), byName(o.stream.Codec)
	if w == nil || c == nil || !w.carries(c.name) {
		return
	}
	for list := o.merger.Next(now); list != nil; list = o.merger.Next(now) {
		for _, p := range list {
			p.SSRC = o.stream.SSRC // of all layers, for the splice
			o.send(w, c, p.Packet, p.Captured, now)
		}
	}
	o.sent.Store(int32(max(o.merger.Layer(), 0)))
	if o.merger.Lacks(now) && (o.merger.Layer() < 0 || now.Sub(o.asked) >= keyframeRise) {
		o.wantKeyframe(now)
	}
}

// cumulate makes the rates of layers those of what they are of use with: none flows without
// all below it.
func cumulate(rates []int) {
	for i := 1; i < len(rates); i++ {
		switch {
		case rates[i-1] == 0:
			rates[i] = 0
		case rates[i] > 0:
			rates[i] += rates[i-1]
		}
	}
}
