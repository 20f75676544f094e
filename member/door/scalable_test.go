package door_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const descriptorURI = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"

// templates are a dependency descriptor's for L2T2: S0T0 and S1T0 of a keyframe, and
// after one, S0T0, S0T1, S1T0 and S1T1. It ends the first frame.
const templates = "c000078003187aaaf130a0a0145145144404fc04fc04fc04fc"

// A stack is a publisher's encoding in L2T2, 50 pictures per second: one packet of the
// small picture, two of the large one.
type stack struct {
	source
	codec string
}

// scalable publishes one.
func scalable(t *testing.T, endpoint, codec string) (*client, *stack) {
	t.Helper()
	c := newClientOf(t, onLoopback, knowDescriptors)
	s := &stack{codec: codec}
	s.key.Store(true)
	s.track = must(webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: "video/" + codec, ClockRate: 90000}, "video", "skein"))
	s.sender = must(c.pc.AddTrack(s.track))
	var fits []webrtc.RTPCodecParameters
	for _, p := range c.pc.GetTransceivers()[0].Sender().GetParameters().Codecs {
		if strings.EqualFold(p.MimeType, "video/"+codec) {
			fits = append(fits, p)
		}
	}
	if err := c.pc.GetTransceivers()[0].SetCodecPreferences(fits[:1]); err != nil {
		t.Fatal(err)
	}
	go s.heed(s.sender)
	c.post(endpoint+"?video=340&scalability=L2T2_KEY", "")
	go s.encode(c)
	return c, s
}

func knowDescriptors(m *webrtc.MediaEngine) error {
	return m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: descriptorURI}, webrtc.RTPCodecTypeVideo)
}

// encode sends pictures until the test ends.
func (s *stack) encode(c *client) {
	var descriptorID uint8
	for _, e := range s.sender.GetParameters().HeaderExtensions {
		if e.URI == descriptorURI {
			descriptorID = uint8(e.ID)
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	seq, keyed := uint16(65000), 0
	for picture := 0x7F00; ; picture++ {
		select {
		case <-c.t.Context().Done():
			return
		case <-tick.C:
		}
		key := s.key.Swap(false)
		if key {
			keyed = picture
			s.keys.Add(1)
		}
		for i, part := range []struct{ spatial, begins, ends, size int }{{0, 1, 1, 200}, {1, 1, 0, 290}, {1, 0, 1, 290}} {
			p := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: uint32(picture) * 1800, Marker: i == 2}}
			seq++
			temporal := (picture - keyed) & 1
			if s.codec == "VP9" {
				p.Payload = vp9(picture, part.spatial, temporal, part.begins, part.ends, key)
			} else {
				frame := 2*picture + part.spatial
				p.Payload = []byte{byte(1-part.begins)<<7 | 0x10}
				id := 3*part.spatial + 1 + temporal
				var d []byte
				if key {
					id -= 1
				}
				if d = []byte{byte(part.begins<<7 | part.ends<<6 | id), byte(frame >> 8), byte(frame)}; key && i == 0 {
					p.Payload[0] |= 0x08
					d = append(d, must(hex.DecodeString(templates))[3:]...)
				}
				if err := p.SetExtension(descriptorID, d); err != nil {
					c.t.Error(err)
				}
			}
			p.Payload = append(p.Payload, make([]byte, part.size)...)
			// What says what it is, for the judge.
			binary.BigEndian.PutUint16(p.Payload[8:], uint16(picture))
			p.Payload[10], p.Payload[11], p.Payload[12] = byte(part.spatial), byte(temporal), byte(2*part.begins+part.ends)
			p.Payload[13] = map[bool]byte{true: 1}[key]
			// The track is bound later, and unbound at the end.
			_ = s.track.WriteRTP(p)
		}
	}
}

// vp9 is a payload descriptor in the flexible mode (RFC 9628).
func vp9(picture, spatial, temporal, begins, ends int, key bool) []byte {
	head := byte(0xB0 | begins<<3 | ends<<2)
	if !key {
		head |= 0x40
	}
	p := []byte{head, 0x80 | byte(picture>>8)&0x7F, byte(picture), byte(temporal<<5 | 0x10 | spatial<<1)}
	if !key {
		p = append(p, byte(2-temporal)<<1)
	}
	return p
}

// A view is what a viewer of a stack has got.
type view struct {
	pictures int
	large    int  // of them
	last     bool // the last one is
	keys     int
	frozen   int // until a keyframe, after the lowest layer lost something
	faults   []string
}

