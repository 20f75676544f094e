package link

import (
	"bytes"
	"testing"
)

// Whatever comes as an RTCP packet is refused or is a message, whether a stranger made
// it up or the peer itself, with its keys.
func FuzzControl(f *testing.F) {
	out := control{out: *newTestSecret(f, labelControl, labelControlSalt)}
	for _, m := range []Message{{Kind: Heartbeat}, {Kind: Ping, ID: 7}, {Kind: Tips, Tips: []Tip{{SSRC: 8, Index: 9}}}, {Kind: Drop, Stream: "a"}} {
		b, err := out.seal(nil, &m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(b))
		plain, _, _ := newTestSecret(f, labelControl, labelControlSalt).open(b)
		f.Add(plain)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := control{in: *newTestSecret(t, labelControl, labelControlSalt)}
		if m, err := in.open(bytes.Clone(b)); err == nil && (m.Kind == 0 || m.Kind >= kinds) {
			t.Errorf("message %+v", m)
		}
		if len(b) < rtcpHeader {
			return
		}
		own := newTestSecret(t, labelControl, labelControlSalt).seal(bytes.Clone(b), 1<<20)
		if m, err := in.open(bytes.Clone(own)); err == nil && (m.Kind == 0 || m.Kind >= kinds) {
			t.Errorf("message %+v", m)
		}
		if _, err := in.open(own); err == nil {
			t.Error("a packet that came before is taken again")
		}
	})
}

// A packet that is no media of the mesh is refused by all who read it, and one that is
// comes out as it went in, if it is opened with its keys.
func FuzzMedia(f *testing.F) {
	f.Add(packet(f, 5))
	f.Add(packet(f, 1<<20))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := ParseHeader(b)
		if !ok {
			return
		}
		s := newTestSecret(t, labelMedia, labelMediaSalt)
		if _, ok := s.decrypt(bytes.Clone(b), h); ok {
			t.Error("a forged packet is taken")
		}
		sealed := s.encrypt(nil, b, h)
		if h, ok = ParseHeader(sealed); !ok {
			t.Fatal("encrypted it cannot be read")
		}
		if got, ok := s.decrypt(sealed, h); !ok || !bytes.Equal(got, b) {
			t.Errorf("%x becomes %x", b, got)
		}
	})
}
