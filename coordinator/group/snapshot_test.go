package group

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein/region"
)

// Whatever is in a snapshot's file is refused, or is a sound state that is the
// same when it is written and read again.
func FuzzDecodeState(f *testing.F) {
	s := newState("r1", 10)
	for n := 1; n < 4; n++ {
		data, err := proto.Marshal(join(s.Region.Revision(), n))
		if err != nil {
			f.Fatal(err)
		}
		e, err := decodeEntry(data)
		if err != nil {
			f.Fatal(err)
		}
		if err := s.apply(region.Revision(10*n), e); err != nil {
			f.Fatal(err)
		}
		data, err = encodeState(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeState(data)
		if err != nil {
			if !errors.Is(err, region.ErrInvalid) && !errors.Is(err, region.ErrLimit) {
				if _, broken := errors.AsType[*region.InvariantError](err); !broken {
					t.Errorf("an error of no kind: %v", err)
				}
			}
			return
		}
		if err := s.Region.Check(); err != nil {
			t.Error(err)
		}
		again, err := encodeState(s)
		if err != nil {
			t.Fatal(err)
		}
		if s2, err := decodeState(again); err != nil || s2.Hash() != s.Hash() {
			t.Errorf("written and read again, it differs: %v", err)
		}
	})
}
