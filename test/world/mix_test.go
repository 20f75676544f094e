//go:build opus

package world

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/hraban/opus"
	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/member/mix"
	"github.com/skein-mesh/skein/member/mix/libopus"
	"github.com/skein-mesh/skein/region"
)

const toneAmplitude = 0.1

// hum stands in the plaza and says one tone, until the world ends.
func (p *participant) hum(at region.Place, hertz float64) {
	p.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pub, err := p.node.Publish(ctx, member.Stream{Name: region.StreamID(p.name + "/voice"), Kind: region.Audio, Layers: []region.Rate{48}, Codec: "opus"})
	if err != nil {
		p.w.t.Fatal(err)
	}
	if _, err := p.node.Enter(ctx, plaza, at); err != nil {
		p.w.t.Fatal(err)
	}
	e := must(opus.NewEncoder(mix.Rate, 1, opus.AppVoIP))
	stop := make(chan struct{})
	p.ends = append(p.ends, func() { close(stop) })
	p.w.watchers.Go(func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		pcm, packet := make([]float32, mix.FrameSamples), make([]byte, 1275)
		for n := 0; ; n++ {
			select {
			case <-ticker.C:
			case <-stop:
				return
			}
			for i := range pcm {
				pcm[i] = float32(toneAmplitude * math.Sin(2*math.Pi*hertz*float64(n*len(pcm)+i)/mix.Rate))
			}
			r := &rtp.Packet{
				Header:  rtp.Header{Version: 2, PayloadType: 111, SequenceNumber: uint16(n), Timestamp: uint32(n * len(pcm))},
				Payload: packet[:must(e.EncodeFloat32(pcm, packet))],
			}
			if err := r.SetExtension(link.LevelID, []byte{23}); err != nil {
				p.w.fault("%v", err)
			}
			if err := pub.WriteRTP(r); err != nil {
				return // it leaves
			}
		}
	})
}

// tone is how loud one is in each ear, by correlation under a Hann window.
func tone(pcm []float32, hertz float64) (left, right float64) {
	var sums [2][2]float64
	var weight float64
	n := len(pcm) / 2
	for i := range n {
		w := 1 - math.Cos(2*math.Pi*float64(i)/float64(n))
		sin, cos := math.Sincos(2 * math.Pi * hertz * float64(i) / mix.Rate)
		for ear := range sums {
			sums[ear][0] += w * sin * float64(pcm[2*i+ear])
			sums[ear][1] += w * cos * float64(pcm[2*i+ear])
		}
		weight += w
	}
	return 2 * math.Hypot(sums[0][0], sums[0][1]) / weight, 2 * math.Hypot(sums[1][0], sums[1][1]) / weight
}

// Three people hum in the plaza, left, right and behind, and one out of earshot. A
// relay mixes what is heard in the midst; somebody with little downlink draws the mix
// alone, and hears each of the three from its side.
func TestAPlaceIsMixedForAListener(t *testing.T) {
	inWorld(t, 1, 3, func(w *world) {
		people := w.populate(5_000, 5_000, 5_000, 5_000, 20_000, 2_000)
		people[0].hum(region.Place{Y: 4}, 400)
		people[1].hum(region.Place{Y: -2}, 900)
		people[2].hum(region.Place{X: -2}, 1600)
		people[3].hum(region.Place{X: 500}, 2500)
		ctx, cancel := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() {
			served <- mix.Serve(ctx, people[4].node, mix.DefaultDeskConfig(libopus.Codec{}, plaza.ID, region.Place{}))
		}()
		waits, enough := context.WithTimeout(context.Background(), patience)
		defer enough()
		sub := must(people[5].node.Await(waits, "plaza/mix"))
		time.Sleep(10 * time.Second)
		decoder := must(opus.NewDecoder(mix.Rate, 2))
		var heard []float32
		pcm := make([]float32, 2*mix.FrameSamples)
		var last uint64
		for len(heard) < 4*mix.Rate {
			p := must(sub.Read(waits))
			if last != 0 && p.Index != last+1 {
				t.Errorf("after packet %d of the mix came %d", last, p.Index)
			}
			last = p.Index
			n := must(decoder.DecodeFloat32(p.Payload, pcm))
			heard = append(heard, pcm[:2*n]...)
		}
		heard = heard[mix.Rate:] // what was said before the decoder began
		for _, c := range []struct {
			hertz, left, right float64
		}{{400, 0.5, 0}, {900, 0, 1}, {1600, math.Sqrt2 / 2, math.Sqrt2 / 2}, {2500, 0, 0}} {
			left, right := tone(heard, c.hertz)
			if math.Abs(left-c.left*toneAmplitude) > 0.15*toneAmplitude || math.Abs(right-c.right*toneAmplitude) > 0.15*toneAmplitude {
				t.Errorf("%.0f Hz: %.4f left, %.4f right; want %.4f and %.4f", c.hertz, left, right, c.left*toneAmplitude, c.right*toneAmplitude)
			}
		}
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}
