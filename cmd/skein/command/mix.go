package command

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/skein-mesh/skein/member/mix"
	"github.com/skein-mesh/skein/region"
)

// mixFlags say where a member listens, and mixes what is heard there.
type mixFlags struct {
	at     string
	facing float64
	radius float64
	voices int
}

func (m *mixFlags) add(f *pflag.FlagSet) {
	d := mix.DefaultDeskConfig(nil, "", region.Place{})
	f.StringVar(&m.at, "mix", "", "mix the voices around a place, SPACE@X,Y in metres, and publish that as the stereo stream SPACE/mix")
	f.Float64Var(&m.facing, "mix-facing", 0, "where the listener of --mix looks, degrees from X towards Y")
	f.Float64Var(&m.radius, "mix-radius", d.Radius, "how far around voices are heard by --mix, metres")
	f.IntVar(&m.voices, "mix-voices", d.Loudest.Max, "how many voices --mix lets be heard at once, the loudest")
}

// config of the mix that is wanted; nil if none is.
func (m *mixFlags) config() (*mix.DeskConfig, error) {
	if m.at == "" {
		return nil, nil
	}
	name, where, found := strings.Cut(m.at, "@")
	x, y, both := strings.Cut(where, ",")
	place := region.Place{Facing: m.facing * math.Pi / 180}
	var errX, errY error
	place.X, errX = strconv.ParseFloat(x, 64)
	place.Y, errY = strconv.ParseFloat(y, 64)
	if !found || !both || errX != nil || errY != nil {
		return nil, fmt.Errorf("--mix: want SPACE@X,Y, as in plaza@10,-4.5, have %.64q: %w", m.at, region.ErrInvalid)
	}
	codec, err := opusCodec()
	if err != nil {
		return nil, err
	}
	c := mix.DefaultDeskConfig(codec, region.SpaceID(name), place)
	c.Radius, c.Loudest.Max = m.radius, m.voices
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("--mix: %w", err)
	}
	return &c, nil
}
