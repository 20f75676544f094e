package mix

import (
	"fmt"
	"slices"

	"github.com/skein-mesh/skein/region"
)

const (
	// MaxVoices is how many voices a mixer knows at most.
	MaxVoices = 512
	// ceiling is the largest sample of a mix: what an encoder adds must not clip.
	ceiling = 0.97
	// recovery is by how much the limiter lets go per frame: from half to full in 0.7 s.
	recovery = 1.02
	// attack is how many samples the limiter takes to close: 1 ms. What exceeds the
	// ceiling within that is cut.
	attack = Rate / 1000
)

// Config of a Mixer.
type Config struct {
	Codec Codec
	// Loudest says who is heard. Floor is in dB as heard, after the distance.
	Loudest region.Loudest
	// Kbps is the rate of the mix, kbit/s.
	Kbps int
}

// DefaultConfig is a mix of eight voices that is good enough for music, too.
func DefaultConfig(c Codec) Config {
	return Config{Codec: c, Loudest: region.Loudest{Max: 8, Floor: -70}, Kbps: 64}
}

// Check refuses what cannot be mixed.
func (c Config) Check() error {
	switch {
	case c.Codec == nil:
		return fmt.Errorf("mix: no codec: %w", region.ErrInvalid)
	case c.Loudest.Max < 1 || c.Loudest.Max > MaxVoices:
		return fmt.Errorf("mix: want 1 to %d voices at once, have %d: %w", MaxVoices, c.Loudest.Max, region.ErrInvalid)
	case c.Kbps < 6 || c.Kbps > 510:
		return fmt.Errorf("mix: want 6 to 510 kbit/s, have %d: %w", c.Kbps, region.ErrInvalid)
	}
	return nil
}

// A Mixer mixes voices for one place.
type Mixer struct {
	config  Config
	encoder Encoder
	voices  map[region.StreamID]*Voice
	ranking []region.Voice
	sum     [2 * FrameSamples]float32
	limit   float32 // gain of the limiter at the end of the last frame
	heard   func(region.StreamID) bool
}

// New makes a Mixer without voices.
func New(config Config) (*Mixer, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	encoder, err := config.Codec.NewEncoder(config.Kbps)
	if err != nil {
		return nil, fmt.Errorf("mix: encoder: %w", err)
	}
	m := &Mixer{config: config, encoder: encoder, voices: make(map[region.StreamID]*Voice), limit: 1}
	m.heard = func(id region.StreamID) bool { return m.voices[id].heard }
	return m, nil
}

// Add lets a voice in, silent until it has a place. region.ErrExists if it is there
// already, region.ErrLimit if there are MaxVoices.
func (m *Mixer) Add(stream region.StreamID) (*Voice, error) {
	switch {
	case m.voices[stream] != nil:
		return nil, fmt.Errorf("mix: voice %.64q: %w", stream, region.ErrExists)
	case len(m.voices) >= MaxVoices:
		return nil, fmt.Errorf("mix: %d voices: %w", MaxVoices, region.ErrLimit)
	}
	decoder, err := m.config.Codec.NewDecoder()
	if err != nil {
		return nil, fmt.Errorf("mix: decoder: %w", err)
	}
	v := &Voice{stream: stream, decoder: decoder, level: SilentLevel}
	m.voices[stream] = v
	m.ranking = slices.Grow(m.ranking[:0], len(m.voices))
	return v, nil
}

// Remove forgets a voice.
func (m *Mixer) Remove(stream region.StreamID) { delete(m.voices, stream) }

// Heard calls f for every voice in the last frame.
func (m *Mixer) Heard(f func(region.StreamID)) {
	for id, v := range m.voices {
		if v.heard {
			f(id)
		}
	}
}

// Frame mixes and encodes the next 20 ms into packet, which should have room for
// 1275 bytes, and returns the length.
func (m *Mixer) Frame(packet []byte) (int, error) {
	n, err := m.encoder.Encode(m.mix(), packet)
	if err != nil {
		return 0, fmt.Errorf("mix: encode: %w", err)
	}
	return n, nil
}

// mix makes the next 20 ms, interleaved; they are valid until the next call.
func (m *Mixer) mix() []float32 {
	m.choose()
	clear(m.sum[:])
	for _, v := range m.voices {
		if v.aim == (Gain{}) && v.now == (Gain{}) {
			v.skip()
			continue
		}
		if pcm := v.frame(); pcm != nil {
			add(m.sum[:], pcm, v.now, v.aim)
			v.consume()
		}
		v.now = v.aim
	}
	m.restrain()
	return m.sum[:]
}

// choose says who is to be heard.
func (m *Mixer) choose() {
	m.ranking = m.ranking[:0]
	for id, v := range m.voices {
		m.ranking = append(m.ranking, region.Voice{Stream: id, Level: v.level + v.place.decibels()})
		v.level = max(v.level-decay, SilentLevel)
	}
	n := m.config.Loudest.Choose(m.ranking, m.heard)
	for i, r := range m.ranking {
		v := m.voices[r.Stream]
		v.heard, v.aim = i < n, Gain{}
		if v.heard {
			v.aim = v.place
		}
	}
}

// add adds a voice to a mix, its gain changing from one to the other.
func add(sum, pcm []float32, from, to Gain) {
	left, right := from.Left, from.Right
	stepLeft, stepRight := (to.Left-left)/FrameSamples, (to.Right-right)/FrameSamples
	for i, s := range pcm {
		sum[2*i] += s * left
		sum[2*i+1] += s * right
		left += stepLeft
		right += stepRight
	}
}

// restrain keeps the sum below the ceiling; quiet mixes are left as they are.
func (m *Mixer) restrain() {
	var peak float32
	for _, s := range m.sum {
		peak = max(peak, s, -s)
	}
	goal := min(1, m.limit*recovery)
	if peak*goal > ceiling {
		goal = ceiling / peak
	}
	if goal == 1 && m.limit == 1 {
		return
	}
	ramp := FrameSamples
	if goal < m.limit {
		ramp = attack
	}
	gain, step := m.limit, (goal-m.limit)/float32(ramp)
	for i := range FrameSamples {
		if i < ramp {
			gain += step
		} else {
			gain = goal
		}
		m.sum[2*i] = min(max(m.sum[2*i]*gain, -ceiling), ceiling)
		m.sum[2*i+1] = min(max(m.sum[2*i+1]*gain, -ceiling), ceiling)
	}
	m.limit = goal
}
