package red_test

import (
	"slices"
	"testing"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member/red"
)

// twice is a payload with two older blocks, "ab" and "cde", before the newest, "fghi".
func twice() []byte {
	return slices.Concat([]byte{0x80 | 111, 0x1E, 0x00, 2, 0x80 | 111, 0x0F, 0x00, 3, 111}, []byte("abcdefghi"))
}

func TestTheNewestAudioIsUnwrapped(t *testing.T) {
	p := &rtp.Packet{Header: rtp.Header{PayloadType: red.PayloadType}, Payload: twice()}
	if !red.Retype(p.Payload, 96) || !red.Unwrap(p) {
		t.Fatal("the payload is not understood")
	}
	if string(p.Payload) != "fghi" || p.PayloadType != 96 {
		t.Errorf("%q of type %d", p.Payload, p.PayloadType)
	}
	if red.Unwrap(p); string(p.Payload) != "fghi" {
		t.Errorf("a plain packet became %q", p.Payload)
	}
}

func TestPayloadsThatAreCutOff(t *testing.T) {
	whole := twice()
	for n := range 14 { // up to the end of the older blocks
		p := &rtp.Packet{Header: rtp.Header{PayloadType: red.PayloadType}, Payload: whole[:n]}
		if red.Unwrap(p) || len(p.Payload) != n {
			t.Errorf("%d bytes: %q", n, p.Payload)
		}
	}
}

func FuzzUnwrap(f *testing.F) {
	f.Add(twice())
	f.Add([]byte{111})
	f.Fuzz(func(t *testing.T, payload []byte) {
		p := &rtp.Packet{Header: rtp.Header{PayloadType: red.PayloadType}, Payload: slices.Clone(payload)}
		if red.Retype(p.Payload, 17) != red.Unwrap(p) {
			t.Error("one takes what the other refuses")
		}
		if p.PayloadType == 17 && len(p.Payload) >= len(payload) {
			t.Errorf("%d bytes of %d", len(p.Payload), len(payload))
		}
	})
}
