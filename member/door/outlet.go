package door

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor/pkg/cc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/member/svc"
	"github.com/skein-mesh/skein/region"
)

const (
	// playout is how long an outlet waits for the repair of a gap; a viewer's
	// own buffer does not wait longer.
	playout = 300 * time.Millisecond
	// keyframeRetry is how often a keyframe that is waited for is asked for.
	keyframeRetry = 200 * time.Millisecond
	// keyframeRise is how often one is asked for that only adds to what is sent.
	keyframeRise = time.Second
	// reportInterval of sender reports.
	reportInterval = time.Second
	// decideInterval is how often the layer is chosen.
	decideInterval = 200 * time.Millisecond
)

// An outlet feeds one m-line of a viewer. It is a webrtc.TrackLocal.
type outlet struct {
	session   *session
	media     string
	name      region.StreamID
	estimator cc.BandwidthEstimator

	// wire is how to send; nil until the m-line is negotiated.
	wire atomic.Pointer[wire]
	sub  atomic.Pointer[member.Subscription]
	lost atomic.Uint32 // share of packets the viewer lost lately, 1/256
	sent atomic.Int32  // the layer that is sent

	// Of the pump's goroutine.
	splice  splice
	merger  *svc.Merger   // of a scalable stream; nil for others
	stream  region.Stream // what sub delivers at present
	chooser chooser
	meter   layerMeter
	target  int // layer
	drawn   region.LayerMask
	asked   time.Time
	decided time.Time
	told    time.Time // the last sender report
}

func newOutlet(s *session, media string, stream region.Stream, e cc.BandwidthEstimator) *outlet {
	return &outlet{session: s, media: media, name: stream.ID, estimator: e}
}

// Bind, Unbind and the names make an outlet a webrtc.TrackLocal.
func (o *outlet) Bind(t webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	w, err := newWire(t, o.media)
	if err != nil {
		return webrtc.RTPCodecParameters{}, err
	}
	o.wire.Store(w)
	return w.first, nil
}

func (o *outlet) Unbind(webrtc.TrackLocalContext) error {
	o.wire.Store(nil)
	return nil
}

func (o *outlet) ID() string                { return o.media }
func (o *outlet) RID() string               { return "" }
func (o *outlet) StreamID() string          { return "skein" }
func (o *outlet) Kind() webrtc.RTPCodecType { return kindOf(o.media) }

// pump reads the stream, again and again if it ends and comes back, until the
// session ends.
func (o *outlet) pump() {
	ctx := o.session.ctx
	for ctx.Err() == nil {
		sub, err := o.session.door.cfg.Node.Await(ctx, o.name)
		if err != nil {
			if ctx.Err() == nil {
				o.session.cancel(err)
			}
			return
		}
		sub.SetPlayout(playout)
		o.sub.Store(sub)
		o.drawn, o.stream = 0, region.Stream{}
		err = o.drain(ctx, sub)
		o.sub.Store(nil)
		_ = sub.Close() // nothing is left to be told
		if !errors.Is(err, io.EOF) && ctx.Err() == nil {
			o.session.cancel(err)
		}
	}
}

// drain sends what arrives until it ends, and says why it did.
func (o *outlet) drain(ctx context.Context, sub *member.Subscription) error {
	for {
		p, err := o.read(ctx, sub)
		switch {
		case err != nil:
			return err
		case p == nil:
			o.merge(time.Now())
			continue
		}
		if o.stream.SSRC != baseOf(p.SSRC) {
			o.stream, o.merger = sub.Stream(), nil
			if o.stream.Scalable {
				o.merger = svc.NewMerger()
			}
			o.meter = layerMeter{}
			o.draw(sub, region.AllLayers, time.Now())
		}
		o.take(p, time.Now())
	}
}

// baseOf is the SSRC of a stream, of any of its layers.
func baseOf(ssrc uint32) uint32 { return ssrc &^ (region.MaxLayers - 1) }

// take decides what becomes of a packet, and sends it if it is the viewer's.
func (o *outlet) take(p *relay.Packet, now time.Time) {
	o.meter.add(p.Layer, len(p.Payload), now)
	w := o.wire.Load()
	c := byName(o.stream.Codec)
	if w == nil || c == nil || !o.connected() || !w.carries(c.name) {
		return
	}
	if o.media == "video" {
		o.decide(now)
	}
	switch {
	case o.merger != nil:
		o.merger.Want(o.target, now)
		o.merger.Take(&p.Packet, p.Layer, p.Captured, now)
		o.merge(now)
	case o.media != "video" || o.passes(p, c, now):
		o.sent.Store(int32(p.Layer))
		o.send(w, c, &p.Packet, p.Captured, now)
	}
}

