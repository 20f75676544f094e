package door_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A flow is what a viewer has got, judged as a decoder would.
type flow struct {
	frames    int
	keyframes int
	ssrcs     map[uint32]bool
	faults    []string
}

// judge looks at packets in the order of their sequence numbers.
func judge(packets []*rtp.Packet) flow {
	f := flow{ssrcs: make(map[uint32]bool)}
	slices.SortStableFunc(packets, func(a, b *rtp.Packet) int { return int(int16(a.SequenceNumber - b.SequenceNumber)) })
	for i, p := range packets {
		f.ssrcs[p.SSRC] = true
		if p.Payload[0]&0x10 != 0 {
			f.frames++
			if p.Payload[5]&1 == 0 {
				f.keyframes++
			}
		}
		if i == 0 {
			if p.Payload[0]&0x10 == 0 || p.Payload[5]&1 != 0 {
				f.faults = append(f.faults, "does not begin with a keyframe")
			}
			continue
		}
		before := packets[i-1]
		step := p.SequenceNumber - before.SequenceNumber
		switch {
		case step == 1:
		case step == 2 && !before.Marker && p.Payload[0]&0x10 != 0: // a frame was cut off
		default:
			f.faults = append(f.faults, fmt.Sprintf("packet %d: sequence numbers jump by %d, marker %v", i, int16(step), before.Marker))
		}
		newFrame := p.Payload[0]&0x10 != 0
		if d := int32(p.Timestamp - before.Timestamp); newFrame && d <= 0 || !newFrame && d != 0 {
			f.faults = append(f.faults, "timestamps do not grow")
		}
		if d := (picture(p) - picture(before)) & 0x7FFF; newFrame && d != 1 || !newFrame && d != 0 {
			f.faults = append(f.faults, "picture numbers jump")
		}
	}
	return f
}

// once leaves out what came again: pion does not see retransmissions that have an SSRC
// of their own, and asks on for what has come.
func once(packets []*rtp.Packet) []*rtp.Packet {
	seen := make(map[uint16]bool)
	return slices.DeleteFunc(slices.Clone(packets), func(p *rtp.Packet) bool {
		again := seen[p.SequenceNumber]
		seen[p.SequenceNumber] = true
		return again
	})
}

func picture(p *rtp.Packet) uint16 { return binary.BigEndian.Uint16(p.Payload[2:]) & 0x7FFF }

func counter(p *rtp.Packet) uint32 { return binary.BigEndian.Uint32(p.Payload[counterAt:]) }

func (f flow) want(t *testing.T) {
	t.Helper()
	if len(f.ssrcs) != 1 {
		t.Errorf("%d SSRCs, want one", len(f.ssrcs))
	}
	if len(f.faults) > 0 {
		t.Errorf("%d faults in %d frames: %.1000q", len(f.faults), f.frames, f.faults)
	}
}

func TestThroughTheMesh(t *testing.T) {
	m := newMesh(t)
	in, out := m.open(nil), m.open(nil)
	_, s := publisher(t, in.url+"/whip/stage", 60000)
	near := viewer(t, in.url+"/whep/stage", webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio)
	far := viewer(t, out.url+"/whep/stage", webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio)
	for _, v := range []*client{near, far} {
		until(t, "200 packets arrive", func() bool { return len(v.packets("video")) >= 200 })
		got := v.packets("video")
		got = got[:len(got)/2*2] // whole frames
		f := judge(got)
		f.want(t)
		if first, last := counter(got[0]), counter(got[len(got)-2]); int(last-first) != f.frames-1 {
			t.Errorf("%d frames from %d to %d", f.frames, first, last)
		}
	}
	if n := s.keys.Load(); n > 6 {
		t.Errorf("two viewers cost %d keyframes", n)
	}
}

// A publisher that begins anew, even at another door, with other numbers, goes on
// in the same m-line of those who watch.
func TestOriginRestarts(t *testing.T) {
	m := newMesh(t)
	first, second, out := m.open(nil), m.open(nil), m.open(nil)
	p, _ := publisher(t, first.url+"/whip/stage", 100)
	v := viewer(t, out.url+"/whep/stage", webrtc.RTPCodecTypeVideo)
	until(t, "it flows", func() bool { return len(v.packets("video")) >= 100 })
	for round, at := range []*place{second, first, first} {
		ask(t, "DELETE", p.url, "").want(t, 200)
		p, _ = publisher(t, at.url+"/whip/stage", uint16(31000*(round+1)))
		before := len(v.packets("video"))
		until(t, "it flows again", func() bool { return len(v.packets("video")) >= before+100 })
	}
	// One that does not say good-bye is replaced by the same client.
	p.pc.Close()
	publisher(t, first.url+"/whip/stage", 7)
	before := len(v.packets("video"))
	until(t, "it flows again", func() bool { return len(v.packets("video")) >= before+100 })
	f := judge(v.packets("video"))
	f.want(t)
	if f.keyframes < 5 {
		t.Errorf("%d keyframes for five publishers", f.keyframes)
	}
}
