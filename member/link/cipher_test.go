package link

import (
	"bytes"
	"testing"

	"github.com/pion/srtp/v3"
)

var testKey, testSalt = []byte("0123456789abcdef"), []byte("nonce of 12!")

func newTestSecret(t testing.TB, label, salt byte) *secret {
	t.Helper()
	s, err := newSecret(testKey, testSalt, label, salt)
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

// What is sent is SRTP as others understand it, over a wrap of the number too.
func TestMediaIsSRTP(t *testing.T) {
	s := newTestSecret(t, labelMedia, labelMediaSalt)
	other, err := srtp.CreateContext(testKey, testSalt, srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		t.Fatal(err)
	}
	for index := uint64(1<<16 - 3); index < 1<<16+3; index++ {
		p := packet(t, index)
		h, _ := ParseHeader(p)
		out := s.encrypt(nil, p, h)
		other.SetROC(h.SSRC, uint32(index>>16))
		got, err := other.DecryptRTP(nil, out, nil)
		if err != nil || !bytes.Equal(got, p) {
			t.Fatalf("index %d: %x, %v", index, got, err)
		}
		own, ok := s.decrypt(out, h)
		if !ok || !bytes.Equal(own, p) {
			t.Fatalf("index %d: %x, %v", index, own, ok)
		}
		out[len(out)-1] ^= 1
		if _, ok := s.decrypt(out, h); ok {
			t.Fatalf("index %d: a changed packet was taken", index)
		}
	}
}

func TestControlIsSRTCP(t *testing.T) {
	s := newTestSecret(t, labelControl, labelControlSalt)
	other, err := srtp.CreateContext(testKey, testSalt, srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		t.Fatal(err)
	}
	plain := []byte{0x80, 201, 0, 1, 0, 0, 0, 7} // a receiver report without blocks
	out := s.seal(bytes.Clone(plain), 0x12345)
	got, err := other.DecryptRTCP(nil, out, nil)
	if err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("%x, %v", got, err)
	}
	own, index, ok := s.open(out)
	if !ok || index != 0x12345 || !bytes.Equal(own, plain) {
		t.Fatalf("%x, index %x, %v", own, index, ok)
	}
}

func TestWindow(t *testing.T) {
	w := &window{next: 1000}
	for _, step := range []struct {
		index uint64
		fresh bool
	}{
		{1000, true}, {1000, false}, {999, true}, {999, false}, {1023, true}, {1024, true}, {1024, false},
		{1087, true}, {1088, true}, {1087, false}, {1064, true}, {1900, true}, {1100, true}, {1100, false},
		{939, false}, {1 << 40, true}, {1900, false}, {1<<40 - 900, true}, {1<<40 - 900, false},
	} {
		if got := w.fresh(step.index); got != step.fresh {
			t.Errorf("%d: fresh %v, want %v", step.index, got, step.fresh)
		}
		if step.fresh {
			w.note(step.index)
		}
	}
}
