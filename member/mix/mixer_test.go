package mix

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/skein-mesh/skein/region"
)

// tones is a codec whose packets say which tone to make: exact, so that a mix can
// be held against what it should be. What is encoded it keeps.
type tones struct{ mixed *[]float32 }

func (tones) NewDecoder() (Decoder, error)      { return &toneDecoder{}, nil }
func (c tones) NewEncoder(int) (Encoder, error) { return toneEncoder(c), nil }
func tonePacket(hertz, amplitude uint16) []byte { return tonePacketOf(0xfc, hertz, amplitude) }
func sample(hertz, amplitude, i float64) float64 {
	return amplitude / 65536 * math.Sin(2*math.Pi*hertz*i/Rate)
}

// tonePacketOf makes a packet of one CELT frame, 20 ms.
func tonePacketOf(toc byte, hertz, amplitude uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{toc}, hertz), amplitude)
}

type toneDecoder struct {
	at               int
	hertz, amplitude float64
}

func (d *toneDecoder) Decode(packet []byte, pcm []float32) (int, error) {
	if len(packet) != 5 {
		return 0, errors.New("no tone")
	}
	d.hertz = float64(binary.BigEndian.Uint16(packet[1:]))
	d.amplitude = float64(binary.BigEndian.Uint16(packet[3:]))
	n := packetSamples(packet)
	return n, d.Conceal(pcm[:n])
}

func (d *toneDecoder) Conceal(pcm []float32) error {
	for i := range pcm {
		pcm[i] = float32(sample(d.hertz, d.amplitude, float64(d.at+i)))
	}
	d.at += len(pcm)
	return nil
}

type toneEncoder struct{ mixed *[]float32 }

func (e toneEncoder) Encode(pcm []float32, packet []byte) (int, error) {
	*e.mixed = append(*e.mixed, pcm...)
	return 1, nil
}

// table is a mixer at the centre of people who speak in tones.
func table(t *testing.T, most int) (*Mixer, *[]float32) {
	t.Helper()
	mixed := new([]float32)
	config := DefaultConfig(tones{mixed})
	config.Loudest.Max = most
	m, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return m, mixed
}

func seat(t *testing.T, m *Mixer, name string, g Gain) *Voice {
	t.Helper()
	v, err := m.Add(region.StreamID(name))
	if err != nil {
		t.Fatal(err)
	}
	v.Place(g)
	return v
}

func frame(t *testing.T, m *Mixer) {
	t.Helper()
	if _, err := m.Frame(make([]byte, 1275)); err != nil {
		t.Fatal(err)
	}
}

// Twenty speakers around a listener: what is mixed is the sum of what they say, each
// weakened by its distance and on its side, to 60 dB and better.
func TestMixIsTheSum(t *testing.T) {
	m, mixed := table(t, 20)
	self := region.Place{Facing: 1}
	var voices []*Voice
	var gains []Gain
	for i := range 20 {
		angle, far := float64(i)*2*math.Pi/20, 1+float64(i%5)*3
		g := Hear(self, region.Place{X: far * math.Cos(angle), Y: far * math.Sin(angle)})
		voices, gains = append(voices, seat(t, m, fmt.Sprint(i), g)), append(gains, g)
	}
	const frames = 50
	for f := range frames + 1 {
		for i, v := range voices {
			if err := v.Put(tonePacket(uint16(200+150*i), 1500), -30); err != nil {
				t.Fatal(err)
			}
		}
		if f > 0 { // two frames are there before anything is played
			frame(t, m)
		}
	}
	var signal, noise float64
	for i := FrameSamples; i < frames*FrameSamples; i++ { // the first one fades in
		var left, right float64
		for k, g := range gains {
			s := sample(float64(200+150*k), 1500, float64(i))
			left, right = left+s*float64(g.Left), right+s*float64(g.Right)
		}
		signal += left*left + right*right
		noise += math.Pow(left-float64((*mixed)[2*i]), 2) + math.Pow(right-float64((*mixed)[2*i+1]), 2)
	}
	if snr := 10 * math.Log10(signal/noise); snr < 60 {
		t.Errorf("signal to noise %.1f dB, want 60", snr)
	}
}

func TestLimiterKeepsTheSumBelowTheCeiling(t *testing.T) {
	m, mixed := table(t, 20)
	loud := seat(t, m, "quiet", Gain{0.1, 0.1})
	var crowd []*Voice
	for i := range 10 {
		crowd = append(crowd, seat(t, m, fmt.Sprint(i), Gain{0.7, 0.7}))
	}
	for f := range 160 {
		_ = loud.Put(tonePacket(440, 60000), -3)
		if f < 20 {
			for i, v := range crowd {
				_ = v.Put(tonePacket(uint16(300+7*i), 60000), -3)
			}
		}
		frame(t, m)
	}
	for i, s := range *mixed {
		if s > ceiling || s < -ceiling {
			t.Fatalf("sample %d is %v", i, s)
		}
	}
	if m.limit != 1 {
		t.Errorf("the limiter is still at %v, 2.7 s after the crowd has gone", m.limit)
	}
}

