package link

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/rtp"
)

func TestAStampComesOutAsItWentIn(t *testing.T) {
	plain := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: 7, Timestamp: 9, SSRC: 1, Marker: true}, Payload: []byte("payload")}
	csrcs := plain
	csrcs.CSRC = []uint32{1, 2, 3}
	oneByte := plain
	oneByte.Header = plain.Header.Clone()
	if err := oneByte.SetExtension(3, []byte("abc")); err != nil {
		t.Fatal(err)
	}
	twoByte := plain
	twoByte.Extension, twoByte.ExtensionProfile = true, rtp.ExtensionProfileTwoByte
	if err := twoByte.SetExtension(200, bytes.Repeat([]byte("x"), 40)); err != nil {
		t.Fatal(err)
	}
	padded := plain
	padded.Header.Padding, padded.Header.PaddingSize = true, 5
	for name, p := range map[string]rtp.Packet{"plain": plain, "csrcs": csrcs, "one-byte": oneByte, "two-byte": twoByte, "padded": padded} {
		stamp := Stamp{Index: 3<<16 | 7, Captured: time.Now().UnixMicro()}
		b, err := AppendPacket(nil, &p, 8, stamp)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		h, ok := ParseHeader(b)
		if !ok || h.Stamp != stamp || h.SSRC != 8 || h.Timestamp != 9 || !h.Marker {
			t.Errorf("%s: header %+v", name, h)
		}
		var got rtp.Packet
		if s, err := Unstamp(b, &got); err != nil || s != stamp {
			t.Fatalf("%s: stamp %+v, %v", name, s, err)
		}
		p.SSRC = 8
		want, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		have, err := got.Marshal()
		if err != nil || !bytes.Equal(have, want) {
			t.Errorf("%s:\n got %x\nwant %x, %v", name, have, want, err)
		}
	}
}

func TestPacketsThatCannotBeStamped(t *testing.T) {
	big := rtp.Packet{Header: rtp.Header{Version: 2}, Payload: make([]byte, MaxPacket)}
	taken := rtp.Packet{Header: rtp.Header{Version: 2}}
	if err := taken.SetExtension(StampID, []byte("x")); err != nil {
		t.Fatal(err)
	}
	old := rtp.Packet{Header: rtp.Header{Version: 2, Extension: true, ExtensionProfile: 7}}
	for name, p := range map[string]*rtp.Packet{"too large": &big, "id taken": &taken, "profile": &old} {
		if b, err := AppendPacket(nil, p, 8, Stamp{}); err == nil || len(b) > 0 {
			t.Errorf("%s: got %x, %v", name, b, err)
		}
	}
}

// Whatever comes off the wire is refused or can be handed to an application.
func FuzzUnstamp(f *testing.F) {
	for _, p := range []*rtp.Packet{
		{Header: rtp.Header{Version: 2}, Payload: []byte("x")},
		{Header: rtp.Header{Version: 2, CSRC: []uint32{1, 2}, Extension: true, ExtensionProfile: profileTwoByte}},
	} {
		b, err := AppendPacket(nil, p, 8, Stamp{Index: 1 << 20, Captured: 1})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := ParseHeader(b)
		if ok && h.Payload > len(b) {
			t.Fatalf("payload at %d of %d", h.Payload, len(b))
		}
		var p rtp.Packet
		if s, err := Unstamp(b, &p); err == nil && (!ok || s != h.Stamp) {
			t.Errorf("stamp %+v, header %+v", s, h)
		}
	})
}

func FuzzSTUNUsername(f *testing.F) {
	f.Add(append(make([]byte, stunHeader), 0, 6, 0, 4, 'a', 'b', 'c', 'd'))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= stunHeader {
			_, _ = stunUsername(b)
		}
		_ = isSTUN(b)
		_, _, _ = splitUfrag(string(b))
	})
}
