// Package libopus is libopus (https://opus-codec.org) as a mix.Codec, in binaries
// that are built with cgo and the tags opus and nolibopusfile; without the tag opus
// it is empty:
//
//	apt-get install libopus-dev pkg-config
//	go build -tags opus,nolibopusfile ./cmd/skein
package libopus
