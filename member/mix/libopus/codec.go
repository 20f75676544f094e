//go:build opus

package libopus

import (
	"fmt"

	"github.com/hraban/opus"

	"github.com/skein-mesh/skein/member/mix"
)

// complexity of the encoder, of 10: more is hardly heard at the rates of mixes and
// costs half as much again.
const complexity = 5

// A Codec is libopus.
type Codec struct{}

var _ mix.Codec = Codec{}

// NewDecoder makes a decoder to mono.
func (Codec) NewDecoder() (mix.Decoder, error) {
	d, err := opus.NewDecoder(mix.Rate, 1)
	if err != nil {
		return nil, fmt.Errorf("libopus: %w", err)
	}
	return decoder{d}, nil
}

// NewEncoder makes an encoder for stereo.
func (Codec) NewEncoder(kbps int) (mix.Encoder, error) {
	e, err := opus.NewEncoder(mix.Rate, 2, opus.AppAudio)
	if err != nil {
		return nil, fmt.Errorf("libopus: %w", err)
	}
	if err := e.SetBitrate(1000 * kbps); err != nil {
		return nil, fmt.Errorf("libopus: %d kbit/s: %w", kbps, err)
	}
	if err := e.SetComplexity(complexity); err != nil {
		return nil, fmt.Errorf("libopus: complexity: %w", err)
	}
	return encoder{e}, nil
}

type decoder struct{ *opus.Decoder }

func (d decoder) Decode(packet []byte, pcm []float32) (int, error) {
	return d.DecodeFloat32(packet, pcm[:len(pcm):len(pcm)])
}

func (d decoder) Conceal(pcm []float32) error { return d.DecodePLCFloat32(pcm[:len(pcm):len(pcm)]) }

type encoder struct{ *opus.Encoder }

func (e encoder) Encode(pcm []float32, packet []byte) (int, error) {
	return e.EncodeFloat32(pcm, packet)
}
