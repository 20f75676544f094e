package link

import (
	"testing"

	"github.com/pion/rtp"
)

func TestAudioLevelIsFound(t *testing.T) {
	for _, c := range []struct {
		name    string
		profile uint16
		others  map[uint8][]byte
		level   []byte
		want    uint8
		ok      bool
	}{
		{"alone", profileOneByte, nil, []byte{0x80 | 30}, 30, true},
		{"after another", profileOneByte, map[uint8][]byte{4: {1, 2, 3}}, []byte{127}, 127, true},
		{"two-byte form", profileTwoByte, map[uint8][]byte{20: make([]byte, 40)}, []byte{12}, 12, true},
		{"none", profileOneByte, map[uint8][]byte{4: {1}}, nil, 0, false},
	} {
		p := &rtp.Packet{Header: rtp.Header{Version: 2, Extension: true, ExtensionProfile: c.profile}, Payload: []byte{1}}
		for id, b := range c.others {
			if err := p.SetExtension(id, b); err != nil {
				t.Fatal(err)
			}
		}
		if c.level != nil {
			if err := p.SetExtension(LevelID, c.level); err != nil {
				t.Fatal(err)
			}
		}
		b, err := AppendPacket(nil, p, 8, Stamp{Index: 70000, Captured: 1})
		if err != nil {
			t.Fatal(err)
		}
		if level, ok := AudioLevel(b); level != c.want || ok != c.ok {
			t.Errorf("%s: %d, %v", c.name, level, ok)
		}
	}
}

func FuzzAudioLevel(f *testing.F) {
	p := &rtp.Packet{Header: rtp.Header{Version: 2}, Payload: []byte{1}}
	if err := p.SetExtension(LevelID, []byte{30}); err != nil {
		f.Fatal(err)
	}
	b, err := AppendPacket(nil, p, 8, Stamp{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if level, ok := AudioLevel(b); level > 127 || level != 0 && !ok {
			t.Errorf("%d, %v", level, ok)
		}
	})
}
