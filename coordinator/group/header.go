package group

import (
	"fmt"
	"io"

	"github.com/skein-mesh/skein/region"
)

// After TLS the caller says, in one write:
//
//	4 bytes "SKNR", 1 byte version (1), 1 byte length, the region's ID
//
// and the listener answers with one byte, a verdict. Raft's own protocol follows.
const (
	headerMagic   = "SKNR"
	headerVersion = 1
)

// A verdict is the listener's answer to a header.
type verdict byte

const (
	welcome verdict = iota
	noSuchGroup
	notConfigured
)

func (v verdict) String() string {
	switch v {
	case welcome:
		return "welcome"
	case noSuchGroup:
		return "it hosts no such group"
	case notConfigured:
		return "the caller is not in the group's configuration"
	}
	return fmt.Sprintf("verdict %d", byte(v))
}

func appendHeader(b []byte, id region.ID) []byte {
	b = append(b, headerMagic...)
	b = append(b, headerVersion, byte(len(id)))
	return append(b, id...)
}

func readHeader(r io.Reader) (region.ID, error) {
	var fixed [len(headerMagic) + 2]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return "", err
	}
	if string(fixed[:4]) != headerMagic || fixed[4] != headerVersion {
		return "", fmt.Errorf("header %x is not of this protocol: %w", fixed[:5], region.ErrInvalid)
	}
	id := make([]byte, fixed[5])
	if _, err := io.ReadFull(r, id); err != nil {
		return "", err
	}
	return region.ID(id), nil
}