// judgeStack looks at packets in the order of their sequence numbers as a decoder would: each
// picture is whole, ends with a marker and has what it builds upon, or the numbers tell that
// it has not.
func judgeStack(codec string, packets []*rtp.Packet) (v view) {
	packets = once(packets)
	slices.SortStableFunc(packets, func(a, b *rtp.Packet) int { return int(int16(a.SequenceNumber - b.SequenceNumber)) })
	fault := func(i int, format string, args ...any) {
		v.faults = append(v.faults, fmt.Sprintf("packet %d: ", i)+fmt.Sprintf(format, args...))
	}
	var seen [2]int // the last picture by spatial layer
	frozen := false
	for i, p := range packets {
		id, spatial, temporal := int(binary.BigEndian.Uint16(p.Payload[8:])), p.Payload[10], int(p.Payload[11])
		begins, ends, key := p.Payload[12]&2 != 0, p.Payload[12]&1 != 0, p.Payload[13] != 0
		if i == 0 && (spatial != 0 || !key) {
			fault(i, "does not begin with a keyframe")
		}
		if i > 0 {
			before := packets[i-1]
			switch step := p.SequenceNumber - before.SequenceNumber; {
			case step == 2 && before.Marker:
				frozen = true
			case step != 1:
				fault(i, "sequence numbers jump by %d", int16(step))
			}
			if before.Marker != (p.Timestamp != before.Timestamp) {
				fault(i, "marker %v within a picture or at its end", before.Marker)
			}
			if !begins && before.Payload[10] != spatial {
				fault(i, "a frame without its beginning")
			}
		}
		if codec == "VP9" && int(binary.BigEndian.Uint16(p.Payload[1:])&0x7FFF)-id&0x7FFF != int(binary.BigEndian.Uint16(packets[0].Payload[1:])&0x7FFF-binary.BigEndian.Uint16(packets[0].Payload[8:]))&0x7FFF {
			fault(i, "picture numbers are others")
		}
		if spatial == 0 {
			v.pictures++
			if key {
				v.keys++
				frozen = false
			} else if frozen {
				v.frozen++
			} else if lack := id - seen[0]; lack != 1 && lack != 2-temporal {
				fault(i, "picture %d of temporal layer %d follows %d", id, temporal, seen[0])
			}
			seen[0], v.last = id, false
			continue
		}
		if begins {
			if lack := id - seen[1]; !frozen && !key && lack != 1 && lack != 2-temporal || seen[0] != id {
				fault(i, "large picture %d of temporal layer %d follows %d, beside %d", id, temporal, seen[1], seen[0])
			}
		}
		if ends {
			v.large++
			seen[1], v.last = id, true
		}
	}
	return v
}

// whole leaves out a picture that has not come whole.
func whole(v *client) []*rtp.Packet {
	list := once(v.packets("video"))
	for len(list) > 0 && !list[len(list)-1].Marker {
		list = list[:len(list)-1]
	}
	return list
}

// A scalable encoding is taken apart at the door: a viewer behind a narrow way gets its
// lower layers, and all again once the way is wide, while its sibling has them always.
func TestScalableLayersThroughTheMesh(t *testing.T) {
	for _, codec := range []string{"VP9", "AV1"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			m := newMesh(t)
			far := &bottleneck{}
			way := &bottleneck{to: far}
			in, out, beside := m.openOn(way, nil), m.openOn(far, nil), m.open(nil)
			p, s := scalable(t, in.url+"/whip/stage", codec)
			watched := wanted(t, p)
			open := func(at *place) *client {
				return newClientOf(t, onLoopback, knowDescriptors).watch(at.url+"/whep/stage", webrtc.RTPCodecTypeVideo)
			}
			v, sibling := open(out), open(beside)
			judge := func(v *client) view { return judgeStack(codec, whole(v)) }
			for _, v := range []*client{v, sibling} {
				until(t, "the large picture arrives", func() bool { return judge(v).last })
			}
			if w := watched(); len(w) != 3 || !w["L1T1"] || !w["L1T2"] || !w["L2T2"] {
				t.Errorf("watched are %v", w)
			}
			way.rate.Store(250_000 / 8)
			until(t, "only the small picture arrives", func() bool { w := judge(v); return w.pictures > 0 && !w.last })
			mark := len(whole(v))
			until(t, "it flows", func() bool { return len(whole(v)) > mark+100 })
			kept := judge(sibling)
			way.rate.Store(0)
			// What a link carries is found out slowly, while it carries little.
			untilIn(t, 3*patience, "the large picture is back", func() bool { return judge(v).last })
			for name, v := range map[string]view{"far": judge(v), "beside": judge(sibling)} {
				t.Logf("%s: %d pictures, %d large, %d keyframes of %d", name, v.pictures, v.large, v.keys, s.keys.Load())
				if v.frozen > map[string]int{"far": 50}[name] {
					t.Errorf("%s: %d pictures cannot be decoded", name, v.frozen)
				}
				if len(v.faults) > 0 {
					t.Errorf("%s: %d faults in %d pictures: %.600q", name, len(v.faults), v.pictures, v.faults)
				}
			}
			if n := kept.pictures - kept.large; n > 100 {
				t.Errorf("the sibling lacks %d of %d large pictures", n, kept.pictures)
			}
			ask(t, "DELETE", v.url, "").want(t, 200)
			ask(t, "DELETE", sibling.url, "").want(t, 200)
			until(t, "only the lowest is wanted", func() bool { w := watched(); return w["L1T1"] && !w["L1T2"] && !w["L2T2"] })
		})
	}
}

// A mode that the door cannot take apart is refused, not taken for another.
func TestScalabilityIsUnderstoodOrRefused(t *testing.T) {
	m := newMesh(t)
	p := m.open(nil)
	for query, status := range map[string]int{"S2T1": 400, "": 400, "L2T2": 422} { // the offer is of VP8
		c := newClient(t)
		must(c.pc.AddTrack(video(c, "", 100).track))
		ask(t, "POST", p.url+"/whip/stage?scalability="+query, c.offer(), "Content-Type", "application/sdp").want(t, status)
	}
}
