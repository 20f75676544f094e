//go:build opus

package libopus

import (
	"fmt"
	"math"
	"testing"

	"github.com/hraban/opus"

	"github.com/skein-mesh/skein/member/mix"
	"github.com/skein-mesh/skein/region"
)

// A speaker says one tone, in Opus.
type speaker struct {
	hertz   float64
	place   region.Place
	encoder *opus.Encoder
	voice   *mix.Voice
	at      int
	packet  [1275]byte
	pcm     [mix.FrameSamples]float32
}

const amplitude = 0.05

// say puts the next 20 ms into the mix.
func (s *speaker) say(t testing.TB) {
	for i := range s.pcm {
		s.pcm[i] = float32(amplitude * math.Sin(2*math.Pi*s.hertz*float64(s.at+i)/mix.Rate))
	}
	s.at += len(s.pcm)
	n, err := s.encoder.EncodeFloat32(s.pcm[:], s.packet[:])
	if err != nil {
		t.Fatal(err)
	}
	if err := s.voice.Put(s.packet[:n], -26); err != nil {
		t.Fatal(err)
	}
}

// circle is a mixer in the midst of speakers, left, right and ahead.
func circle(t testing.TB, n int) (*mix.Mixer, []*speaker) {
	t.Helper()
	config := mix.DefaultConfig(Codec{})
	config.Loudest.Max = n
	config.Kbps = 128
	m, err := mix.New(config)
	if err != nil {
		t.Fatal(err)
	}
	var speakers []*speaker
	for i := range n {
		angle, far := float64(i%5-2)*math.Pi/5, 2+float64(i%3)
		s := &speaker{hertz: 300 * math.Pow(1.15, float64(i)), place: region.Place{X: far * math.Cos(angle), Y: far * math.Sin(angle)}}
		if s.encoder, err = opus.NewEncoder(mix.Rate, 1, opus.AppVoIP); err != nil {
			t.Fatal(err)
		}
		if err := s.encoder.SetBitrate(48_000); err != nil {
			t.Fatal(err)
		}
		if s.voice, err = m.Add(region.StreamID(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		s.voice.Place(mix.Hear(region.Place{}, s.place))
		speakers = append(speakers, s)
	}
	return m, speakers
}

// Twenty speakers go in, one stereo stream comes out, in which each is found at its
// level and on its side.
func TestEachSpeakerIsFoundInTheMix(t *testing.T) {
	m, speakers := circle(t, 20)
	decoder, err := opus.NewDecoder(mix.Rate, 2)
	if err != nil {
		t.Fatal(err)
	}
	var heard []float32
	packet, pcm := make([]byte, 1275), make([]float32, 2*mix.FrameSamples)
	for f := range 150 {
		for _, s := range speakers {
			s.say(t)
		}
		if f == 0 {
			continue
		}
		n, err := m.Frame(packet)
		if err != nil {
			t.Fatal(err)
		}
		if n, err = decoder.DecodeFloat32(packet[:n], pcm); err != nil {
			t.Fatal(err)
		}
		if f > 50 {
			heard = append(heard, pcm[:2*n]...)
		}
	}
	for _, s := range speakers {
		g := mix.Hear(region.Place{}, s.place)
		left, right := power(heard, 0, s.hertz), power(heard, 1, s.hertz)
		wantLeft, wantRight := amplitude*float64(g.Left), amplitude*float64(g.Right)
		have, want := math.Hypot(left, right), math.Hypot(wantLeft, wantRight)
		if off := 20 * math.Log10(have/want); math.Abs(off) > 1.5 {
			t.Errorf("%.0f Hz is off by %.2f dB", s.hertz, off)
		}
		if side := (wantLeft - wantRight) / want; math.Abs(side) > 0.1 && (left > right) != (side > 0) {
			t.Errorf("%.0f Hz is on the wrong side: %.4f left, %.4f right", s.hertz, left, right)
		}
		t.Logf("%5.0f Hz: left %.4f of %.4f, right %.4f of %.4f", s.hertz, left, wantLeft, right, wantRight)
	}
}

// power is the amplitude of a tone in one ear, by correlation under a Hann window.
func power(pcm []float32, ear int, hertz float64) float64 {
	var re, im, weight float64
	n := len(pcm) / 2
	for i := range n {
		w := 1 - math.Cos(2*math.Pi*float64(i)/float64(n))
		sin, cos := math.Sincos(2 * math.Pi * hertz * float64(i) / mix.Rate)
		re += w * cos * float64(pcm[2*i+ear])
		im += w * sin * float64(pcm[2*i+ear])
		weight += w
	}
	return 2 * math.Hypot(re, im) / weight
}

func TestFramesAllocateNothing(t *testing.T) {
	m, speakers := circle(t, 20)
	packet := make([]byte, 1275)
	turn := func() {
		for _, s := range speakers {
			s.say(t)
		}
		if _, err := m.Frame(packet); err != nil {
			t.Fatal(err)
		}
	}
	turn()
	if n := testing.AllocsPerRun(50, turn); n > 0 {
		t.Errorf("%v allocations per frame", n)
	}
}

// Nothing that a member sends makes libopus fail for good.
func TestBrokenPacketsPassBy(t *testing.T) {
	m, speakers := circle(t, 2)
	packet := make([]byte, 1275)
	for f := range 50 {
		speakers[0].say(t)
		broken := []byte{0x78, byte(f), 0xff, 0x00, byte(3 * f)}
		if err := speakers[1].voice.Put(broken, -20); err != nil {
			t.Fatal(err)
		}
		if n, err := m.Frame(packet); err != nil || n == 0 {
			t.Fatal(n, err)
		}
	}
}

// BenchmarkMix tells what a voice in a mix costs, per 20 ms; and what the mix itself does.
func BenchmarkMix(b *testing.B) {
	for _, n := range []int{1, 8, 20} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m, speakers := circle(b, n)
			packet := make([]byte, 1275)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for _, s := range speakers {
					s.say(b)
				}
				b.StartTimer()
				if _, err := m.Frame(packet); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/voice")
		})
	}
}