// Voices come, go, and move about without a click: no step from sample to sample
// is larger than the tones themselves make.
func TestNothingClicks(t *testing.T) {
	m, mixed := table(t, 1)
	a, b := seat(t, m, "a", Gain{0.7, 0.1}), seat(t, m, "b", Gain{0.1, 0.7})
	for f := range 200 {
		levelA, levelB := -20.0, -60.0
		if f/25%2 == 1 {
			levelA, levelB = levelB, levelA
		}
		_ = a.Put(tonePacket(100, 20000), levelA)
		_ = b.Put(tonePacket(120, 20000), levelB)
		a.Place(Gain{0.7 - 0.002*float32(f), 0.1})
		frame(t, m)
	}
	const most = 2 * math.Pi * 120 / Rate * 20000 / 65536 * 1.5
	turns := 0
	for i := 2; i < len(*mixed); i++ {
		if d := math.Abs(float64((*mixed)[i] - (*mixed)[i-2])); d > most {
			t.Fatalf("a step of %.4f at sample %d, want at most %.4f", d, i/2, most)
		}
		if (*mixed)[i] != 0 && (*mixed)[i-2] == 0 {
			turns++
		}
	}
	if turns == 0 {
		t.Error("nobody was heard")
	}
}

func TestWhoIsLateIsConcealedAndThenSilent(t *testing.T) {
	m, mixed := table(t, 4)
	v := seat(t, m, "late", Gain{0.5, 0.5})
	for range 3 {
		_ = v.Put(tonePacket(440, 20000), -20)
	}
	for range 3 + 5 + 2 {
		frame(t, m)
	}
	energy := func(f int) (e float64) {
		for _, s := range (*mixed)[2*f*FrameSamples : 2*(f+1)*FrameSamples] {
			e += float64(s * s)
		}
		return e
	}
	if energy(7) == 0 || energy(8) != 0 {
		t.Errorf("energy is %.1f in the last frame to be concealed and %.1f in the one after it", energy(7), energy(8))
	}
	for range 2 {
		_ = v.Put(tonePacket(440, 20000), -20)
	}
	frame(t, m)
	if energy(10) == 0 {
		t.Error("a voice that is there again is not heard")
	}
}

// Who sends faster than real time, or is not heard, fills no memory.
func TestQueuesAreBounded(t *testing.T) {
	m, _ := table(t, 1)
	fast, unheard := seat(t, m, "fast", Gain{1, 1}), seat(t, m, "unheard", Gain{})
	for range 100 {
		for range 3 {
			_ = fast.Put(tonePacket(440, 1000), -20)
			_ = unheard.Put(tonePacket(440, 1000), -20)
		}
		frame(t, m)
	}
	if fast.queued > queueLimit || fast.Dropped() != 300-100-uint64(fast.queued) {
		t.Errorf("%d packets wait, %d were dropped", fast.queued, fast.Dropped())
	}
	if unheard.queued > 2 {
		t.Errorf("%d packets wait of a voice that is not heard", unheard.queued)
	}
}

func TestWhatIsNoOpusIsRefused(t *testing.T) {
	m, _ := table(t, 1)
	v := seat(t, m, "a", Gain{1, 1})
	for _, packet := range [][]byte{nil, {0xff}, {0x1b, 63}, make([]byte, maxPacket+1)} {
		if err := v.Put(packet, 0); !errors.Is(err, region.ErrInvalid) {
			t.Errorf("%d bytes: %v", len(packet), err)
		}
	}
	if err := v.Put([]byte{0xfc}, 0); err != nil {
		t.Error(err)
	}
	if _, err := m.Add("a"); !errors.Is(err, region.ErrExists) {
		t.Errorf("a voice is let in twice: %v", err)
	}
	for _, c := range []Config{{}, {Codec: tones{}}, {Codec: tones{}, Loudest: region.Loudest{Max: 1}, Kbps: 511}} {
		if _, err := New(c); !errors.Is(err, region.ErrInvalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestVoicesAreOnTheirSide(t *testing.T) {
	self := region.Place{X: 10, Y: 10, Facing: math.Pi / 2} // looks up along Y
	for _, c := range []struct {
		name        string
		at          region.Place
		left, right float64
	}{
		{"left", region.Place{X: 9, Y: 10}, 1, 0},
		{"right", region.Place{X: 11, Y: 10}, 0, 1},
		{"ahead", region.Place{X: 10, Y: 11}, math.Sqrt2 / 2, math.Sqrt2 / 2},
		{"behind", region.Place{X: 10, Y: 9}, math.Sqrt2 / 2, math.Sqrt2 / 2},
		{"here", self, math.Sqrt2 / 2, math.Sqrt2 / 2},
		{"far left", region.Place{X: 2, Y: 10}, 0.25, 0},
	} {
		g := Hear(self, c.at)
		if math.Abs(float64(g.Left)-c.left) > 1e-6 || math.Abs(float64(g.Right)-c.right) > 1e-6 {
			t.Errorf("%s: %v, want %.3f %.3f", c.name, g, c.left, c.right)
		}
	}
}

func FuzzPut(f *testing.F) {
	for _, seed := range [][]byte{{0xfc, 1, 2, 3, 4}, {0x03, 0x06, 1}, {0xff, 0x7f}, {}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		m, _ := table(t, 1)
		v := seat(t, m, "a", Gain{1, 1})
		for range queueLimit + 2 {
			_ = v.Put(packet, -10)
			frame(t, m)
		}
		if v.waiting < 0 || v.queued < 0 || v.queued == 0 && v.waiting != 0 {
			t.Errorf("%d samples in %d packets", v.waiting, v.queued)
		}
	})
}