// send writes a packet to the viewer, in the order of its source.
func (o *outlet) send(w *wire, c *codec, p *rtp.Packet, captured, now time.Time) {
	o.splice.codec = c
	o.splice.write(p, captured, now)
	w.send(p, c.name, captured)
	if now.Sub(o.told) >= reportInterval {
		o.told = now
		o.report(w, p.Timestamp, captured)
	}
}

func (o *outlet) connected() bool {
	select {
	case <-o.session.up:
		return true
	default:
		return false
	}
}

// passes tells whether a video packet is sent: those of what is being sent, and a
// keyframe of what should be.
func (o *outlet) passes(p *relay.Packet, c *codec, now time.Time) bool {
	current := o.splice.started && p.SSRC == o.splice.source
	sending := o.splice.started && baseOf(o.splice.source) == baseOf(p.SSRC)
	wanted := p.Layer == o.target
	switch {
	case current && wanted:
		return true
	case wanted && relay.KeyframeStarts(c.name, p.Payload):
		return true
	}
	if wanted || !sending {
		o.wantKeyframe(now)
	}
	return current
}

// wantKeyframe asks for a keyframe of the layer that should be sent, now and then.
func (o *outlet) wantKeyframe(now time.Time) {
	if now.Sub(o.asked) < keyframeRetry {
		return
	}
	o.asked = now
	if sub := o.sub.Load(); sub != nil {
		sub.RequestKeyframe(o.target)
	}
}

// decide chooses the layer, now and then.
func (o *outlet) decide(now time.Time) {
	if now.Sub(o.decided) < decideInterval {
		return
	}
	o.decided = now
	rates := o.meter.rates(o.stream.Layers, now)
	if rates == nil {
		return
	}
	if o.stream.Scalable {
		cumulate(rates)
	}
	estimate := firstEstimate
	if o.estimator != nil {
		estimate = o.estimator.GetTargetBitrate()
	}
	o.target = o.chooser.choose(now, condition{rates: rates, estimate: estimate, loss: float64(o.lost.Load()) / 256})
	// What is sent, what should be, and the lowest, to fall back on.
	if sub := o.sub.Load(); sub != nil {
		o.draw(sub, 1<<o.target|1<<o.sent.Load()|1, now)
	}
}

// draw has the mesh deliver some layers, and no others.
func (o *outlet) draw(sub *member.Subscription, layers region.LayerMask, now time.Time) {
	layers = o.stream.Supported(layers & (1<<len(o.stream.Layers) - 1))
	o.meter.ask(layers, now)
	if layers == o.drawn {
		return
	}
	o.drawn = layers
	sub.Want(member.Wish{Layers: layers})
}

// report tells the viewer when what was sent last was captured, so that sound and
// picture are played in step.
func (o *outlet) report(w *wire, timestamp uint32, captured time.Time) {
	packets, octets := w.counts()
	// If it is lost, the next one comes in a second.
	_ = o.session.pc.WriteRTCP([]rtcp.Packet{&rtcp.SenderReport{
		SSRC: w.ssrc, NTPTime: toNTP(captured), RTPTime: timestamp, PacketCount: packets, OctetCount: octets,
	}})
}

// heedReports reads what the viewer says until the connection ends.
func (o *outlet) heedReports(sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			o.heed(p)
		}
	}
}

func (o *outlet) heed(p rtcp.Packet) {
	switch p := p.(type) {
	case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
		if sub := o.sub.Load(); sub != nil {
			sub.RequestKeyframe(int(o.sent.Load()))
		}
	case *rtcp.TransportLayerNack:
		if w := o.wire.Load(); w != nil && p.MediaSSRC == w.ssrc {
			for _, pair := range p.Nacks {
				pair.Range(w.resend)
			}
		}
	case *rtcp.ReceiverReport:
		for _, r := range p.Reports {
			if w := o.wire.Load(); w != nil && r.SSRC == w.ssrc {
				o.lost.Store(uint32(r.FractionLost))
			}
		}
	}
}
