//go:build !opus

package command

import (
	"fmt"

	"github.com/skein-mesh/skein/member/mix"
	"github.com/skein-mesh/skein/region"
)

func opusCodec() (mix.Codec, error) {
	return nil, fmt.Errorf("--mix: %w: this binary has no Opus; install libopus-dev and pkg-config, and build with: CGO_ENABLED=1 go build -tags opus,nolibopusfile ./cmd/skein", region.ErrInvalid)
}
