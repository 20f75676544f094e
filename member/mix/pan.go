package mix

import (
	"math"

	"github.com/skein-mesh/skein/region"
)

// near is the distance up to which a voice is heard at its full level, in metres;
// beyond, twice as far is 6 dB less.
const near = 2.0

// A Gain is what a voice is multiplied by on its way to each ear.
type Gain struct{ Left, Right float32 }

// Hear returns the gain of a voice at a place for who listens at another: by the
// inverse of the distance, and panned with constant power. What is ahead or behind
// is as loud in both ears.
func Hear(listener, voice region.Place) Gain {
	level := near / max(near, listener.Distance(voice))
	dx, dy := voice.X-listener.X, voice.Y-listener.Y
	side := 0.0 // 1 far left, -1 far right
	if dx != 0 || dy != 0 {
		side = math.Sin(math.Atan2(dy, dx) - listener.Facing)
	}
	left, right := math.Sincos((1 + side) * math.Pi / 4)
	return Gain{float32(level * left), float32(level * right)}
}

// decibels of the gain, both ears together.
func (g Gain) decibels() float64 {
	return 10 * math.Log10(float64(g.Left*g.Left+g.Right*g.Right)+1e-12)
}
