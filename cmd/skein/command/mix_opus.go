//go:build opus

package command

import (
	"github.com/skein-mesh/skein/member/mix"
	"github.com/skein-mesh/skein/member/mix/libopus"
)

func opusCodec() (mix.Codec, error) { return libopus.Codec{}, nil }
